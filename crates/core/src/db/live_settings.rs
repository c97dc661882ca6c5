//! Changes of live settings: the value goes to Redis, its audit row to the database, and neither stays alone.

use ::redis::aio::ConnectionLike;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    DbError,
    config_audit::{self, Entry},
};
use crate::{
    domain::audit::{Author, Operation},
    redis::live_settings::{self, Change, LiveSettingsError},
};

/// What the configuration audit calls the table of live settings; the original's word.
pub const AUDITED_AS: &str = "dynamic_config";

/// Why a live setting was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The setting, its value, or Redis. Nothing is audited.
    #[error(transparent)]
    Setting(#[from] LiveSettingsError),
    /// The audit row could not be written; the setting is as it was.
    #[error("the change of `{key}` could not be audited and was not made")]
    NotAudited {
        /// The setting.
        key: String,
        /// Why.
        #[source]
        source: DbError,
    },
    /// The audit row could not be written, and Redis did not take the old value back.
    #[error("`{key}` was changed, but that could not be audited, nor taken back")]
    LeftUnaudited {
        /// The setting.
        key: String,
        /// Why it was not audited.
        #[source]
        source: DbError,
    },
}

/// Sets `key` to `text` for all services, or with `None` gives it back to each service's own setting; audited.
///
/// The database comes first: while it is away nothing changes. A value that is the same already is not audited.
///
/// # Errors
/// [`ChangeError`].
pub async fn change<C: ConnectionLike + Send>(
    pool: &PgPool,
    conn: &mut C,
    key: &str,
    text: Option<&str>,
    author: Author<'_>,
) -> Result<Change, ChangeError> {
    let not_audited = |source| ChangeError::NotAudited { key: key.to_owned(), source };
    let action = "auditing a live setting";
    let mut transaction = pool.begin().await.map_err(DbError::during(action)).map_err(not_audited)?;
    // Changes of one setting wait for each other, so that their rows tell them in the order in which they were made.
    sqlx::query!("select pg_advisory_xact_lock(hashtext($1))", format!("mutt:config:{key}"))
        .execute(&mut *transaction)
        .await
        .map_err(DbError::during(action))
        .map_err(not_audited)?;
    let change = live_settings::write(conn, key, text).await?;
    if change.before == change.after {
        return Ok(change);
    }
    let (old, new) = (record_of(change.before.as_deref()), record_of(change.after.as_deref()));
    let entry = Entry {
        operation: match (&old, &new) {
            (None, _) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        },
        table: AUDITED_AS,
        record_id: None,
        record_key: change.key,
        old: old.as_ref(),
        new: new.as_ref(),
    };
    let audited = async {
        config_audit::record(&mut transaction, author, entry).await?;
        transaction.commit().await.map_err(DbError::during(action))
    };
    let Err(source) = audited.await else { return Ok(change) };
    match live_settings::write(conn, key, change.before.as_deref()).await {
        Ok(_) => Err(not_audited(source)),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, key, "an unaudited change stays");
            Err(ChangeError::LeftUnaudited { key: key.to_owned(), source })
        }
    }
}

fn record_of(value: Option<&str>) -> Option<Value> {
    value.map(|value| json!({ "value": value }))
}
