//! The id that joins a request to its events, alerts, audit rows and log lines.

use std::{convert::Infallible, fmt};

use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use uuid::Uuid;

/// The header it comes and goes in.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// 1 to 128 printable ASCII characters: safe in logs, headers and database columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationId {
    text: String,
    given: bool,
}

impl CorrelationId {
    /// The sender's id when it is acceptable, else a new `UUIDv7`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).and_then(|value| value.to_str().ok()).filter(|text| is_acceptable(text));
        match given {
            Some(text) => Self { text: text.to_owned(), given: true },
            None => Self { text: Uuid::now_v7().to_string(), given: false },
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the sender chose it, so that all events of the request share it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.given
    }
}

/// Whether a text may be a correlation id.
#[must_use]
pub fn is_acceptable(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<S: Sync> FromRequestParts<S> for CorrelationId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Middleware: gives the request its id, and returns it in the answer. For `axum::middleware::from_fn`.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = CorrelationId::of(request.headers());
    let header = HeaderValue::from_str(id.as_str());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(HEADER, header);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> CorrelationId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        CorrelationId::of(&headers)
    }

    #[test]
    fn printable_ascii_of_some_length_is_kept_and_the_rest_replaced() {
        assert_eq!(of(b"req-1").as_str(), "req-1");
        assert!(of(&[b'x'; 128]).is_given());
        for refused in [&b""[..], &[b'x'; 129], b"tab\there", "\u{fc}".as_bytes()] {
            let id = of(refused);
            assert!(!id.is_given(), "{refused:?}");
            assert_eq!(id.as_str().len(), 36);
        }
    }
}
