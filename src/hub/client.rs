//! Where a request comes from, when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Network;

const FORWARDED: &str = "x-forwarded-for";

/// The other end of the connection, put beside each request by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub SocketAddr);

/// The client: the peer, or as long as that is a trusted proxy, whom it says it speaks for. Each proxy appends, so the
/// list is read from its right end; what stands left of the first address that we do not trust, anybody can have sent.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let lines: Vec<&str> =
        headers.get_all(FORWARDED).iter().map(|line| line.to_str().unwrap_or("")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        let Some(next) = parse(hop.trim()) else { break };
        client = next.to_canonical();
    }
    client
}

/// What one caller is counted by: an address, or the /64 of IPv6 that one customer gets.
pub(super) fn counted_as(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// An address, as some proxies write it also with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn seen(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let variable = ("WADDLEBOT_HUB__TRUSTED_PROXIES".to_owned(), trusted.to_owned());
        let config = Config::local(std::iter::once(variable)).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        address(peer.parse().unwrap(), &headers, &config.hub.trusted_proxies).to_string()
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        for (trusted, peer, lines, client) in [
            ("10.0.0.0/8", "203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.7.7.7"], "203.0.113.9"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4, nonsense"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("fd00::/8", "fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
        ] {
            assert_eq!(seen(trusted, peer, lines), client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn one_customer_of_ipv6_counts_once() {
        let counted = |text: &str| counted_as(text.parse().unwrap());
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:0:0:1"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("203.0.113.9"), "203.0.113.9");
    }
}
