//! Whether a host is public by its spelling.

use url::{Host, Url};

use super::special_use_addresses;
use crate::error::quoted;

/// Names that mean something in one's own network only, and so does every name below them: RFC 6761 (localhost), RFC
/// 6762 (local), RFC 8375 (home.arpa), and ICANN's resolution of 2024-07-29 (internal).
const LOCAL: &[&str] = &["localhost", "local", "internal", "home.arpa"];

/// Judges the host of `url`, which was parsed from `text`.
pub(super) fn check(text: &str, url: &Url) -> Result<(), String> {
    let refuse = |why: String| Err(format!("the host has to be public, but {why}"));
    match url.host() {
        None => refuse("there is none".to_owned()),
        Some(Host::Ipv4(address)) => match special_use_addresses::ipv4(address) {
            Some(kind) => refuse(format!("{address} is {kind}")),
            None if ends_in_dot(text) => {
                refuse(format!("{address} is written with a dot at the end"))
            }
            None => Ok(()),
        },
        Some(Host::Ipv6(address)) => {
            match (special_use_addresses::held_ipv4(address), special_use_addresses::ipv6(address))
            {
                (Some(held), _) => match special_use_addresses::ipv4(held) {
                    Some(kind) => refuse(format!("{address} holds {held}, {kind}")),
                    None => Ok(()),
                },
                (None, Some(kind)) => refuse(format!("{address} is {kind}")),
                (None, None) => Ok(()),
            }
        }
        Some(Host::Domain(name)) => match local(name) {
            Some(kind) => refuse(format!("{} is {kind}", quoted(name))),
            None => Ok(()),
        },
    }
}

/// What makes a name, in lower case as the parser leaves it, no public one.
fn local(name: &str) -> Option<&'static str> {
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
    let labels = name.split('.').filter(|label| !label.is_empty()).count();
    (labels < 2).then_some("a name of one label")
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
