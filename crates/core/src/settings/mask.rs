//! Keeps secrets that strayed into settings out of what is printed.

/// What is shown instead of a secret; its length says nothing.
pub(super) const MASKED: &str = "********";

/// `value` as it may be shown: hidden when `key` names a secret, and without the password of a URL.
pub(super) fn shown(key: &str, value: &str) -> String {
    if names_a_secret(key) && !value.is_empty() {
        return MASKED.to_owned();
    }
    without_credentials(value)
}

/// Whether a key by this name would hold a secret rather than say where one is.
pub(super) fn names_a_secret(key: &str) -> bool {
    const ENDS: [&str; 11] = [
        "PASS",
        "PASSWORD",
        "PASS_CURRENT",
        "PASS_NEXT",
        "SECRET",
        "SECRET_ID",
        "TOKEN",
        "API_KEY",
        "PRIVATE_KEY",
        "COMMUNITY",
        "ROLE_ID",
    ];
    let key = key.to_ascii_uppercase();
    ENDS.iter().any(|end| key.ends_with(end))
}

/// `scheme://user:password@host` becomes `scheme://********@host`.
fn without_credentials(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{MASKED}{}", rest.get(at..).unwrap_or_default()),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_places_of_secrets_are_not() {
        for key in ["DB_PASS_CURRENT", "redis_pass", "MOOG_API_KEY", "VAULT_ROLE_ID", "VAULT_TOKEN"] {
            assert_eq!(shown(key, "hunter2"), MASKED, "{key}");
        }
        for key in
            ["VAULT_SECRET_ID_FILE", "VAULT_TOKEN_RENEW_THRESHOLD", "MOOG_RATE_LIMIT_KEY", "SECRETS_FILE"]
        {
            assert_eq!(shown(key, "x"), "x", "{key}");
        }
    }

    #[test]
    fn a_url_loses_its_password_and_nothing_else() {
        assert_eq!(shown("MOOG_WEBHOOK_URL", "https://u:p@moog/a?b=c"), "https://********@moog/a?b=c");
        assert_eq!(shown("MOOG_WEBHOOK_URL", "https://moog/a@b"), "https://moog/a@b");
    }
}
