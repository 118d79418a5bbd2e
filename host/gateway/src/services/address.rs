//! Which addresses a policy may reach: those of the public internet, and no others.
//!
//! A policy is code that an operator may not have written. Whatever name it is granted, the name's
//! owner decides what it resolves to, so every address is looked at, not the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet's.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // "This network", private, loopback.
        (0 | 10 | 127, _, _) => true,
        // Shared by providers behind carrier-grade NAT (RFC 6598).
        (100, 64..=127, _) => true,
        // Link-local, with the metadata services of clouds.
        (169, 254, _) => true,
        (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments; documentation (RFC 5737); the old 6to4 relays.
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => true,
        // Benchmarks (RFC 2544).
        (198, 18 | 19, _) => true,
        // Multicast, reserved, broadcast.
        (224..=255, _, _) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, ..] = segments;
    // Forms that carry an IPv4 address are as public as that one.
    if let Some(inner) = embedded_v4(&segments) {
        return is_public_v4(inner);
    }
    // Global unicast is 2000::/3; loopback, ULA, link-local, site-local and multicast lie outside.
    let global = a & 0xe000 == 0x2000;
    // 2001::/23 holds protocols of the IETF (Teredo among them), the others are documentation.
    let special = matches!((a, b), (0x2001, 0..0x0200 | 0x0db8) | (0x3fff, 0..0x1000));
    global && !special
}

/// The IPv4 address within a mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) one.
fn embedded_v4(segments: &[u16; 8]) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match *segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(from(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}
