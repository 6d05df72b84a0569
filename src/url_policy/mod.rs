//! What a URL may be.

mod policy;
mod public_host;
mod special_use_addresses;

use std::borrow::Cow;

use url::Url;

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
    Url::parse(url).map_err(|cause| format!("not a URL: {cause}"))
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
