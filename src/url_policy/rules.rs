//! The rules that every URL has to follow, whatever the policy.

use std::borrow::Cow;

use url::{ParseError, Url};

pub(crate) const MAX_LENGTH: usize = 2_048;

/// Returns the URL as the URL standard serializes it, so that equivalent URLs are equal texts. An
/// invalid URL is returned unchanged.
pub(crate) fn normalized(url: &str) -> String {
    parse(url).map_or_else(|_| url.to_owned(), String::from)
}

/// Returns the URL for `Debug`, without a user name and a password.
///
/// Only an invalid URL can contain them. All text before the last `@` is then replaced, wherever
/// that `@` is, because the parser can find the end of a password where a reader does not expect
/// it.
pub(crate) fn redacted(url: &str) -> Cow<'_, str> {
    // An `@`, and the characters that the parser converts to one.
    const AT_SIGNS: [&str; 4] = ["@", "%40", "\u{ff20}", "\u{fe6b}"];
    let after = |at: &&str| Some(url.rsplit_once(at)?.1);
    match AT_SIGNS.iter().filter_map(after).min_by_key(|rest| rest.len()) {
        Some(rest) if parse(url).is_err() => {
            let scheme = after_scheme(url).ok().and_then(|after| url.strip_suffix(after));
            Cow::Owned(format!("{}redacted@{rest}", scheme.unwrap_or_default()))
        }
        _ => Cow::Borrowed(url),
    }
}

/// Parses a URL and validates it. The reason names the invalid part and never the whole URL, which
/// can contain a password or a token.
pub(super) fn parse(url: &str) -> Result<Url, String> {
    check_syntax(url)?;
    Url::parse(url).map_err(|cause| match cause {
        ParseError::InvalidPort => {
            "not a URL: the port behind the host is not a number from 0 to 65535".to_owned()
        }
        cause => format!("not a URL: {cause}"),
    })
}

/// Validates the rules that need no parser.
fn check_syntax(url: &str) -> Result<(), String> {
    if url.len() > MAX_LENGTH {
        return Err(format!("a URL has at most {MAX_LENGTH} bytes, not {}", url.len()));
    }
    // The parser strips, skips or converts these characters. The delivery would then go to another
    // URL than the stored text shows.
    if let Some((at, c)) =
        url.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control() || *c == '\\')
    {
        let what = if c == '\\' { "a backslash" } else { "white space or a control character" };
        return Err(format!("a URL cannot contain {what} (at byte {at})"));
    }
    let authority = authority(after_scheme(url)?);
    if authority.is_empty() {
        return Err("a URL needs a host right after its \"//\"".to_owned());
    }
    if authority.contains('@') {
        return Err("a URL cannot contain a user name or password; use the signing secret instead"
            .to_owned());
    }
    if url.contains('#') {
        return Err("a URL cannot contain a fragment (#…), which is never sent".to_owned());
    }
    Ok(())
}

/// Validates a URL that was read from the file.
///
/// Parsing takes a third of the time of reading a row, and a page has up to a hundred rows. So a
/// URL that is surely valid is not parsed.
pub(crate) fn check_stored(url: &str) -> Result<(), String> {
    if is_plain(url) { Ok(()) } else { parse(url).map(drop) }
}

/// Validates a URL that was read from the file without parsing it, for dispatch.
pub(crate) fn check_stored_syntax(url: &str) -> Result<(), String> {
    if is_plain(url) { Ok(()) } else { check_syntax(url) }
}

/// Returns whether a URL is surely valid, as most are.
///
/// It has visible ASCII only, and a host without a port. The labels of the host are in lower case.
/// The last one is no number, and none has two hyphens in a row, as Punycode has. The parser
/// accepts any text after the host.
fn is_plain(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    // Without an early exit, the compiler vectorizes this loop.
    let plain = rest
        .bytes()
        .fold(true, |plain, byte| plain & byte.is_ascii_graphic() & !matches!(byte, b'\\' | b'#'));
    let end =
        rest.bytes().position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let (host, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
    let label = host.bytes().rposition(|byte| byte == b'.').map_or(0, |dot| dot.saturating_add(1));
    plain
        && url.len() <= MAX_LENGTH
        && matches!(after.bytes().next(), None | Some(b'/' | b'?'))
        && host.as_bytes().get(label).is_some_and(u8::is_ascii_lowercase)
        && !host.as_bytes().windows(2).fold(false, |twice, pair| twice | (pair == b"--"))
}

/// Returns the authority as written: host and port.
pub(super) fn authority(after_scheme: &str) -> &str {
    after_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Returns the text after `http://` or `https://`, in upper or lower case.
pub(super) fn after_scheme(url: &str) -> Result<&str, String> {
    const EXPECTED: &str = "a URL begins with http:// or https://";
    let scheme = url.split([':', '/', '?', '#']).next().unwrap_or_default();
    let rest = url.get(scheme.len()..).unwrap_or_default();
    let is_scheme = rest.starts_with(':')
        && (1..=16).contains(&scheme.len())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err(EXPECTED.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("{EXPECTED}, not with {scheme}:"));
    }
    rest.strip_prefix("://").ok_or_else(|| format!("{EXPECTED}; the // is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_accepted_without_parsing_also_parses() {
        let (mut hosts, mut plain) = (vec![String::new()], 0);
        for length in 1..=6 {
            let longer = |host: &String| {
                ["a", "x", "n", "0", "-", ".", "--", ":"].map(|c| format!("{host}{c}"))
            };
            hosts = if length < 6 {
                hosts.iter().flat_map(longer).collect()
            } else {
                vec!["a".repeat(2_000)]
            };
            for host in &hosts {
                for rest in ["", "/%zz[]^|{}<>`\"", "?[]%", "/ ", "/#", "/\u{e9}", "\\"] {
                    let url = format!("https://{host}{rest}");
                    if is_plain(&url) {
                        plain += 1;
                        parse(&url).unwrap_or_else(|why| panic!("{url}: {why}"));
                    }
                }
            }
        }
        assert!(plain > 5_000, "{plain}");
        for parsed in [
            "1.2.3.4", "a.0x1", "xn--a", "a.", "A", "a:80", "[::1]", "\u{e4}", "", "a/\\", "a/#",
            "a/ ", "a@b", "a/\u{7f}",
        ] {
            assert!(!is_plain(&format!("https://{parsed}")), "{parsed}");
        }
        assert!(
            is_plain("http://a.b-c/x?y") && !is_plain("ftp://a.b/") && !is_plain("HTTP://a.b/")
        );
        let longest = format!("https://a/{}", "x".repeat(MAX_LENGTH - 10));
        assert!(is_plain(&longest) && !is_plain(&(longest + "x")));
    }
}
