//! What is weaker about a Redis than MUTT's promises assume, and what that costs.

use std::collections::HashMap;

use ::redis::{InfoDict, RedisResult, aio::ConnectionLike};

/// The scripts use flags that came with Redis 7.
const OLDEST_MAJOR: u32 = 7;

/// A setting of Redis that weakens a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakSetting {
    /// Its name in `redis.conf`, or `version`.
    pub name: &'static str,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub wanted: &'static str,
    /// What can happen because of it.
    pub cost: &'static str,
}

/// Finds the weak settings; what Redis does not tell (managed servers refuse `CONFIG`) is left out.
///
/// # Errors
/// When Redis does not answer at all.
pub async fn weak_settings<C: ConnectionLike + Send>(conn: &mut C) -> RedisResult<Vec<WeakSetting>> {
    let info: Option<InfoDict> = tolerate(::redis::cmd("INFO").arg("server").query_async(conn).await)?;
    let version = info.and_then(|info| info.get::<String>("redis_version"));
    let mut settings = HashMap::new();
    // One by one: before Redis 7 CONFIG GET takes a single name.
    for name in ["maxmemory-policy", "appendonly", "appendfsync", "no-appendfsync-on-rewrite"] {
        let mut get = ::redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        let answer: Option<HashMap<String, String>> = tolerate(get.query_async(conn).await)?;
        settings.extend(answer.into_iter().flatten());
    }
    Ok(judge(version.as_deref(), &settings))
}

/// Logs each weak setting with its cost, once, at start.
pub async fn warn_about_weak_settings<C: ConnectionLike + Send>(conn: &mut C) {
    match weak_settings(conn).await {
        Ok(found) => {
            for WeakSetting { name, found, wanted, cost } in found {
                tracing::warn!(
                    setting = name,
                    found,
                    wanted,
                    "Redis: {name} is {found}, should be {wanted}: {cost}"
                );
            }
        }
        Err(error) => tracing::warn!(error = %error, "cannot check the settings of Redis"),
    }
}

fn judge(version: Option<&str>, settings: &HashMap<String, String>) -> Vec<WeakSetting> {
    let mut weak = Vec::new();
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if let Some(version) = version.filter(|_| major.is_some_and(|major| major < OLDEST_MAJOR)) {
        weak.push(WeakSetting {
            name: "version",
            found: version.to_owned(),
            wanted: "7.0 or later",
            cost: "the queue scripts do not run",
        });
    }
    let mut expect = |name: &'static str, wanted: &'static str, cost: &'static str| match settings.get(name) {
        Some(found) if found != wanted => {
            weak.push(WeakSetting { name, found: found.clone(), wanted, cost });
            false
        }
        _ => true,
    };
    expect(
        "maxmemory-policy",
        "noeviction",
        "when memory is full, Redis deletes whole queues of accepted events",
    );
    if expect("appendonly", "yes", "a restart of Redis loses every event that is on a queue") {
        expect("appendfsync", "always", "a power cut loses the events accepted in the last second or two");
        expect(
            "no-appendfsync-on-rewrite",
            "no",
            "a power cut during a rewrite loses the events accepted since it began",
        );
    }
    weak
}

/// A refusal is an answer; only silence is an error.
fn tolerate<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: &str, settings: &[(&str, &str)]) -> Vec<&'static str> {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        judge(Some(version), &settings).into_iter().map(|weak| weak.name).collect()
    }

    #[test]
    fn what_ships_is_not_weak() {
        let shipped = [("maxmemory-policy", "noeviction"), ("appendonly", "yes"), ("appendfsync", "always")];
        assert!(names("7.0.15", &shipped).is_empty());
        assert!(names("10.0.0", &[]).is_empty(), "what is not told is not judged");
    }

    #[test]
    fn each_weakness_is_named() {
        let weak = [("maxmemory-policy", "allkeys-lru"), ("appendonly", "yes"), ("appendfsync", "everysec")];
        assert_eq!(names("6.2.14", &weak), ["version", "maxmemory-policy", "appendfsync"]);
        let off = [("appendonly", "no"), ("appendfsync", "everysec")];
        assert_eq!(names("7.2.0", &off), ["appendonly"], "how often nothing is written does not matter");
    }
}
