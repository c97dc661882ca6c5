//! HTTP ingest: one object per request, or many as NDJSON or as an array, each with its own verdict.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use mutt_core::domain::clock::{Clock, SystemClock};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::feed::{Feed, Numbered};
use super::tally::{Fate, Tally};
use crate::exit::Exit;

/// An answer that takes longer is a failed try; the repeat is harmless thanks to the idempotency key.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between tries when the answer does not say how long to wait; doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How several events share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Body {
    /// One object per line.
    Ndjson,
    /// A JSON array.
    Array,
}

/// Where to and how.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) api_key: String,
    /// Events per request; with 1 each is sent as a bare object.
    pub(crate) batch: usize,
    pub(crate) body: Body,
    /// How long one batch may be tried again before its events count as failed.
    pub(crate) retry_for: Duration,
}

/// The client that all connections share.
///
/// # Errors
/// When the system's certificates cannot be read.
pub(crate) fn client(connections: usize) -> anyhow::Result<Client> {
    Client::builder()
        .timeout(REQUEST_LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(connections)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("preparing the HTTP client")
}

/// Sends until the feed ends, one request after the other.
///
/// # Errors
/// When nobody listens at the address or a receipt cannot be written; refused events are counted, not errors.
pub(crate) async fn send(
    client: &Client,
    endpoint: &Endpoint,
    feed: &Feed,
    tally: &Tally,
) -> anyhow::Result<()> {
    while let Some(events) = feed.take(endpoint.batch).await {
        let fates = deliver(client, endpoint, &events, feed, tally).await?;
        for (event, fate) in events.iter().zip(&fates) {
            tally.record(event.number, &feed.reference(event.number), fate)?;
        }
    }
    Ok(())
}

/// Tries one batch until there is an answer that stands; returns a fate per event, in order.
async fn deliver(
    client: &Client,
    endpoint: &Endpoint,
    events: &[Numbered],
    feed: &Feed,
    tally: &Tally,
) -> anyhow::Result<Vec<Fate>> {
    let (content_type, body) = encode(events, endpoint)?;
    let first = events.first().map_or(0, |event| event.number);
    // The same on each try: a batch that arrived although its answer was lost is not queued twice.
    let key = format!("{}-{first}", feed.run());
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = Instant::now();
        tally.add_bytes(body.len());
        let request = client
            .post(&endpoint.url)
            .header("X-API-KEY", &endpoint.api_key)
            .header("Idempotency-Key", &key)
            .header(CONTENT_TYPE, content_type)
            .body(body.clone());
        let (trouble, wait) = match request.send().await {
            Ok(answer) if is_temporary(answer.status()) => {
                let wait = retry_after(&answer).unwrap_or(pause);
                (in_words(answer).await, wait)
            }
            Ok(answer) => {
                let fates = verdicts(answer, events.len()).await;
                // Those that are stored already get their first id again.
                if !fates.iter().any(|fate| matches!(fate, Fate::Failed { .. }))
                    || began.elapsed() + pause > endpoint.retry_for
                    || feed.stopped().is_cancelled()
                {
                    tally.add_wait(asked.elapsed());
                    return Ok(fates);
                }
                (String::new(), pause)
            }
            Err(error) if error.is_connect() && tally.done() == 0 => {
                return Err(error)
                    .with_context(|| Exit::unavailable(format!("connecting to {}", endpoint.url)));
            }
            Err(error) => (innermost(&error), pause),
        };
        if began.elapsed() + wait > endpoint.retry_for || feed.stopped().is_cancelled() {
            return Ok(vec![Fate::Failed { reason: trouble }; events.len()]);
        }
        tally.add_retry();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = feed.stopped().cancelled() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn encode(events: &[Numbered], endpoint: &Endpoint) -> anyhow::Result<(&'static str, Vec<u8>)> {
    let now = SystemClock.now();
    let objects: Vec<Value> = events.iter().map(|event| event.draft.to_json(now)).collect();
    Ok(match (objects.as_slice(), endpoint.body) {
        ([object], _) if endpoint.batch == 1 => ("application/json", serde_json::to_vec(object)?),
        (_, Body::Array) => ("application/json", serde_json::to_vec(&objects)?),
        (_, Body::Ndjson) => {
            let mut body = Vec::new();
            for object in &objects {
                serde_json::to_writer(&mut body, object)?;
                body.push(b'\n');
            }
            ("application/x-ndjson", body)
        }
    })
}

/// "Later": a limit, a full queue or a dependency that is away.
fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// Seconds only: MUTT sends no dates.
fn retry_after(answer: &Response) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The parts of an ingest answer that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    correlation_id: Option<String>,
    id: Option<String>,
    message: Option<String>,
    events: Vec<Verdict>,
}

/// What became of one item of a request.
#[derive(Debug, Deserialize)]
struct Verdict {
    index: usize,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    message: Option<String>,
}

impl Verdict {
    fn fate(self) -> Fate {
        if self.id.is_some() {
            return Fate::Accepted { id: self.id };
        }
        let reason = self.message.unwrap_or_else(|| "no reason given".to_owned());
        let later = self.status.and_then(|code| StatusCode::from_u16(code).ok()).is_some_and(is_temporary);
        if later { Fate::Failed { reason } } else { Fate::Refused { reason } }
    }
}

async fn verdicts(answer: Response, events: usize) -> Vec<Fate> {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    read_verdicts(status, &text, events)
}

fn read_verdicts(status: StatusCode, text: &str, events: usize) -> Vec<Fate> {
    let answer: Answer = serde_json::from_str(text).unwrap_or_default();
    if !status.is_success() {
        let reason = format!("{}: {}", status.as_u16(), answer.message.unwrap_or_else(|| brief(text)));
        return vec![Fate::Refused { reason }; events];
    }
    if answer.events.is_empty() {
        // The original's answer for one object names the event by its correlation id.
        let id = answer.id.or(answer.correlation_id).filter(|_| events == 1);
        return vec![Fate::Accepted { id }; events];
    }
    let mut by_index: HashMap<usize, Verdict> =
        answer.events.into_iter().map(|verdict| (verdict.index, verdict)).collect();
    let unmentioned = || Fate::Failed { reason: "the answer does not mention it".to_owned() };
    (0..events).map(|index| by_index.remove(&index).map_or_else(unmentioned, Verdict::fate)).collect()
}

async fn in_words(answer: Response) -> String {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let body: Answer = serde_json::from_str(&text).unwrap_or_default();
    format!("{}: {}", status.as_u16(), body.message.unwrap_or_else(|| brief(&text)))
}

fn brief(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "no explanation".to_owned() } else { line.chars().take(120).collect() }
}

