//! Whether a host is public by its spelling.

use url::{Host, Url};

use super::special_use_addresses;
use crate::error::quoted;

/// Names that mean something in one's own network only, and so does every name below them: RFC 6761 (localhost), RFC
/// 6762 (local), RFC 8375 (home.arpa), ICANN's resolution of 2024-07-29 (internal), and the domains that systems give to
/// localhost in their hosts file (localdomain and its two variants).
const LOCAL: &[&str] =
    &["localhost", "localdomain", "localdomain4", "localdomain6", "local", "internal", "home.arpa"];

/// The top-level domain that RFC 6761 keeps empty for ever.
const INVALID: &str = "invalid";

/// The longest name and label that DNS can carry (RFC 1035), without the dot at the end.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Judges host and port of `url`, which was parsed from `text`.
pub(super) fn check(text: &str, url: &Url) -> Vec<String> {
    let host =
        check_host(text, url).err().map(|why| format!("the host has to be public, but {why}"));
    let port = (url.port() == Some(0))
        .then(|| "the port cannot be 0, which nothing can listen on".to_owned());
    host.into_iter().chain(port).collect()
}

fn check_host(text: &str, url: &Url) -> Result<(), String> {
    match url.host() {
        None => Err("there is none".to_owned()),
        Some(Host::Ipv4(address)) => match special_use_addresses::ipv4(address) {
            Some(kind) => Err(format!("{address} is {kind}")),
            None if ends_in_dot(text) => Err(format!("{address} is written with a dot at the end")),
            None => Ok(()),
        },
        Some(Host::Ipv6(address)) => {
            let held = special_use_addresses::held_ipv4(address)
                .and_then(|held| Some((held, special_use_addresses::ipv4(held)?)));
            match (held, special_use_addresses::ipv6(address)) {
                (Some((held, kind)), _) => Err(format!("{address} holds {held}, {kind}")),
                (None, Some(kind)) => Err(format!("{address} is {kind}")),
                (None, None) => Ok(()),
            }
        }
        Some(Host::Domain(name)) => match fault(name) {
            Some(kind) => Err(format!("{} is {kind}", quoted(name))),
            None => Ok(()),
        },
    }
}

/// What makes a name, in lower case and ASCII as the parser leaves it, no public one.
fn fault(name: &str) -> Option<&'static str> {
    // With the dot a resolver takes the name as complete, and every comparison of endings would miss.
    if name.ends_with('.') {
        return Some("a name with a dot at the end");
    }
    let below = |zone: &str| {
        name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if LOCAL.iter().any(|zone| below(zone)) {
        return Some("a local name");
    }
    if below(INVALID) {
        return Some("a name that is kept invalid");
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
    // The URL standard lets these pass, DNS has them for other records, and no public host is called so.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Some("a name with a character that no host name has");
    }
    (!name.contains('.')).then_some("a name of one label")
}

/// Whether the host as written ends in a dot, which the parser drops behind an IPv4 address.
///
/// The dot can be escaped, full-width, or followed by what the parser skips. So the parser itself is asked: with an `x`
/// at its end the host is a name, and the `x` is a label of its own exactly behind a dot.
fn ends_in_dot(url: &str) -> bool {
    let authority = super::after_scheme(url).map_or("", super::authority);
    let host = authority.split(':').next().unwrap_or_default();
    Host::parse(&format!("{host}x")).is_ok_and(|host| match host {
        Host::Domain(name) => name.ends_with(".x"),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    })
}
