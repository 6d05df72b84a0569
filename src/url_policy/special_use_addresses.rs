//! The address blocks that are not public.
//!
//! The blocks are those of IANA's special-purpose address registries (RFC 6890, RFC 8190) of
//! October 2025: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>. A block that the registries do
//! not list as globally reachable is not public, also if it is deprecated or "N/A". A globally
//! reachable block is listed here only inside of one that is not public. Three kinds are added:
//! multicast (RFC 5771, RFC 4291), site-local addresses (RFC 3879) and the rest of `::/96` (RFC
//! 4291).
//!
//! `std` has no stable function for this. `is_global` is unstable, and `is_private`, `is_loopback`
//! and the like leave gaps.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A prefix, its length in bits, and the description of its addresses for messages. The description
/// is none if they are globally reachable. The longest matching prefix decides.
type Block<P> = (P, u32, Option<&'static str>);

const GLOBAL: Option<&str> = None;
const BENCHMARK: Option<&str> = Some("an address for benchmarks");
const DOCUMENTATION: Option<&str> = Some("an address for documentation");
const LINK_LOCAL: Option<&str> = Some("a link-local address");
const LOOPBACK: Option<&str> = Some("a loopback address");
const MULTICAST: Option<&str> = Some("a multicast address");
const PRIVATE: Option<&str> = Some("a private address");
const PROTOCOLS: Option<&str> = Some("an address reserved for protocols");
const UNSPECIFIED: Option<&str> = Some("the unspecified address");

const IPV4: &[Block<[u8; 4]>] = &[
    ([0, 0, 0, 0], 8, Some("an address of \"this network\"")),
    ([0, 0, 0, 0], 32, UNSPECIFIED),
    ([10, 0, 0, 0], 8, PRIVATE),
    ([100, 64, 0, 0], 10, Some("a shared address")),
    ([127, 0, 0, 0], 8, LOOPBACK),
    ([169, 254, 0, 0], 16, LINK_LOCAL),
    ([172, 16, 0, 0], 12, PRIVATE),
    ([192, 0, 0, 0], 24, PROTOCOLS),
    ([192, 0, 0, 9], 32, GLOBAL),
    ([192, 0, 0, 10], 32, GLOBAL),
    ([192, 0, 2, 0], 24, DOCUMENTATION),
    ([192, 88, 99, 0], 24, Some("an address of a 6to4 relay")),
    ([192, 168, 0, 0], 16, PRIVATE),
    ([198, 18, 0, 0], 15, BENCHMARK),
    ([198, 51, 100, 0], 24, DOCUMENTATION),
    ([203, 0, 113, 0], 24, DOCUMENTATION),
    ([224, 0, 0, 0], 4, MULTICAST),
    ([240, 0, 0, 0], 4, Some("a reserved address")),
    ([255, 255, 255, 255], 32, Some("the broadcast address")),
];

const IPV6: &[Block<[u16; 8]>] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Some("an IPv4-compatible address")),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, UNSPECIFIED),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Some("a local NAT64 address")),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Some("a discard-only address")),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Some("a dummy address")),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, PROTOCOLS),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Some("a Teredo address")),
    ([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, GLOBAL),
    ([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, GLOBAL),
    ([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, GLOBAL),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, BENCHMARK),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, GLOBAL),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, GLOBAL),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, GLOBAL),
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, GLOBAL),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Some("a segment identifier")),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, PRIVATE),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Some("a site-local address")),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
];

/// An IPv6 prefix, its length in bits, and the function that extracts the embedded IPv4 address,
/// which is the destination of the packets.
type Embedding = ([u16; 8], u32, fn([u8; 16]) -> Ipv4Addr);

const EMBEDDINGS: &[Embedding] = &[
    // mapped (RFC 4291)
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, last_four),
    // translated (RFC 2765, RFC 7915)
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, last_four),
    // NAT64 (RFC 6052)
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, last_four),
    // 6to4 (RFC 3056)
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, after_two),
];

fn last_four([.., a, b, c, d]: [u8; 16]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

fn after_two([_, _, a, b, c, d, ..]: [u8; 16]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// Returns the description of an IPv4 address that is not globally reachable.
pub(super) fn ipv4(address: Ipv4Addr) -> Option<&'static str> {
    IPV4.iter()
        .filter(|(prefix, length, _)| {
            (address.to_bits() ^ Ipv4Addr::from(*prefix).to_bits()).leading_zeros() >= *length
        })
        .max_by_key(|(_, length, _)| *length)
        .and_then(|(_, _, kind)| *kind)
}

/// Returns the description of an IPv6 address that is not globally reachable. The caller also
/// checks the [embedded](embedded_ipv4) IPv4 address.
pub(super) fn ipv6(address: Ipv6Addr) -> Option<&'static str> {
    IPV6.iter()
        .filter(|(prefix, length, _)| has_prefix(address, *prefix, *length))
        .max_by_key(|(_, length, _)| *length)
        .and_then(|(_, _, kind)| *kind)
}

/// Returns the IPv4 address in a mapped, translated, NAT64, 6to4 or ISATAP address.
pub(super) fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    // An ISATAP address (RFC 5214) can have any prefix.
    if let [_, _, _, _, 0 | 0x200, 0x5efe, _, _] = address.segments() {
        return Some(last_four(address.octets()));
    }
    EMBEDDINGS
        .iter()
        .find(|(prefix, length, _)| has_prefix(address, *prefix, *length))
        .map(|(_, _, extract)| extract(address.octets()))
}

fn has_prefix(address: Ipv6Addr, prefix: [u16; 8], length: u32) -> bool {
    (address.to_bits() ^ Ipv6Addr::from(prefix).to_bits()).leading_zeros() >= length
}
