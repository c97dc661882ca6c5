//! What an answer of Moogsoft means. Pure: status, headers and body in, [`Outcome`] out.
//!
//! The table: a 2xx that is no web page is delivered; 408, 425, 429, 5xx and anything broken is tried again; a redirect, a
//! web page, 401, 402, 403, 404, 405, 407 and 410 say that the configuration is wrong, which is never a message's fault;
//! what is left of 4xx refuses this message. A message must never be given up for a fault that is not its own.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// The longest time a receiver may ask for: more is taken for a mistake.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// How much of an answer is kept with a dead letter.
const EXCERPT_MAX_BYTES: usize = 2 << 10;

/// What became of one send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Moogsoft has it.
    Delivered(Receipt),
    /// Unknown or passing; worth another try, no sooner than the receiver asked for.
    Retry {
        /// What went wrong.
        cause: RetryCause,
        /// `Retry-After`, at most [`RETRY_AFTER_MAX`].
        after: Option<Duration>,
    },
    /// Nothing can be delivered as it is configured; a person must act.
    Misconfigured(Fault),
    /// Moogsoft does not want this message.
    Rejected(StatusCode),
}

/// How sure a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Taken in.
    Confirmed,
    /// Accepted or cached; processing is not guaranteed (202).
    Uncertain,
}

/// Why a send is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// 429.
    RateLimited,
    /// 408, 425 or 5xx.
    Unavailable(StatusCode),
    /// No whole answer in time: it may have been delivered.
    TimedOut,
    /// No connection: name, network or TLS.
    NoConnection,
    /// The connection broke or carried no HTTP: it may have been delivered.
    Broken,
    /// A good status with a body that says that nothing was taken in.
    NotTaken,
}

/// What is wrong with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 401 or 403: the key is wrong, revoked or lacks rights.
    Credentials(StatusCode),
    /// There is no key, or one that fits no header.
    NoKey,
    /// 404, 405 or 410: the address leads nowhere.
    Address(StatusCode),
    /// 3xx: a POST is never sent on.
    Redirect(StatusCode),
    /// 402 or 407: the account or a proxy on the way.
    Account(StatusCode),
    /// A 2xx that is a web page, such as a login form: the path is wrong.
    WebPage,
}

impl Fault {
    /// A short word for metrics.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Credentials(_) => "credentials",
            Self::NoKey => "no_key",
            Self::Address(_) => "address",
            Self::Redirect(_) => "redirect",
            Self::Account(_) => "account",
            Self::WebPage => "web_page",
        }
    }

    /// Every word of [`Fault::as_label`], for metrics that start at zero.
    pub const LABELS: [&'static str; 6] =
        ["credentials", "no_key", "address", "redirect", "account", "web_page"];

    /// What a person should do.
    #[must_use]
    pub fn advice(self) -> String {
        match self {
            Self::Credentials(status) => {
                format!("Moogsoft answers {status}: check the secret MOOG_API_KEY and MOOG_AUTH")
            }
            Self::NoKey => "the secret MOOG_API_KEY is missing or fits no header".to_owned(),
            Self::Address(status) => {
                format!("Moogsoft answers {status}: check MOOG_WEBHOOK_URL and MOOG_DIALECT")
            }
            Self::Redirect(status) => {
                format!("Moogsoft answers {status}, and a POST is never sent on: check MOOG_WEBHOOK_URL")
            }
            Self::Account(status) => format!("{status}: check the Moogsoft account and any proxy on the way"),
            Self::WebPage => {
                "a web page came instead of an answer: check the path of MOOG_WEBHOOK_URL".to_owned()
            }
        }
    }
}

impl RetryCause {
    /// A short word for logs and dead letters.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timeout",
            Self::NoConnection => "no_connection",
            Self::Broken => "broken_answer",
            Self::NotTaken => "not_taken",
        }
    }
}

/// What an answer means; `now` is for a `Retry-After` that is a date.
#[must_use]
pub fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Outcome {
    match status.as_u16() {
        200..=299 if is_web_page(headers, body) => Outcome::Misconfigured(Fault::WebPage),
        200..=299 => of_good_body(status, body),
        300..=399 => Outcome::Misconfigured(Fault::Redirect(status)),
        401 | 403 => Outcome::Misconfigured(Fault::Credentials(status)),
        402 | 407 => Outcome::Misconfigured(Fault::Account(status)),
        404 | 405 | 410 => Outcome::Misconfigured(Fault::Address(status)),
        429 => Outcome::Retry { cause: RetryCause::RateLimited, after: retry_after(headers, now) },
        408 | 425 | 500.. => {
            Outcome::Retry { cause: RetryCause::Unavailable(status), after: retry_after(headers, now) }
        }
        _ => Outcome::Rejected(status),
    }
}

fn is_web_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let named =
        kind.is_some_and(|kind| kind.starts_with(b"text/html") || kind.starts_with(b"application/xhtml"));
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let head = text.get(..text.len().min(14)).unwrap_or_default().to_ascii_lowercase();
    named || head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}

/// What the REST module on premises counts; any of it may be missing, and other receivers send other bodies.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    success: Option<bool>,
    received: Option<u64>,
    processed: Option<u64>,
    cached: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    #[serde(flatten)]
    counts: Counts,
    response: Option<Counts>,
}

