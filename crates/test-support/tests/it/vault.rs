//! The private Vault.

use std::time::Duration;

use mutt_test_support::{AppRoleOptions, Authority, ServerError, VaultServer, eventually};
use serde_json::json;

async fn log_in(server: &VaultServer, role: &mutt_test_support::AppRole) -> Result<String, ServerError> {
    let body = json!({"role_id": role.role_id, "secret_id": role.secret_id});
    let answer = server.call("POST", "auth/approle/login", Some(body)).await?;
    Ok(answer["auth"]["accessor"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn secrets_and_logins_survive_a_kill() {
    let Some(mut server) = VaultServer::builder().start_or_skip().await else {
        return;
    };
    server.write_secret("mutt/prod", &[("MOOG_API_KEY", "s3cret")]).await.expect("a write");
    let role = server.app_role("mutt-service", &AppRoleOptions::default()).await.expect("a role");
    log_in(&server, &role).await.expect("a login");
    server.kill();
    assert!(log_in(&server, &role).await.is_err());
    server.restart().await;
    log_in(&server, &role).await.expect("a login after the restart");
    let read = server.call("GET", "secret/data/mutt/prod", None).await.expect("a read");
    assert_eq!(read["data"]["data"]["MOOG_API_KEY"], "s3cret");
    assert_eq!(server.revoke_logins().await.expect("a revocation"), 2);
}

#[tokio::test]
async fn a_sealed_server_refuses_until_unsealed() {
    let Some(server) = VaultServer::start().await else {
        return;
    };
    server.write_secret("mutt/prod", &[("MOOG_API_KEY", "s3cret")]).await.expect("a write");
    server.seal().await.expect("sealed");
    let refused = server.call("GET", "secret/data/mutt/prod", None).await.expect_err("it is sealed");
    assert!(refused.to_string().contains("503"), "{refused}");
    server.unseal().await.expect("unsealed");
    eventually("it reads again", Duration::from_secs(5), async || {
        server.call("GET", "secret/data/mutt/prod", None).await
    })
    .await;
}

#[tokio::test]
async fn a_kept_directory_is_found_again_over_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let identity = Authority::new().issue_for_loopback();
    let options = || VaultServer::builder().data_dir(dir.path()).tls(identity.clone());
    let server = match options().start().await {
        Err(ServerError::NotInstalled { .. }) => return,
        started => started.expect("it starts"),
    };
    assert!(server.address().starts_with("https://"));
    server.write_secret("mutt/prod", &[("DB_USER", "mutt")]).await.expect("a write");
    server.stop().await;
    let server = options().start().await.expect("it starts again");
    let read = server.call("GET", "secret/data/mutt/prod", None).await.expect("a read");
    assert_eq!(read["data"]["data"]["DB_USER"], "mutt");
}
