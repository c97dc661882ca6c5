//! Secrets from a real Vault (OpenBao) and from a file, through everything that happens to a Vault.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mutt_core::runtime::Lifecycle;
use mutt_core::secrets::{self, Key, Secrets, SecretsError};
use mutt_core::settings::vault::{SecretsBackend, SecretsSettings, VaultSettings};
use mutt_test_support::{AppRole, AppRoleOptions, Authority, Link, Proxy, VaultServer, eventually};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A Vault with secrets and a role, and a directory with the secret id.
struct Peer {
    vault: VaultServer,
    role: AppRole,
    dir: TempDir,
}

impl Peer {
    async fn start(role: AppRoleOptions) -> Option<Self> {
        let vault = VaultServer::start().await?;
        Some(Self::around(vault, role).await)
    }

    async fn around(vault: VaultServer, role: AppRoleOptions) -> Self {
        let peer_values = [("MOOG_API_KEY", "s3cret-moog"), ("REDIS_PASS", "s3cret-redis")];
        vault.write_secret("mutt/prod", &peer_values).await.expect("a write");
        let role = vault.app_role("mutt-service", &role).await.expect("a role");
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("secret-id"), format!("{}\n", role.secret_id)).expect("a write");
        Self { vault, role, dir }
    }

    fn settings(&self) -> VaultSettings {
        VaultSettings {
            address: self.vault.address(),
            role_id: self.role.role_id.clone(),
            secret_id_file: self.dir.path().join("secret-id"),
            auth_mount: "approle".to_owned(),
            mount: "secret".to_owned(),
            path: "mutt/prod".to_owned(),
            kv_version: 2,
            namespace: None,
            ca_file: None,
            timeout: Duration::from_secs(1),
            renew_threshold: Duration::from_hours(1),
            refresh_interval: Duration::from_millis(200),
            start_limit: SOON,
        }
    }

    async fn write(&self, moog_key: &str) {
        self.vault.write_secret("mutt/prod", &[("MOOG_API_KEY", moog_key)]).await.expect("a write");
    }
}

fn lasting() -> AppRoleOptions {
    AppRoleOptions::default()
}

fn short_lived() -> AppRoleOptions {
    AppRoleOptions { token_ttl: "2s".to_owned(), token_max_ttl: "5s".to_owned(), ..AppRoleOptions::default() }
}

async fn open(settings: VaultSettings, lifecycle: &Lifecycle) -> Result<Secrets, SecretsError> {
    secrets::open(&SecretsSettings { backend: SecretsBackend::Vault(settings) }, lifecycle).await
}

fn moog_key(secrets: &Secrets) -> String {
    secrets.get(Key::MoogApiKey).map(|key| key.expose_secret().to_owned()).unwrap_or_default()
}

async fn wait_for_moog_key(secrets: &Secrets, wanted: &str) {
    eventually("the new value", SOON, async || match moog_key(secrets) {
        key if key == wanted => Ok(()),
        other => Err(format!("still {other}")),
    })
    .await;
}

/// The value of a metric, labels included in the name.
fn metric(secrets: &Secrets, name: &str) -> f64 {
    let registry = prometheus::Registry::new();
    secrets.register_metrics(&registry).expect("a fresh registry");
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

fn is_up(secrets: &Secrets) -> bool {
    metric(secrets, "mutt_secrets_source_up") > 0.0
}

/// An error with its causes, as a log shows it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn values_are_read_with_their_legacy_names_and_never_shown() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let lifecycle = Lifecycle::for_tests();
    let secrets = open(peer.settings(), &lifecycle).await.expect("it opens");
    assert_eq!(moog_key(&secrets), "s3cret-moog");
    let redis = secrets.require(Key::RedisPassCurrent).expect("the legacy name counts");
    assert_eq!(redis.expose_secret(), "s3cret-redis");
    assert!(!format!("{secrets:?}").contains("s3cret"));
    let missing = secrets.require_all(&[Key::MoogApiKey, Key::IngestApiKey, Key::DbPassCurrent]);
    let text = missing.expect_err("two are missing").to_string();
    for part in ["INGEST_API_KEY", "DB_PASS_CURRENT (or DB_PASS)", "mount `secret`, path `mutt/prod`"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("MOOG_API_KEY"), "{text}");
}

