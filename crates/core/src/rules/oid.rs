//! OID prefixes on arc boundaries: `1.3.6.1` covers `1.3.6.1` and `1.3.6.1.4`, never `1.3.6.10`.
//!
//! A leading dot is ignored everywhere; in a prefix, a trailing dot or `.*` says the same as no ending.

use std::{fmt, str::FromStr};

use super::rank::Ranks;
use crate::domain::event::SyslogSeverity;

/// An OID as numbers, in rules and in events alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidPrefix(Vec<u64>);

/// Why a text is not an OID prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OidError {
    /// Nothing is left of it.
    #[error("an empty prefix would match every trap")]
    Empty,
    /// A part between dots is not a number (names such as `iso` or `enterprises` are not looked up).
    #[error("each part between dots must be a number, as in 1.3.6.1.4.1.9.9.41.2")]
    NotNumeric,
}

impl FromStr for OidPrefix {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        let text = text.trim();
        let text = text.strip_suffix(".*").or_else(|| text.strip_suffix('.')).unwrap_or(text);
        let text = text.strip_prefix('.').unwrap_or(text);
        if text.is_empty() || text == "*" {
            return Err(OidError::Empty);
        }
        arcs(text).collect::<Option<_>>().map(Self).ok_or(OidError::NotNumeric)
    }
}

impl fmt::Display for OidPrefix {
    /// The dotted form without a leading dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arc) in self.0.iter().enumerate() {
            write!(f, "{}{arc}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl OidPrefix {
    /// Whether an event's OID is this one or lies below it.
    #[must_use]
    pub fn covers(&self, oid: &str) -> bool {
        let mut event = event_arcs(oid);
        self.0.iter().all(|arc| event.next() == Some(Some(*arc)))
    }
}

fn event_arcs(oid: &str) -> impl Iterator<Item = Option<u64>> {
    let oid = oid.trim();
    arcs(oid.strip_prefix('.').unwrap_or(oid))
}

/// The numbers between dots; `None` for a part that is not one. Digits only: `parse` would take a sign.
fn arcs(oid: &str) -> impl Iterator<Item = Option<u64>> {
    oid.split('.').map(|arc| arc.bytes().all(|b| b.is_ascii_digit()).then(|| arc.parse().ok()).flatten())
}

/// All OID rules as a tree of arcs; a lookup costs the event's arcs, not the rules.
#[derive(Debug, Default)]
pub(super) struct OidTree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    ranks: Ranks,
    /// Sorted by arc.
    children: Vec<(u64, usize)>,
}

impl OidTree {
    pub(super) fn insert(&mut self, prefix: &OidPrefix, rank: u32, severity: Option<SyslogSeverity>) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = 0;
        for &arc in &prefix.0 {
            node = match self.nodes[node].children.binary_search_by_key(&arc, |child| child.0) {
                Ok(index) => self.nodes[node].children[index].1,
                Err(index) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children.insert(index, (arc, new));
                    new
                }
            };
        }
        self.nodes[node].ranks.add(rank, severity);
    }

    /// The lowest rank among the rules whose prefix covers `oid`.
    pub(super) fn best(&self, oid: &str, severity: Option<SyslogSeverity>) -> u32 {
        let mut best = Ranks::NONE;
        let Some(mut node) = self.nodes.first() else {
            return best;
        };
        for arc in event_arcs(oid) {
            let Some(arc) = arc else { break };
            let Ok(index) = node.children.binary_search_by_key(&arc, |child| child.0) else {
                break;
            };
            node = &self.nodes[node.children[index].1];
            best = best.min(node.ranks.best(severity));
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> OidPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_ends_between_arcs() {
        assert!(prefix("1.3.6.1.4.1.9.9.41.2").covers("1.3.6.1.4.1.9.9.41.2.0.1"));
        assert!(prefix("1.3.6.1.4.1.9.9.41.2").covers("1.3.6.1.4.1.9.9.41.2"));
        assert!(!prefix("1.3.6.1.4.1.9.9.41.2").covers("1.3.6.1.4.1.9.9.41.20"));
        assert!(!prefix("1.3.6.1").covers("1.3.6"));
    }

    #[test]
    fn dots_at_the_ends_and_a_star_change_nothing() {
        for text in [".1.3.6", "1.3.6.", "1.3.6.*", " .1.3.6.* "] {
            assert_eq!(prefix(text).to_string(), "1.3.6", "{text}");
            assert!(prefix(text).covers(".1.3.6.1"));
        }
    }

    #[test]
    fn what_is_not_an_oid_is_refused() {
        for text in ["", ".", "*", ".*", "  "] {
            assert_eq!(text.parse::<OidPrefix>(), Err(OidError::Empty), "{text}");
        }
        for text in ["iso.3.6", "1.3.*.4", "1..3", "1.-3", "1.+3", "99999999999999999999999"] {
            assert_eq!(text.parse::<OidPrefix>(), Err(OidError::NotNumeric), "{text}");
        }
    }

    #[test]
    fn the_tree_takes_the_lowest_rank_on_the_way_down() {
        let mut tree = OidTree::default();
        tree.insert(&prefix("1.3.6"), 2, None);
        tree.insert(&prefix("1.3.6.1.4"), 1, SyslogSeverity::new(3));
        tree.insert(&prefix("1.3.6.1.4.1"), 5, None);
        assert_eq!(tree.best("1.3.6.1.4.1.9", SyslogSeverity::new(3)), 1);
        assert_eq!(tree.best("1.3.6.1.4.1.9", SyslogSeverity::new(4)), 2);
        assert_eq!(tree.best("1.3.6.1.4.1.9", None), 2);
        assert_eq!(tree.best("1.3.60", None), Ranks::NONE);
        assert_eq!(tree.best("not an oid", None), Ranks::NONE);
    }
}
