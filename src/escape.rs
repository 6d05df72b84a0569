//! How a text that came from outside is shown to people.

use std::borrow::Cow;

/// Quotes a text that came from outside for a message: what is invisible is escaped, and a long
/// text is cut.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 256;
    let quoted = if text.chars().nth(MAX_CHARS).is_none() {
        format!("{text:?}")
    } else {
        let start: String = text.chars().take(MAX_CHARS).collect();
        format!("{start:?}…")
    };
    visible_owned(quoted)
}

/// Quotes the key of a JSON object from outside. A secret can stand there by mistake, so a key that
/// looks like one is counted only, and of a key longer than any that has a meaning the beginning is
/// shown.
pub(crate) fn quoted_key(key: &str) -> String {
    match shorten_key(key) {
        ShownKey::Whole => quoted(key),
        ShownKey::Start(start) => format!("{}…", quoted(&start)),
        ShownKey::Hidden(instead) => instead,
    }
}

/// Returns the key for the field of a problem: like [`quoted_key`], without quotes.
pub(crate) fn key_name(key: &str) -> String {
    match shorten_key(key) {
        ShownKey::Whole => key.to_owned(),
        ShownKey::Start(start) => format!("{start}…"),
        ShownKey::Hidden(instead) => instead,
    }
}

/// The part of a key from outside that may be shown.
enum ShownKey {
    Whole,
    Start(String),
    /// A text to show instead of the key.
    Hidden(String),
}

fn shorten_key(key: &str) -> ShownKey {
    const MAX_BYTES: usize = 64;
    const START: usize = 16;
    if looks_secret(key) {
        let bytes = key.len();
        ShownKey::Hidden(format!("({bytes} bytes, not shown because it could be a secret)"))
    } else if key.len() > MAX_BYTES {
        ShownKey::Start(key.chars().take(START).collect())
    } else {
        ShownKey::Whole
    }
}

/// Whether a text holds what could be base64 or hexadecimal of a key: the prefix of Standard
/// Webhooks, padding, or a run of their characters that is longer than words are.
fn looks_secret(text: &str) -> bool {
    /// Of 16 random bytes, the shortest key that anybody makes, base64 has 22 characters. Two in a
    /// hundred runs of so many have no digit.
    const RUN: usize = 20;
    const RUN_WITHOUT_DIGIT: usize = 32;
    let is_digit_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut runs = text.split(|c| !is_digit_of_key(c));
    text.to_ascii_lowercase().contains("whsec_")
        || text.contains('=')
        || runs.any(|run| {
            run.len() >= RUN_WITHOUT_DIGIT
                || (run.len() >= RUN && run.contains(|c: char| c.is_ascii_digit()))
        })
}

/// Escapes the characters of a text from outside that are invisible, break the line or reorder the
/// text around them, as `\u{2028}`: everything that `Display` shows passes through here. Other
/// characters stay, a backslash too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |(at, c): (usize, char)| is_hidden(c, at == 0);
    if !text.char_indices().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    for (at, c) in text.char_indices() {
        match c {
            c if is_blank(c) => escaped.extend(c.escape_unicode()),
            c if is_hidden((at, c)) => escaped.extend(c.escape_debug()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

pub(crate) fn visible_owned(text: String) -> String {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// What `str::escape_debug` calls not printable (the categories Cc, Cf, Zl, Zp, Zs other than the
/// space, and what is not assigned), a combining mark at the beginning, and the blank letters and
/// marks that it lets pass.
fn is_hidden(c: char, first: bool) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // The escape of a single character also covers every combining mark, which belongs to the
    // character before it.
    is_blank(c)
        || (c.escape_debug().len() > 1
            && (first || format!("a{c}").escape_debug().nth(1) == Some('\\')))
}

/// Letters, marks and symbols that are drawn as nothing: Unicode's default-ignorable characters
/// outside of Cf, and the blank braille pattern.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}
