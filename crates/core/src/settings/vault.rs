//! Where the secrets are.

use std::{path::PathBuf, time::Duration};

use super::{Reader, process};

/// Where the secrets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsSettings {
    /// Vault or a file.
    pub backend: SecretsBackend,
}

/// The kinds of place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub enum SecretsBackend {
    /// A Vault server, or one that speaks as it does.
    Vault(VaultSettings),
    /// A file of dotenv lines that only its owner can read.
    File(PathBuf),
}

/// How Vault is reached and what is read there.
#[derive(Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// `VAULT_ADDR`, a URL.
    pub address: String,
    /// AppRole role id.
    pub role_id: String,
    /// Read again at each login.
    pub secret_id_file: PathBuf,
    /// Where AppRole is mounted.
    pub auth_mount: String,
    /// Enterprise namespace.
    pub namespace: Option<String>,
    /// The authority to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Of one request.
    pub timeout: Duration,
    /// Where the key-value engine is mounted, without slashes around it.
    pub mount: String,
    /// The secret's path below the mount.
    pub path: String,
    /// 1 or 2.
    pub kv_version: u8,
    /// A token is renewed when it has less than this left.
    pub renew_threshold: Duration,
    /// Between two looks at the token and the secrets.
    pub refresh_interval: Duration,
    /// How long a Vault that is away is waited for at start.
    pub start_limit: Duration,
}

impl std::fmt::Debug for VaultSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The role id is half of a login.
        f.debug_struct("VaultSettings")
            .field("address", &self.address)
            .field("mount", &self.mount)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vault,
    File,
}

impl SecretsSettings {
    /// Reads the section `secrets`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("secrets");
        let kind = reader.choice(
            "SECRETS_BACKEND",
            "vault",
            &[("vault", Kind::Vault), ("file", Kind::File)],
            "Where keys and passwords come from",
        );
        let backend = match kind {
            Kind::File => SecretsBackend::File(read_file(reader)),
            Kind::Vault => SecretsBackend::Vault(read_vault(reader)),
        };
        Self { backend }
    }
}

fn read_file(reader: &mut Reader) -> PathBuf {
    const DOC: &str = "File of KEY=value lines, mode 0600, with the secrets by Vault's key names";
    let path = reader.path("SECRETS_FILE", "", DOC);
    if path.is_none() {
        reader.problem("SECRETS_FILE", "must be set when SECRETS_BACKEND is file");
    }
    path.unwrap_or_default()
}

fn read_vault(reader: &mut Reader) -> VaultSettings {
    const SECRET_ID: &str = "/etc/mutt/secrets/vault_secret_id";
    let address = reader.required_url("VAULT_ADDR", "Address of Vault, with https:// and port");
    let role_id = reader.required_text("VAULT_ROLE_ID", "Role id of the AppRole login");
    let secret_id_file =
        reader.path("VAULT_SECRET_ID_FILE", SECRET_ID, "File with the secret id of the AppRole login");
    let auth_mount = reader.text("VAULT_AUTH_MOUNT", "approle", "Where AppRole is mounted in Vault");
    let mount = reader.text("VAULT_KV_MOUNT", "secret", "Where the key-value engine is mounted in Vault");
    let path = reader.text("VAULT_SECRETS_PATH", "mutt/prod", "Path of the secret below VAULT_KV_MOUNT");
    let mount = mount.trim_matches('/').to_owned();
    let settings = VaultSettings {
        path: below_mount(&path, &mount),
        kv_version: reader.number("VAULT_KV_VERSION", 2, 1..=2, "Version of the key-value engine"),
        namespace: reader.optional_text("VAULT_NAMESPACE", "Namespace in Vault Enterprise"),
        ca_file: reader.path("VAULT_CA_CERT_PATH", "", "Authority that signed the certificate of Vault"),
        timeout: reader.seconds("VAULT_TIMEOUT", 5, 1..=120, "How long one request to Vault may take"),
        renew_threshold: reader.seconds(
            "VAULT_TOKEN_RENEW_THRESHOLD",
            3600,
            1..=86_400 * 30,
            "Renew the token when it has less than this left",
        ),
        refresh_interval: reader.seconds(
            "VAULT_RENEW_CHECK_INTERVAL",
            300,
            1..=86_400,
            "Between two looks at token and secrets",
        ),
        start_limit: process::start_timeout(reader),
        secret_id_file: secret_id_file.unwrap_or_default(),
        auth_mount: auth_mount.trim_matches('/').to_owned(),
        address,
        role_id,
        mount,
    };
    if settings.address.starts_with("http://") && !process::is_local_url(&settings.address) {
        reader.warn(
            "VAULT_ADDR",
            "is http:// to another machine: every secret crosses the network in the clear",
        );
    }
    settings
}

/// The original's documents put the mount in front of the path; so may the setting.
fn below_mount(path: &str, mount: &str) -> String {
    let path = path.trim_matches('/');
    path.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_begin_with_its_mount() {
        assert_eq!(below_mount("secret/mutt/prod", "secret"), "mutt/prod");
        assert_eq!(below_mount("/mutt/prod/", "secret"), "mutt/prod");
        assert_eq!(below_mount("secrets/mutt", "secret"), "secrets/mutt");
    }
}
