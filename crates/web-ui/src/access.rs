//! Who is calling, and what they may do: an API key in a header, or the cookie of a session.

mod guard;
mod keys;
mod sessions;
mod throttle;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    guard::{Provenance, identify, refuse_keys_in_addresses, require},
    keys::LiveKeys,
    sessions::{Sessions, cookie_of, token_in},
    throttle::Throttle,
};

/// What a caller may do; each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Look.
    Viewer,
    /// Change rules, hosts and teams.
    Operator,
    /// Change live settings.
    Admin,
}

impl Role {
    /// The role of a key, which its name tells: `WEBUI_API_KEY_VIEWER…` looks, `WEBUI_API_KEY_OPERATOR…` operates, and
    /// every other one, `WEBUI_API_KEY` itself among them, is an administrator's.
    fn of_key(name: &str) -> Self {
        let begins =
            |word: &str| name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        if begins("viewer") {
            Self::Viewer
        } else if begins("operator") {
            Self::Operator
        } else {
            Self::Admin
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// A known caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// For the audit: how they came in, and the name of the key; never any part of a key.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_administrators_unless_its_name_says_less() {
        for (name, role) in [
            ("default", Role::Admin),
            ("next", Role::Admin),
            ("viewers_club", Role::Admin),
            ("viewer", Role::Viewer),
            ("viewer_noc", Role::Viewer),
            ("operator_night", Role::Operator),
        ] {
            assert_eq!(Role::of_key(name), role, "{name}");
        }
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
