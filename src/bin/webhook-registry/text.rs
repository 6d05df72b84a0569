//! Text for people: hidden characters, times and metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;

/// Escapes the characters that could move the cursor, break a line or reorder the text: a
/// description can contain any of them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        // A combining mark is escaped by itself, but belongs to the character before it.
        c.is_control() || (!c.is_ascii() && format!("a{c}").escape_debug().nth(1) == Some('\\'))
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            escaped.extend(c.escape_debug());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

pub(crate) fn time(at: SystemTime) -> String {
    format_rfc3339_millis(at).to_string()
}

pub(crate) fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(text.as_ref());
    }
    joined
}

pub(crate) fn metadata(metadata: &BTreeMap<String, String>) -> String {
    joined(metadata.iter().map(|(key, value)| format!("{key}={value}")))
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn text_that_could_control_a_terminal_is_escaped() {
        assert_eq!(visible("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
        assert_eq!(visible("e\u{301} \"é\" 日本 \\"), "e\u{301} \"é\" 日本 \\");
    }
}
