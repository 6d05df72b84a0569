//! Recognition of hosts that are not public, from the text of a URL.

use url::{Host, Url};

use super::{rules, special_use_addresses};
use crate::error::quoted;

/// Names that have a meaning in a private network only, like all names below them.
///
/// The sources are RFC 6761 (localhost), RFC 6762 (local), RFC 8375 (home.arpa), ICANN's resolution
/// of 2024-07-29 (internal), and the hosts files of operating systems (localdomain and its two
/// variants).
const LOCAL: &[&str] =
    &["localhost", "localdomain", "localdomain4", "localdomain6", "local", "internal", "home.arpa"];

/// The top-level domain that RFC 6761 reserves as invalid.
const INVALID: &str = "invalid";

/// The greatest lengths in DNS (RFC 1035), in bytes, without the dot at the end.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Returns the reasons against the host and the port of `url`, which was parsed from `text`.
pub(super) fn check(text: &str, url: &Url) -> Vec<String> {
    let host =
        check_host(text, url).err().map(|why| format!("the host has to be public, but {why}"));
    let port = (url.port() == Some(0))
        .then(|| "the port cannot be 0, which nothing can listen on".to_owned());
    host.into_iter().chain(port).collect()
}

fn check_host(text: &str, url: &Url) -> Result<(), String> {
    match url.host() {
        None => Err("the URL has none".to_owned()),
        Some(Host::Ipv4(address)) => match special_use_addresses::ipv4(address) {
            Some(kind) => Err(format!("{address} is {kind}")),
            None if ends_with_dot(text) => {
                Err(format!("{address} is written with a dot at the end"))
            }
            None => Ok(()),
        },
        Some(Host::Ipv6(address)) => {
            let embedded = special_use_addresses::embedded_ipv4(address)
                .and_then(|ipv4| Some((ipv4, special_use_addresses::ipv4(ipv4)?)));
            match (embedded, special_use_addresses::ipv6(address)) {
                (Some((ipv4, kind)), _) => Err(format!("{address} contains {ipv4}, {kind}")),
                (None, Some(kind)) => Err(format!("{address} is {kind}")),
                (None, None) => Ok(()),
            }
        }
        Some(Host::Domain(name)) => match non_public_name(name) {
            Some(kind) => Err(format!("{} is {kind}", quoted(name))),
            None => Ok(()),
        },
    }
}

/// Returns the reason why a name is not public. The parser has converted it to lower case and
/// ASCII.
fn non_public_name(name: &str) -> Option<&'static str> {
    // To a resolver `localhost.` is the absolute form of `localhost`. The comparisons below would
    // not match it.
    if name.ends_with('.') {
        return Some("a name with a dot at the end");
    }
    let is_in = |zone: &str| {
        name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if LOCAL.iter().any(|zone| is_in(zone)) {
        return Some("a local name");
    }
    if is_in(INVALID) {
        return Some("a name that is reserved as invalid");
    }
    if name.split('.').any(str::is_empty) {
        return Some("a name with an empty label");
    }
    if name.split('.').any(|label| label.len() > MAX_LABEL) {
        return Some("a name with a label of more than 63 bytes");
    }
    if name.len() > MAX_NAME {
        return Some("a name of more than 253 bytes");
    }
    // The URL standard accepts other characters, and DNS allows them in other records, but no
    // public host has such a name.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Some("a name with a character that host names cannot contain");
    }
    (!name.contains('.')).then_some("a name with one label")
}

/// Returns whether the host as written ends with a dot, which the parser drops after an IPv4
/// address.
///
/// The dot can be escaped, full-width, or followed by characters that the parser skips. So the
/// parser decides: with an `x` appended the host is a name, and the `x` is a label of its own only
/// after a dot.
fn ends_with_dot(url: &str) -> bool {
    let authority = rules::after_scheme(url).map_or("", rules::authority);
    let host = authority.split(':').next().unwrap_or_default();
    Host::parse(&format!("{host}x")).is_ok_and(|host| match host {
        Host::Domain(name) => name.ends_with(".x"),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    })
}
