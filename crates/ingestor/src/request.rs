//! What a request says beside its body.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, Uri};
use mutt_core::{
    domain::event::EventId,
    http::{CorrelationId, Problem},
};
use uuid::Uuid;

use crate::wire;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longer ones are refused: they would be kept nowhere, but a sender should know that it made a mistake.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// What the headers say about all events of a request, owned, so that it can go to another thread.
pub(crate) struct RequestWords {
    first_id: Option<EventId>,
    correlation_id: Option<String>,
    peer: String,
    traceparent: Option<String>,
    key_name: String,
    idempotency_key: Option<String>,
}

impl RequestWords {
    /// Reads them.
    ///
    /// # Errors
    /// 400 for an idempotency key that is too long.
    pub(crate) fn of(
        headers: &HeaderMap,
        sender: &str,
        peer: SocketAddr,
        correlation: &CorrelationId,
    ) -> Result<Self, Box<Problem>> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let idempotency_key = text(&IDEMPOTENCY_KEY).map(str::trim).filter(|key| !key.is_empty());
        if idempotency_key.is_some_and(|key| key.len() > IDEMPOTENCY_KEY_MAX) {
            let detail = format!("Idempotency-Key may have at most {IDEMPOTENCY_KEY_MAX} characters");
            return Err(Box::new(Problem::bad_request(detail)));
        }
        let given = correlation.is_given().then(|| correlation.as_str().to_owned());
        Ok(Self {
            // A lone event has the id that the answer and its header name as correlation id.
            first_id: match given {
                Some(_) => None,
                None => Uuid::try_parse(correlation.as_str()).ok().map(EventId::from),
            },
            correlation_id: given,
            peer: peer.ip().to_canonical().to_string(),
            traceparent: text(&TRACEPARENT).filter(|text| is_traceparent(text)).map(str::to_owned),
            key_name: sender.to_owned(),
            idempotency_key: idempotency_key.map(str::to_owned),
        })
    }

    /// The same for events received at `received_at`.
    pub(crate) fn as_wire(&self, received_at: DateTime<Utc>) -> wire::Request<'_> {
        wire::Request {
            received_at,
            first_id: self.first_id,
            correlation_id: self.correlation_id.as_deref(),
            peer: &self.peer,
            traceparent: self.traceparent.as_deref(),
            key_name: &self.key_name,
            idempotency_key: self.idempotency_key.as_deref(),
        }
    }
}

/// Whether somebody tries the key as a query parameter.
pub(crate) fn has_key_in_query(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query
        .split('&')
        .any(|pair| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("api_key")))
}

/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>` (W3C Trace Context); anything else would break a trace.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next_has = |digits: usize| {
        parts.next().is_some_and(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    next_has(2) && next_has(32) && next_has(16) && next_has(2) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_is_carried_on() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for text in
            ["", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-x-y-01", "a-b-c-d-e"]
        {
            assert!(!is_traceparent(text), "{text}");
        }
    }

    #[test]
    fn a_key_in_the_url_is_noticed() {
        let has_key = |uri: &'static str| has_key_in_query(&Uri::from_static(uri));
        assert!(has_key("/ingest?api_key=x") && has_key("/ingest?a=b&API_KEY"));
        assert!(!has_key("/ingest") && !has_key("/ingest?key=api_key"));
    }
}