#[tokio::test]
async fn a_change_arrives_on_the_interval_and_at_once_on_a_reload() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let lifecycle = Lifecycle::for_tests();
    let secrets = open(peer.settings(), &lifecycle).await.expect("it opens");
    let mut changed = secrets.changed();
    peer.write("second").await;
    wait_for_moog_key(&secrets, "second").await;
    assert!(changed.has_changed().expect("the source lives"));
    changed.mark_unchanged();
    let same = metric(&secrets, "mutt_secrets_age_seconds");
    eventually("another reading", SOON, async || metric(&secrets, "mutt_secrets_age_seconds") < same).await;
    assert!(!changed.has_changed().expect("the source lives"), "a reading without a change was told as one");

    let settings = VaultSettings { refresh_interval: Duration::from_hours(1), ..peer.settings() };
    let patient = open(settings, &lifecycle).await.expect("it opens");
    peer.write("third").await;
    wait_for_moog_key(&secrets, "third").await;
    assert_eq!(moog_key(&patient), "second");
    lifecycle.reload();
    wait_for_moog_key(&patient, "third").await;
}

#[tokio::test]
async fn a_token_outlives_its_maximal_life_by_new_logins() {
    let Some(peer) = Peer::start(short_lived()).await else { return };
    // Readings log in again by themselves when refused: keep them out of the way.
    let settings = VaultSettings { refresh_interval: Duration::from_hours(1), ..peer.settings() };
    let secrets = open(settings, &Lifecycle::for_tests()).await.expect("it opens");
    let started = std::time::Instant::now();
    eventually("twice the maximal life has passed", SOON, async || {
        assert!(metric(&secrets, "mutt_vault_token_ttl_seconds") > 0.0, "the token ran out");
        started.elapsed() > Duration::from_secs(11)
    })
    .await;
    assert!(metric(&secrets, "mutt_secrets_failures_total{operation=\"login\"}") < 1.0, "a login failed");
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_replaced() {
    let batch =
        AppRoleOptions { token_type: "batch".to_owned(), token_max_ttl: "2s".to_owned(), ..short_lived() };
    let Some(peer) = Peer::start(batch).await else { return };
    let settings = VaultSettings { refresh_interval: Duration::from_hours(1), ..peer.settings() };
    let secrets = open(settings, &Lifecycle::for_tests()).await.expect("it opens");
    let started = std::time::Instant::now();
    eventually("three lives of a batch token have passed", SOON, async || {
        assert!(metric(&secrets, "mutt_vault_token_ttl_seconds") > 0.0, "the token ran out");
        started.elapsed() > Duration::from_secs(6)
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_replaced_with_the_secret_id_as_it_is_now() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let secrets = open(peer.settings(), &Lifecycle::for_tests()).await.expect("it opens");
    // A rotated secret id: the one that this process logged in with is worth nothing any more.
    let old = serde_json::json!({"secret_id": peer.role.secret_id});
    let path = "auth/approle/role/mutt-service/secret-id/destroy";
    peer.vault.call("POST", path, Some(old)).await.expect("the old secret id goes");
    let renewed = peer.vault.app_role("mutt-service", &lasting()).await.expect("a new secret id");
    std::fs::write(peer.dir.path().join("secret-id"), &renewed.secret_id).expect("a write");
    assert!(peer.vault.revoke_logins().await.expect("a revocation") > 0);
    peer.write("after the revocation").await;
    wait_for_moog_key(&secrets, "after the revocation").await;
}

#[tokio::test]
async fn a_sealed_vault_changes_nothing_until_it_is_unsealed() {
    let Some(peer) = Peer::start(short_lived()).await else { return };
    let secrets = open(peer.settings(), &Lifecycle::for_tests()).await.expect("it opens");
    peer.vault.seal().await.expect("sealed");
    eventually("the failure is seen", SOON, async || !is_up(&secrets)).await;
    // Until the token is certainly past its maximal life.
    let started = std::time::Instant::now();
    eventually("the token expires", SOON, async || started.elapsed() > Duration::from_secs(6)).await;
    assert_eq!(moog_key(&secrets), "s3cret-moog");
    peer.vault.unseal().await.expect("unsealed");
    peer.write("after the seal").await;
    wait_for_moog_key(&secrets, "after the seal").await;
    assert!(is_up(&secrets));
}

#[tokio::test]
async fn a_frozen_vault_changes_nothing_until_it_goes_on() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let secrets = open(peer.settings(), &Lifecycle::for_tests()).await.expect("it opens");
    peer.vault.pause();
    eventually("the failure is seen", SOON, async || !is_up(&secrets)).await;
    assert_eq!(moog_key(&secrets), "s3cret-moog");
    peer.vault.resume();
    peer.write("after the frost").await;
    wait_for_moog_key(&secrets, "after the frost").await;
}

#[tokio::test]
async fn a_vault_that_is_away_at_the_start_is_waited_for_and_not_for_ever() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let proxy = Proxy::to_port(peer.vault.port()).await;
    proxy.set(Link::Cut);
    let address = format!("http://{}", proxy.address());
    let limited = VaultSettings {
        start_limit: Duration::from_millis(700),
        address: address.clone(),
        ..peer.settings()
    };
    let lifecycle = Lifecycle::for_tests();
    let gave_up = open(limited, &lifecycle).await.expect_err("nobody answers");
    assert!(gave_up.is_transient() && matches!(gave_up, SecretsError::GaveUp { .. }), "{gave_up}");
    assert!(chain(&gave_up).contains(&address), "{}", chain(&gave_up));

    let patient = VaultSettings { address, ..peer.settings() };
    let opening = open(patient, &lifecycle);
    let coming_back = async {
        eventually("a first attempt", SOON, async || proxy.accepted() > 2).await;
        proxy.set(Link::Up);
    };
    let (opened, ()) = tokio::join!(opening, coming_back);
    assert_eq!(moog_key(&opened.expect("it waited")), "s3cret-moog");
}

#[tokio::test]
async fn a_refusal_ends_the_start_at_once_and_says_what_was_refused() {
    let Some(peer) = Peer::start(lasting()).await else { return };
    let lifecycle = Lifecycle::for_tests();

    let nowhere = VaultSettings { path: "mutt/none".to_owned(), ..peer.settings() };
    let text = chain(&open(nowhere, &lifecycle).await.expect_err("nothing there"));
    assert!(text.contains("path `mutt/none`") && text.contains("404"), "{text}");

    let forbidden = VaultSettings { path: "other/prod".to_owned(), ..peer.settings() };
    let text = chain(&open(forbidden, &lifecycle).await.expect_err("the policy forbids it"));
    assert!(text.contains("permission denied"), "{text}");

    let file = peer.dir.path().join("secret-id");
    std::fs::write(&file, "wrong").expect("a write");
    let text = chain(&open(peer.settings(), &lifecycle).await.expect_err("a wrong secret id"));
    assert!(text.contains(&peer.role.role_id) && text.contains("invalid role or secret ID"), "{text}");
    assert!(!text.contains("wrong"), "{text}");

    std::fs::write(&file, " \n").expect("a write");
    let text = chain(&open(peer.settings(), &lifecycle).await.expect_err("an empty file"));
    assert!(text.contains("VAULT_SECRET_ID_FILE") && text.contains("nothing"), "{text}");
}

#[tokio::test]
async fn version_1_of_the_key_value_store_works_too() {
    let Some(peer) = Peer::start(AppRoleOptions { policies: vec!["old".to_owned()], ..lasting() }).await
    else {
        return;
    };
    let policy = serde_json::json!({"policy": "path \"kv/mutt/*\" { capabilities = [\"read\"] }"});
    peer.vault.call("PUT", "sys/policies/acl/old", Some(policy)).await.expect("a policy");
    let mount = serde_json::json!({"type": "kv", "options": {"version": "1"}});
    peer.vault.call("POST", "sys/mounts/kv", Some(mount)).await.expect("a mount");
    let values = serde_json::json!({"MOOG_API_KEY": "from version 1", "DB_USER": 7});
    peer.vault.call("PUT", "kv/mutt/prod", Some(values)).await.expect("a write");
    let settings = VaultSettings { mount: "kv".to_owned(), kv_version: 1, ..peer.settings() };
    let secrets = open(settings, &Lifecycle::for_tests()).await.expect("it opens");
    assert_eq!(moog_key(&secrets), "from version 1");
    assert_eq!(secrets.get(Key::DbUser).expect("a number is a text").expose_secret(), "7");
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_its_file_only() {
    let identity = Authority::new().issue_for_loopback();
    let started = VaultServer::builder().in_memory().tls(identity.clone()).start_or_skip().await;
    let Some(vault) = started else { return };
    let peer = Peer::around(vault, lasting()).await;
    let lifecycle = Lifecycle::for_tests();
    let ca_file = peer.dir.path().join("ca.pem");

    std::fs::write(&ca_file, Authority::new().pem()).expect("a write");
    let settings =
        VaultSettings { ca_file: Some(ca_file.clone()), start_limit: Duration::ZERO, ..peer.settings() };
    let text = chain(&open(settings.clone(), &lifecycle).await.expect_err("another authority"));
    assert!(text.contains("invalid peer certificate"), "{text}");

    std::fs::write(&ca_file, &identity.authority_pem).expect("a write");
    let secrets = open(settings, &lifecycle).await.expect("it opens");
    assert_eq!(moog_key(&secrets), "s3cret-moog");
}

/// Where a log of everything goes.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while logging").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_holds_a_secret_even_at_trace() {
    let Some(peer) = Peer::start(short_lived()).await else { return };
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // A current-thread runtime: everything in this test logs here.
    let guard = tracing::subscriber::set_default(subscriber);
    let secrets = open(peer.settings(), &Lifecycle::for_tests()).await.expect("it opens");
    peer.write("s3cret-second").await;
    wait_for_moog_key(&secrets, "s3cret-second").await;
    peer.vault.revoke_logins().await.expect("a revocation");
    peer.write("s3cret-third").await;
    wait_for_moog_key(&secrets, "s3cret-third").await;
    drop(guard);
    let log = captured.0.lock().expect("no panic while logging").clone();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("logged in to Vault"), "nothing was captured:\n{log}");
    // The test's own calls as root are logged too, without their headers and bodies.
    for secret in ["s3cret", peer.role.secret_id.as_str()] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

fn write_file(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = std::fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("a write");
    file.set_permissions(std::fs::Permissions::from_mode(mode)).expect("a mode");
}

#[tokio::test]
async fn a_file_is_read_again_on_a_reload_and_refused_when_others_can_read_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secrets.env");
    let settings = SecretsSettings { backend: SecretsBackend::File(path.clone()) };
    let lifecycle = Lifecycle::for_tests();

    let missing = chain(&secrets::open(&settings, &lifecycle).await.expect_err("no file"));
    assert!(missing.contains("secrets.env"), "{missing}");
    write_file(&path, "MOOG_API_KEY=first\n", 0o640);
    let exposed = secrets::open(&settings, &lifecycle).await.expect_err("open to the group").to_string();
    assert!(exposed.contains("0640") && exposed.contains("chmod 600"), "{exposed}");

    write_file(&path, "MOOG_API_KEY=first\n", 0o600);
    let secrets = secrets::open(&settings, &lifecycle).await.expect("it opens");
    assert_eq!(moog_key(&secrets), "first");
    write_file(&path, "MOOG_API_KEY='second\n", 0o600);
    lifecycle.reload();
    eventually("the failure is seen", SOON, async || !is_up(&secrets)).await;
    assert_eq!(moog_key(&secrets), "first");
    write_file(&path, "MOOG_API_KEY='second'\n", 0o600);
    lifecycle.reload();
    wait_for_moog_key(&secrets, "second").await;
}
