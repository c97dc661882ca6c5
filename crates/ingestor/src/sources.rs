//! Which addresses may send at all.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks of `INGEST_ALLOWED_SOURCES`; an empty list allows everybody.
#[derive(Debug, Clone, Default)]
pub struct AllowedSources(Vec<IpNet>);

impl AllowedSources {
    /// Allows these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Reads a network or a single address.
    #[must_use]
    pub fn parse_one(text: &str) -> Option<IpNet> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Whether `address` may send. An IPv4 address that came in over IPv6 counts as IPv4.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_allows_all_and_others_what_they_contain() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(AllowedSources::default().allow(address("203.0.113.1")));
        let networks =
            ["192.0.2.0/24", "2001:db8::1"].map(|text| AllowedSources::parse_one(text).unwrap()).to_vec();
        let sources = AllowedSources::new(networks);
        assert!(sources.allow(address("192.0.2.200")));
        assert!(sources.allow(address("::ffff:192.0.2.200")));
        assert!(sources.allow(address("2001:db8::1")));
        assert!(!sources.allow(address("192.0.3.1")));
        assert!(!sources.allow(address("2001:db8::2")));
        assert_eq!(AllowedSources::parse_one("192.0.2.0/33"), None);
    }
}
