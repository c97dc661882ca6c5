//! Host names as people and devices write them, and what is known about a host: its environment and its team.
//!
//! **When is a listed name the host of an event?** Case, surrounding blanks and a trailing dot never matter.
//! - A listed name with a dot is a whole name (an FQDN or an address): it means exactly that host.
//! - A listed name without a dot is a short name: it means the host of that name and `<name>.<any domain>`.
//! - An event that carries only a short name is never taken for a listed FQDN: two domains may both have a `core1`,
//!   and treating a production host as a development host would silence its pages.
//!
//! An exact entry beats a short one. Addresses are compared as addresses, so `2001:DB8::1` is `2001:db8:0::1`.

use std::{borrow::Cow, collections::HashMap, fmt, net::IpAddr};

/// A host name in the one form in which names are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

impl Hostname {
    /// Brings a name to its canonical form; `None` when nothing is left of it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let canonical = canonical(text);
        (!canonical.is_empty()).then(|| Self(canonical.into_owned()))
    }

    /// The canonical form: lower case, no trailing dot, addresses as RFC 5952 prints them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn canonical(text: &str) -> Cow<'_, str> {
    let name = text.trim();
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-' | b'_'))
        || name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
            && name.bytes().any(|b| b.is_ascii_lowercase())
    {
        return Cow::Borrowed(name);
    }
    match name.parse::<IpAddr>() {
        Ok(address) => Cow::Owned(address.to_canonical().to_string()),
        Err(_) => Cow::Owned(name.to_lowercase()),
    }
}

/// Something known per host, found by the rule in this module's header.
#[derive(Debug, Clone)]
pub struct HostTable<V> {
    entries: HashMap<String, V>,
}

impl<V> Default for HostTable<V> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<V, S: AsRef<str>> FromIterator<(S, V)> for HostTable<V> {
    /// Names that are empty are left out; of two names with one canonical form the later one counts.
    fn from_iter<I: IntoIterator<Item = (S, V)>>(entries: I) -> Self {
        let entries = entries
            .into_iter()
            .filter_map(|(name, value)| Hostname::new(name.as_ref()).map(|name| (name.0, value)))
            .collect();
        Self { entries }
    }
}

impl<V> HostTable<V> {
    /// What is known about the host that an event names.
    #[must_use]
    pub fn get(&self, hostname: &str) -> Option<&V> {
        if self.entries.is_empty() {
            return None;
        }
        let name = canonical(hostname);
        self.entries.get(&*name).or_else(|| {
            let (short, _domain) = name.split_once('.')?;
            // The "short name" of 10.1.2.3 would be 10.
            if name.parse::<IpAddr>().is_ok() { None } else { self.entries.get(short) }
        })
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The team each listed host belongs to.
pub type Teams = HostTable<String>;

/// The hosts whose events are handled as development.
#[derive(Debug, Clone, Default)]
pub struct DevelopmentHosts(HostTable<()>);

impl<S: AsRef<str>> FromIterator<S> for DevelopmentHosts {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(|name| (name, ())).collect())
    }
}

impl DevelopmentHosts {
    /// Where the host of an event belongs: production unless it is listed.
    #[must_use]
    pub fn environment_of(&self, hostname: &str) -> Environment {
        if self.0.get(hostname).is_some() { Environment::Development } else { Environment::Production }
    }

    /// The number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which of a rule's two handlings counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Environment {
    /// Every host that is not listed as a development host.
    Production,
    /// A listed development host.
    Development,
}

impl Environment {
    /// The word in the audit and in alerts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "prod",
            Self::Development => "dev",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_dev(listed: &[&str], event: &str) -> bool {
        listed.iter().collect::<DevelopmentHosts>().environment_of(event) == Environment::Development
    }

    #[test]
    fn case_blanks_and_a_trailing_dot_do_not_matter() {
        assert!(is_dev(&["Lab-SW1.Example.COM"], "lab-sw1.example.com."));
        assert!(is_dev(&[" lab1 "], "LAB1"));
        assert!(is_dev(&["KÖLN1"], "köln1"));
    }

    #[test]
    fn a_listed_short_name_means_that_host_in_any_domain() {
        assert!(is_dev(&["lab1"], "lab1.example.com"));
        assert!(!is_dev(&["lab1"], "lab10.example.com"));
        assert!(!is_dev(&["lab1"], "x.lab1.example.com"));
    }

    #[test]
    fn a_listed_fqdn_means_exactly_that_host() {
        assert!(!is_dev(&["lab1.example.com"], "lab1"));
        assert!(!is_dev(&["lab1.example.com"], "lab1.example.org"));
    }

    #[test]
    fn addresses_compare_as_addresses_and_have_no_short_name() {
        assert!(is_dev(&["2001:DB8:0::1"], "2001:db8::1"));
        assert!(is_dev(&["10.1.2.3"], "10.1.2.3"));
        assert!(is_dev(&["10.1.2.3"], "::ffff:10.1.2.3"));
        assert!(!is_dev(&["10"], "10.1.2.3"));
    }

    #[test]
    fn an_exact_team_beats_the_short_name() {
        let teams: Teams = [("core1", "Net"), ("core1.lab.example.com", "Lab"), ("", "Nobody")]
            .map(|(host, team)| (host, team.to_owned()))
            .into_iter()
            .collect();
        assert_eq!(teams.len(), 2);
        assert_eq!(teams.get("core1.lab.example.com").map(String::as_str), Some("Lab"));
        assert_eq!(teams.get("core1.example.com").map(String::as_str), Some("Net"));
        assert_eq!(teams.get("core2"), None);
    }
}
