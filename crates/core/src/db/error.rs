//! What can go wrong with the database, sorted by what the caller should do about it.

use sqlx::migrate::MigrateError;

use super::connect;

/// What to do about a failed statement; decides over retry budgets, so there is no fourth case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The database is away or not usable. Hold what you have, try again with backoff, charge nothing.
    Outage,
    /// Two transactions got in each other's way. Try again at once, with a little jitter, charge nothing.
    Retry,
    /// The values are to blame: the same call with the same rows will always fail.
    DataFault,
}

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A statement failed.
    #[error("the database refused while {action}")]
    Query {
        /// What was being done, as in "reading rules".
        action: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// A stored row holds something that its constraints should have refused.
    #[error("{table} row {key} cannot be read: {problem}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A row that was just there is gone: archived or removed between two statements.
    #[error("{count} audit rows vanished between writing and reading")]
    Vanished {
        /// How many.
        count: usize,
    },
    /// The schema could not be brought up to date.
    #[error("the database schema could not be migrated{hint}")]
    Migrate {
        /// What to do, when that is known.
        hint: &'static str,
        /// The migrator's error.
        #[source]
        source: MigrateError,
    },
    /// The schema is older than this program and migrating by itself is switched off.
    #[error("the database schema lacks {missing} of this program's migrations; run `mutt migrate`")]
    SchemaBehind {
        /// How many.
        missing: usize,
    },
    /// PostgreSQL takes none of the passwords that the secrets hold.
    #[error("PostgreSQL refuses the login of `{user}`; tried: {tried}")]
    Refused {
        /// The role.
        user: String,
        /// The names of the passwords that were tried; never one itself.
        tried: String,
        /// PostgreSQL's words.
        #[source]
        source: sqlx::Error,
    },
}

impl DbError {
    pub(crate) fn during(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            connect::notice(&source);
            Self::Query { action, source }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Query { source, .. } => class_of(source),
            Self::Vanished { .. } => Class::Retry,
            Self::Unreadable { .. }
            | Self::Migrate { .. }
            | Self::SchemaBehind { .. }
            | Self::Refused { .. } => Class::Outage,
        }
    }

    /// Whether the database is away or not usable; see [`Class::Outage`].
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.class() == Class::Outage
    }

    /// Whether the values are to blame; see [`Class::DataFault`].
    #[must_use]
    pub fn is_data_fault(&self) -> bool {
        self.class() == Class::DataFault
    }

    /// Whether to try again at once; see [`Class::Retry`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == Class::Retry
    }

    /// Whether the same call can succeed later with nothing changed: what a starting service waits for.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Query { source, .. } => match source {
                sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
                _ => class_of(source) != Class::DataFault,
            },
            Self::Vanished { .. } => true,
            Self::Migrate { .. }
            | Self::SchemaBehind { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// The SQLSTATE, when the server gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        let Self::Query { source, .. } = self else { return None };
        source.as_database_error()?.code().map(std::borrow::Cow::into_owned)
    }
}

/// SQLSTATE classes, PostgreSQL appendix A. What is not surely the row's fault counts as an outage: holding an event
/// is safe, giving it up is not.
fn class_of(error: &sqlx::Error) -> Class {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        // Serialization failure, deadlock, lock timeout.
        Some("40001" | "40P01" | "55P03") => Class::Retry,
        // Data exception, integrity constraint violation.
        Some(code) if code.starts_with("22") || code.starts_with("23") => Class::DataFault,
        _ => Class::Outage,
    }
}

/// Whether this is a unique key that exists already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_an_outage() {
        for source in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            let error = DbError::during("reading rules")(source);
            assert!(error.is_outage() && !error.is_data_fault() && !error.is_retryable());
        }
    }
}