fn of_good_body(status: StatusCode, body: &[u8]) -> Outcome {
    // A body of another shape says nothing against a good status.
    let report: Report = serde_json::from_slice(body).unwrap_or_default();
    let inner = report.response.unwrap_or_default();
    let success = report.counts.success.or(inner.success);
    let received = report.counts.received.or(inner.received);
    let processed = report.counts.processed.or(inner.processed);
    let cached = report.counts.cached.or(inner.cached);
    if success == Some(false) || received == Some(0) {
        return Outcome::Retry { cause: RetryCause::NotTaken, after: None };
    }
    let only_cached = cached.is_some_and(|cached| cached > 0) && processed.unwrap_or(0) == 0;
    if status == StatusCode::ACCEPTED || only_cached {
        return Outcome::Delivered(Receipt::Uncertain);
    }
    Outcome::Delivered(Receipt::Confirmed)
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3, the two obsolete forms of dates included), counted from
/// the sender's own `Date` where it gives one, so that clocks need not agree.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs).min(RETRY_AFTER_MAX));
    }
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(http_date);
    let wait = http_date(text)? - date.unwrap_or(now);
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text.trim(), form).ok())
        .map(|date| date.and_utc())
}

/// The part of an answer that a person needs to see, at most 2 KiB.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body.get(..body.len().min(EXCERPT_MAX_BYTES)).unwrap_or_default())
        .into_owned();
    text.truncate(text.floor_char_boundary(EXCERPT_MAX_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        http_date("Mon, 23 Nov 2026 12:00:00 GMT").unwrap()
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Outcome {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        of_answer(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now())
    }

    #[test]
    fn a_good_status_is_delivered_unless_the_body_speaks_against_it() {
        let confirmed = Outcome::Delivered(Receipt::Confirmed);
        for status in [200, 201, 204, 206, 299] {
            for body in ["", "{}", "OK", "[]", "  \n", "<xml/>", r#"{"received":1,"processed":1}"#] {
                assert_eq!(answer(status, &[], body), confirmed, "{status} {body}");
            }
        }
        let uncertain = Outcome::Delivered(Receipt::Uncertain);
        assert_eq!(answer(202, &[], ""), uncertain);
        assert_eq!(answer(200, &[], r#"{"response":{"received":1,"processed":0,"cached":1}}"#), uncertain);
        let not_taken = Outcome::Retry { cause: RetryCause::NotTaken, after: None };
        assert_eq!(answer(200, &[], r#"{"success":false,"message":"no"}"#), not_taken);
        assert_eq!(answer(200, &[], r#"{"response":{"received":0}}"#), not_taken);
    }

    #[test]
    fn a_web_page_is_never_a_delivery() {
        let page = Outcome::Misconfigured(Fault::WebPage);
        assert_eq!(answer(200, &[("content-type", "text/html; charset=utf-8")], ""), page);
        for body in ["<!DOCTYPE html><html>", "\u{feff} \r\n<HTML lang=en>"] {
            assert_eq!(answer(200, &[("content-type", "application/json")], body), page);
        }
    }

    #[test]
    fn whose_fault_it_is() {
        for status in [301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 410] {
            assert!(matches!(answer(status, &[], ""), Outcome::Misconfigured(_)), "{status}");
        }
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            assert!(matches!(answer(status, &[], ""), Outcome::Retry { after: None, .. }), "{status}");
        }
        for status in [400, 406, 409, 411, 413, 414, 415, 418, 422, 451, 499] {
            assert!(matches!(answer(status, &[], ""), Outcome::Rejected(_)), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let after = |headers: &[(&'static str, &str)]| match answer(503, headers, "") {
            Outcome::Retry { after, .. } => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(after(&[("retry-after", "120")]), Some(120));
        assert_eq!(after(&[("retry-after", "86400")]), Some(600));
        assert_eq!(after(&[("retry-after", "99999999999999999999999")]), Some(600));
        assert_eq!(after(&[("retry-after", "Mon, 23 Nov 2026 12:00:30 GMT")]), Some(30));
        assert_eq!(after(&[("retry-after", "Monday, 23-Nov-26 12:00:31 GMT")]), Some(31));
        assert_eq!(after(&[("retry-after", "Mon Nov 23 12:00:32 2026")]), Some(32));
        assert_eq!(after(&[("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT")]), Some(0));
        // The receiver's clock is an hour behind ours: its own date counts.
        let skewed =
            [("retry-after", "Mon, 23 Nov 2026 11:00:05 GMT"), ("date", "Mon, 23 Nov 2026 11:00:00 GMT")];
        assert_eq!(after(&skewed), Some(5));
        for nonsense in ["", "soon", "-1", "1.5"] {
            assert_eq!(after(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    #[test]
    fn an_excerpt_is_short_text_whatever_came() {
        assert_eq!(excerpt(b"no such field"), "no such field");
        let long = excerpt("é".repeat(5_000).as_bytes());
        assert!(long.len() <= EXCERPT_MAX_BYTES && long.starts_with("éé"));
        assert!(excerpt(&[0xff; 9_000]).len() <= EXCERPT_MAX_BYTES);
    }

    #[test]
    fn every_fault_has_its_label() {
        let faults = [
            Fault::Credentials(StatusCode::UNAUTHORIZED),
            Fault::NoKey,
            Fault::Address(StatusCode::NOT_FOUND),
            Fault::Redirect(StatusCode::FOUND),
            Fault::Account(StatusCode::PAYMENT_REQUIRED),
            Fault::WebPage,
        ];
        assert_eq!(faults.map(Fault::as_label), Fault::LABELS);
        assert!(faults.iter().all(|fault| !fault.advice().is_empty()));
    }
}
