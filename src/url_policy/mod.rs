//! What a URL may be.

mod policy;
mod public_host;
mod special_use_addresses;

use std::borrow::Cow;

use url::{ParseError, Url};

pub use policy::UrlPolicy;

const LONGEST: usize = 2_048;

/// The URL as its standard writes it, so that two writings of one are the same text; as it is where it is none.
pub(crate) fn normal(url: &str) -> String {
    check(url).map_or_else(|_| url.to_owned(), String::from)
}

/// The URL as `Debug` shows it. A URL that no registry takes can hold a user name and a password, and then everything that
/// could be of them is left out. The last sign that ends them is looked for anywhere, because the parser finds it in other
/// places than a reader does.
pub(crate) fn redacted(url: &str) -> Cow<'_, str> {
    // An `@`, and what the parser reads as one.
    const ENDS: [&str; 4] = ["@", "%40", "\u{ff20}", "\u{fe6b}"];
    let behind = |end: &&str| Some(url.rsplit_once(end)?.1);
    match ENDS.iter().filter_map(behind).min_by_key(|rest| rest.len()) {
        Some(rest) if check(url).is_err() => {
            let scheme = after_scheme(url).ok().and_then(|after| url.strip_suffix(after));
            Cow::Owned(format!("{}redacted@{rest}", scheme.unwrap_or_default()))
        }
        _ => Cow::Borrowed(url),
    }
}

/// The rules for every URL. The reason names the part at fault, never the whole URL: it can hold a password or a token.
fn check(url: &str) -> Result<Url, String> {
    check_shape(url)?;
    Url::parse(url).map_err(|cause| match cause {
        ParseError::InvalidPort => {
            "not a URL: the port behind the host is not a number from 0 to 65535".to_owned()
        }
        cause => format!("not a URL: {cause}"),
    })
}

/// The rules for every URL short of the parser.
fn check_shape(url: &str) -> Result<(), String> {
    if url.len() > LONGEST {
        return Err(format!("a URL has at most {LONGEST} bytes, not {}", url.len()));
    }
    // The parser would strip, skip or turn round these before it reads, and then the URL kept is not the URL called.
    if let Some((at, c)) =
        url.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control() || *c == '\\')
    {
        let what = if c == '\\' { "a backslash" } else { "white space or a control character" };
        return Err(format!("a URL cannot hold {what} (at byte {at})"));
    }
    let authority = authority(after_scheme(url)?);
    if authority.is_empty() {
        return Err("a URL needs a host right after its \"//\"".to_owned());
    }
    if authority.contains('@') {
        return Err(
            "a URL cannot hold a user name or password; use the signing secret instead".to_owned()
        );
    }
    if url.contains('#') {
        return Err("a URL cannot hold a fragment (#…), which is never sent".to_owned());
    }
    Ok(())
}

/// The rules for every URL, of one that was read back. A page of a list has a hundred of them, and the parser would take a
/// third of the time of a row, so it is spared what it takes anyway.
pub(crate) fn check_kept(url: &str) -> Result<(), String> {
    if is_plain(url) { Ok(()) } else { check(url).map(drop) }
}

/// The same without the parser, for dispatch.
pub(crate) fn check_kept_shape(url: &str) -> Result<(), String> {
    if is_plain(url) { Ok(()) } else { check_shape(url) }
}

/// Whether a URL surely keeps the rules, as most do: visible ASCII, and a host of plain labels, of which the last is no
/// number and none has two hyphens in a row, as Punycode has, without a port. Behind the host the parser refuses nothing.
fn is_plain(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    // Without an early end this loop is done many bytes at a time.
    let plain = rest
        .bytes()
        .fold(true, |plain, byte| plain & byte.is_ascii_graphic() & !matches!(byte, b'\\' | b'#'));
    let end =
        rest.bytes().position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let (host, behind) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
    let label = host.bytes().rposition(|byte| byte == b'.').map_or(0, |dot| dot.saturating_add(1));
    plain
        && url.len() <= LONGEST
        && matches!(behind.bytes().next(), None | Some(b'/' | b'?'))
        && host.as_bytes().get(label).is_some_and(u8::is_ascii_lowercase)
        && !host.as_bytes().windows(2).fold(false, |twice, pair| twice | (pair == b"--"))
}

/// Host and port as written.
fn authority(after_scheme: &str) -> &str {
    after_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}

/// What stands behind `http://` or `https://`, in any case.
fn after_scheme(url: &str) -> Result<&str, String> {
    const ASKED: &str = "a URL begins with http:// or https://";
    let scheme = url.split([':', '/', '?', '#']).next().unwrap_or_default();
    let rest = url.get(scheme.len()..).unwrap_or_default();
    let is_scheme = rest.starts_with(':')
        && (1..=16).contains(&scheme.len())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err(ASKED.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("{ASKED}, not with {scheme}:"));
    }
    rest.strip_prefix("://").ok_or_else(|| format!("{ASKED}; the // is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_the_parser_is_not_asked_about_is_one_that_it_takes() {
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
                        check(&url).unwrap_or_else(|why| panic!("{url}: {why}"));
                    }
                }
            }
        }
        assert!(plain > 5_000, "{plain}");
        for asked in [
            "1.2.3.4", "a.0x1", "xn--a", "a.", "A", "a:80", "[::1]", "\u{e4}", "", "a/\\", "a/#",
            "a/ ", "a@b", "a/\u{7f}",
        ] {
            assert!(!is_plain(&format!("https://{asked}")), "{asked}");
        }
        assert!(
            is_plain("http://a.b-c/x?y") && !is_plain("ftp://a.b/") && !is_plain("HTTP://a.b/")
        );
        let longest = format!("https://a/{}", "x".repeat(LONGEST - 10));
        assert!(is_plain(&longest) && !is_plain(&(longest + "x")));
    }
}
