//! Escaping of input in messages and in `Debug`.

use std::borrow::Cow;

/// Quotes input for a message: escapes invisible characters, and truncates a long text.
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

/// Quotes the key of a JSON object for a message.
///
/// A key can be a secret by mistake. Of a key that looks like one, only the length is shown. A key
/// that is longer than every known key is truncated.
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

/// Returns whether a text could contain a key in base64 or hexadecimal.
///
/// The signs are the prefix of Standard Webhooks, padding, and a run of such characters that is
/// longer than a word.
fn looks_secret(text: &str) -> bool {
    /// The shortest usual key has 16 random bytes, which are 22 characters of base64. Two in a
    /// hundred of such texts contain no digit.
    const MIN_RUN: usize = 20;
    const MIN_RUN_WITHOUT_DIGIT: usize = 32;
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut runs = text.split(|c| !is_key_char(c));
    text.to_ascii_lowercase().contains("whsec_")
        || text.contains('=')
        || runs.any(|run| {
            run.len() >= MIN_RUN_WITHOUT_DIGIT
                || (run.len() >= MIN_RUN && run.contains(|c: char| c.is_ascii_digit()))
        })
}

/// Escapes the characters that are invisible, break the line or reorder the text around them, as
/// `\u{2028}`. Other characters stay, including the backslash.
///
/// Every `Display` of the crate passes input through this function.
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

/// Escapes like [`visible`], and reuses the text if nothing has to be escaped.
pub(crate) fn visible_owned(text: String) -> String {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Returns whether `visible` escapes a character.
///
/// These are the characters that `str::escape_debug` escapes as not printable (the categories Cc,
/// Cf, Zl, Zp, Zs without the space, and unassigned code points), a combining mark at the beginning
/// of the text, and the blank characters that `escape_debug` keeps.
fn is_hidden(c: char, first: bool) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // `char::escape_debug` escapes every combining mark, although a mark in the middle of a text
    // belongs to the character before it. `str::escape_debug` keeps such a mark.
    is_blank(c)
        || (c.escape_debug().len() > 1
            && (first || format!("a{c}").escape_debug().nth(1) == Some('\\')))
}

/// Returns whether a letter, mark or symbol is drawn as nothing: Unicode's default-ignorable
/// characters outside of the category Cf, and the blank braille pattern.
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
