//! Sessions of the console: a random token in a cookie, and what it stands for, kept in Redis and in this process.
//!
//! Redis lets every instance know a session and ends it for all at once. While Redis is away, sessions that this process
//! knows go on, and new ones are known here only: that is when people need the console most.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, header};
use redis::{AsyncCommands as _, aio::ConnectionManager};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Role;

/// A working day and some; then people log in again.
const SESSION_TTL: Duration = Duration::from_hours(12);
const COOKIE: &str = "mutt_session";
const KEY_PREFIX: &str = "mutt:webui:session";
/// A session that was ended at another instance is known here for at most so long.
const TRUSTED_FOR: TimeDelta = TimeDelta::seconds(15);
/// When more are known, those that are over are forgotten.
const MANY: usize = 1000;

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The name of the key that opened it.
    pub(crate) key: String,
    /// What that key may do.
    pub(crate) role: Role,
    /// When it is over, however busy it is.
    pub(crate) expires_at: DateTime<Utc>,
}

#[derive(Clone)]
struct Known {
    session: Session,
    seen_in_redis: Option<DateTime<Utc>>,
}

/// All sessions; the token itself is kept nowhere but in the browser.
pub(crate) struct Sessions {
    redis: ConnectionManager,
    known: Mutex<HashMap<String, Known>>,
}

impl Sessions {
    pub(crate) fn new(redis: ConnectionManager) -> Self {
        Self { redis, known: Mutex::default() }
    }

    /// Opens a session and returns its token.
    pub(crate) async fn open(&self, key: String, role: Role, now: DateTime<Utc>) -> String {
        let token = hex(&rand::random::<[u8; 32]>());
        let session = Session { key, role, expires_at: now + SESSION_TTL };
        let name = name_of(&token);
        let stored = self.store(&name, &session).await;
        self.remember(name, Known { session, seen_in_redis: stored.then_some(now) }, now);
        token
    }

    /// The session of a token, when it is not over.
    pub(crate) async fn find(&self, token: &str, now: DateTime<Utc>) -> Option<Session> {
        let name = name_of(token);
        let known = self.known().get(&name).cloned();
        if let Some(known) = &known {
            if known.session.expires_at <= now {
                self.known().remove(&name);
                return None;
            }
            if known.seen_in_redis.is_some_and(|seen| now - seen < TRUSTED_FOR) {
                return Some(known.session.clone());
            }
        }
        let stored: redis::RedisResult<Option<String>> = self.redis.clone().get(redis_key(&name)).await;
        match stored {
            Ok(Some(text)) => {
                let session: Session = serde_json::from_str(&text).ok()?;
                let is_over = session.expires_at <= now;
                self.remember(name, Known { session: session.clone(), seen_in_redis: Some(now) }, now);
                (!is_over).then_some(session)
            }
            // Ended elsewhere, unless Redis was away when it was opened.
            Ok(None) => match known {
                Some(known) if known.seen_in_redis.is_none() => Some(known.session),
                _ => {
                    self.known().remove(&name);
                    None
                }
            },
            Err(error) => {
                tracing::debug!(%error, "sessions are known by memory only: Redis does not answer");
                known.map(|known| known.session)
            }
        }
    }

    /// Ends the session of a token, everywhere.
    pub(crate) async fn close(&self, token: &str) {
        let name = name_of(token);
        self.known().remove(&name);
        let ended: redis::RedisResult<()> = self.redis.clone().del(redis_key(&name)).await;
        if let Err(error) = ended {
            tracing::warn!(%error, "a session was ended here, but Redis does not answer: it ends elsewhere by its age");
        }
    }

    async fn store(&self, name: &str, session: &Session) -> bool {
        let Ok(text) = serde_json::to_string(session) else { return false };
        let stored: redis::RedisResult<()> =
            self.redis.clone().set_ex(redis_key(name), text, SESSION_TTL.as_secs()).await;
        stored.is_ok()
    }

    fn remember(&self, name: String, session: Known, now: DateTime<Utc>) {
        let mut known = self.known();
        if known.len() >= MANY {
            known.retain(|_, known| known.session.expires_at > now);
        }
        known.insert(name, session);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token in a request's cookies.
pub(crate) fn token_in(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && !value.is_empty()).then_some(value))
}

/// The cookie that carries `token`, or with `None` takes it away. Scripts cannot read it, other sites cannot send it.
pub(crate) fn cookie_of(token: Option<&str>, secure: bool) -> String {
    let (value, max_age) = token.map_or(("", 0), |token| (token, SESSION_TTL.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
}

/// Who reads Redis must not be able to take over a session.
fn name_of(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn redis_key(name: &str) -> String {
    format!("{KEY_PREFIX}:{name}")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "theme=dark; mutt_session=abc ;x=1".parse().unwrap());
        assert_eq!(token_in(&headers), Some("abc"));
        headers.insert(header::COOKIE, "mutt_session=; not_mutt_session=1".parse().unwrap());
        assert_eq!(token_in(&headers), None);
    }

    #[test]
    fn the_cookie_is_closed_to_scripts_and_other_sites() {
        let cookie = cookie_of(Some("abc"), true);
        for part in ["mutt_session=abc", "HttpOnly", "SameSite=Strict", "Secure", "Max-Age=43200"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(cookie_of(None, false).contains("Max-Age=0"));
    }
}
