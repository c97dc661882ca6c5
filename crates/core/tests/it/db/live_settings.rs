//! A live setting and its audit row: both or neither.

use mutt_core::{
    db::{
        config_audit,
        live_settings::{AUDITED_AS, ChangeError, change},
    },
    domain::audit::Author,
    redis::live_settings::LiveSettingsError,
};
use mutt_test_support::RedisServer;
use redis::AsyncCommands as _;

use super::{count, database};

const ANA: Author<'static> = Author { name: "ana", reason: Some("INC-9"), correlation_id: None };

#[tokio::test]
async fn a_live_setting_changes_with_its_audit_row_or_not_at_all() {
    let (pool, redis) = (database().await, RedisServer::start().await);
    let mut conn = redis.connection().await;
    let key = "moog_rate_limit";
    let stored = async |conn: &mut redis::aio::MultiplexedConnection| -> Option<String> {
        conn.get(format!("mutt:config:{key}")).await.unwrap()
    };

    change(&pool, &mut conn, key, Some("80"), ANA).await.unwrap();
    change(&pool, &mut conn, key, Some("80"), ANA).await.unwrap();
    change(&pool, &mut conn, key, Some("90"), ANA).await.unwrap();
    assert_eq!(stored(&mut conn).await.as_deref(), Some("90"));
    change(&pool, &mut conn, key, None, ANA).await.unwrap();
    assert_eq!(stored(&mut conn).await, None);

    let refused = change(&pool, &mut conn, key, Some("fast"), ANA).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Setting(LiveSettingsError::BadValue { .. })), "{refused:?}");
    let unknown = change(&pool, &mut conn, "no_such", Some("1"), ANA).await.unwrap_err();
    assert!(matches!(unknown, ChangeError::Setting(LiveSettingsError::UnknownKey { .. })), "{unknown:?}");

    let filter =
        config_audit::Filter { table_name: Some(AUDITED_AS.into()), ..config_audit::Filter::default() };
    let written = config_audit::page(&pool, &filter, None, 0, 10).await.unwrap();
    let lines: Vec<_> = written.iter().map(|row| format!("{} {}", row.operation, row.record_key)).collect();
    assert_eq!(lines, ["DELETE moog_rate_limit", "UPDATE moog_rate_limit", "CREATE moog_rate_limit"]);
    assert_eq!(written[1].old_values, Some(serde_json::json!({ "value": "80" })));

    change(&pool, &mut conn, key, Some("70"), ANA).await.unwrap();
    sqlx::query("alter table config_audit_log rename to away").execute(&pool).await.unwrap();
    let lost = change(&pool, &mut conn, key, Some("60"), ANA).await.unwrap_err();
    assert!(matches!(lost, ChangeError::NotAudited { .. }), "{lost:?}");
    assert_eq!(stored(&mut conn).await.as_deref(), Some("70"), "taken back");
    assert_eq!(count(&pool, "away").await, 4);
}
