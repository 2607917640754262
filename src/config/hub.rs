//! `[hub]`: the HTTP listener and who may call it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use secrecy::SecretString;

use super::reader::Reader;
use super::section::Section;

/// The HTTP listener and who may call it.
#[derive(Clone, Debug)]
pub struct HubConfig {
    pub listen: SocketAddr,
    /// How browsers and platforms reach the hub, without a slash at the end. `None`: the listener's address.
    pub public_url: Option<String>,
    /// What services prove themselves with. `None` only on loopback: made once in `<data_dir>/service.key`.
    pub service_key: Option<SecretString>,
    /// Signs what browsers hold. `None`: made at each start, and sessions end with the process.
    pub session_secret: Option<SecretString>,
    /// Whose `X-Forwarded-For` is believed; empty: nobody's.
    pub trusted_proxies: Vec<Network>,
}

impl HubConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("hub");
        let hub = Self {
            listen: section
                .address("listen")
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080))),
            public_url: section.http_base("public_url"),
            service_key: section.key_secret("service_key"),
            session_secret: section.key_secret("session_secret"),
            trusted_proxies: section.list("trusted_proxies", Network::parse).unwrap_or_default(),
        };
        hub.check_exposure(&mut section);
        hub
    }

    fn check_exposure(&self, section: &mut Section<'_, '_>) {
        let has_key = section.has("service_key") || section.has("service_key_file");
        if !self.listen.ip().to_canonical().is_loopback() && !has_key {
            section.refuse(
                "listen",
                "listening beyond loopback needs hub.service_key (at least 32 bytes); `openssl rand -hex 32` makes one",
            );
        }
    }
}

/// A range of IP addresses, written `10.0.0.0/8`; one address alone is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether the address lies in this range; an IPv4 address inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let refused = || "must hold IP addresses or ranges, such as 10.0.0.0/8".to_owned();
        let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(refused)?,
            None => bits_max,
        };
        Ok(Self { address, prefix_bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
        ] {
            let network = Network::parse(range).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{range} {outside}");
        }
        for bad in ["10.0.0.0/33", "proxy.example", "10.0.0.0/", "/8"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
