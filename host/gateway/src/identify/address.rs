//! The client's address, where a trusted proxy stands before it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The address of the client. `x-forwarded-for` is believed only as far as it was written by
/// trusted proxies: the chain is walked from its near end, and the first address that is not a
/// trusted proxy is the client. A connection from anyone else is its own client.
pub fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let near = peer.ip().to_canonical();
    let is_proxy = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if trusted.is_empty() || !is_proxy(&near) {
        return near;
    }
    let mut client = near;
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = values
        .iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.rsplit(','));
    for hop in hops {
        // What cannot be read was not written by a proxy worth trusting: stop at what is known.
        let Some(address) = parse_hop(hop.trim()) else {
            break;
        };
        client = address;
        if !is_proxy(&client) {
            break;
        }
    }
    client
}

/// An address with or without a port, as proxies write them.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted = [
            "127.0.0.1/32".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ];
        client_address(
            SocketAddr::new(peer.parse().unwrap(), 9),
            &headers,
            &trusted,
        )
        .to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // What the client itself claims stands before what the proxy added.
        assert_eq!(
            client("127.0.0.1", &["1.1.1.1, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("127.0.0.1", &["198.51.100.1, 10.1.2.3"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("127.0.0.1", &["1.1.1.1", "198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(client("127.0.0.1", &["garbage"]), "127.0.0.1");
        assert_eq!(
            client("::ffff:127.0.0.1", &["[2001:db8::1]"]),
            "2001:db8::1"
        );
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }
}