/// The last cause, which names the trouble; the outer ones only repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str) -> Fate {
        Fate::Accepted { id: Some(id.into()) }
    }

    #[test]
    fn one_object_is_named_by_its_correlation_id() {
        let fates = read_verdicts(StatusCode::OK, r#"{"status":"queued","correlation_id":"c"}"#, 1);
        assert_eq!(fates, [accepted("c")]);
    }

    #[test]
    fn each_item_has_its_own_verdict() {
        let text = r#"{"events":[{"index":1,"status":400,"reason":"missing-field","message":"no host"},
            {"index":0,"id":"a"},{"index":2,"status":503,"reason":"queue-full","message":"not stored"}]}"#;
        let fates = read_verdicts(StatusCode::MULTI_STATUS, text, 4);
        assert_eq!(fates[0], accepted("a"));
        assert_eq!(fates[1], Fate::Refused { reason: "no host".into() });
        assert_eq!(fates[2], Fate::Failed { reason: "not stored".into() });
        assert!(matches!(fates[3], Fate::Failed { .. }), "nothing was said about it");
    }

    #[test]
    fn a_refused_request_refuses_all_its_events() {
        let fates = read_verdicts(StatusCode::UNAUTHORIZED, r#"{"message":"no key"}"#, 2);
        assert_eq!(fates, vec![Fate::Refused { reason: "401: no key".into() }; 2]);
        let fates = read_verdicts(StatusCode::PAYLOAD_TOO_LARGE, "<html>", 1);
        assert_eq!(fates, [Fate::Refused { reason: "413: <html>".into() }]);
    }
}
