//! The one HTTP client to Moogsoft: one POST in, one [`Answer`] out.
//!
//! It never follows a redirect, never reads more of an answer than it needs, never repeats a POST by itself, and asks for
//! the key at each send, so that a rotated one counts at once. No key is ever logged or put into an answer.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mutt_core::{
    domain::{alert::Alert, clock::Clock},
    secrets::{Key, Secrets},
};
use reqwest::{Certificate, Client, Url, redirect::Policy};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::outcome::{self, Fault, Outcome, RetryCause};

/// How long connecting may take; a receiver that is there answers in a few round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// As much of an answer as is read: what counts is in the first lines.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// Idle connections are dropped before common load balancers drop them (60 s), so that few sends meet a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// How the key is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthForm {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// `apiKey: <key>`.
    ApiKey,
    /// `Authorization: Basic`, the key being `user:password`.
    Basic,
}

/// Where to send, and how.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The webhook's address.
    pub url: Url,
    /// How long one send may take in all.
    pub timeout: Duration,
    /// How the key is presented.
    pub auth: AuthForm,
    /// Certificates to trust besides the system's, in PEM.
    pub extra_authorities: Option<Vec<u8>>,
    /// A proxy to go through.
    pub proxy: Option<Url>,
    /// Connections kept open: one per lane.
    pub connections: usize,
}

/// Sends alerts.
pub struct MoogClient {
    http: Client,
    url: Url,
    auth: AuthForm,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for MoogClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MoogClient")
            .field("url", &self.url.as_str())
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it means.
    pub outcome: Outcome,
    /// Its status, when there was one.
    pub status: Option<StatusCode>,
    /// The part a person needs to see, at most 2 KiB: the body's head, or why there is none.
    pub excerpt: String,
    /// From the first byte sent to the last one read.
    pub took: Duration,
}

impl MoogClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read or the proxy is no address a client can use.
    pub fn new(settings: &ClientSettings, secrets: Secrets, clock: Arc<dyn Clock>) -> reqwest::Result<Self> {
        let mut builder = Client::builder()
            .user_agent(concat!("MUTT/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_gzip()
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(settings.connections)
            // Proxies are a setting, not a surprise from the environment.
            .no_proxy();
        if let Some(pem) = &settings.extra_authorities {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
        }
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        Ok(Self { http: builder.build()?, url: settings.url.clone(), auth: settings.auth, secrets, clock })
    }

    /// Sends one alert once.
    ///
    /// Cancel safe as far as a POST can be: a dropped one may have arrived.
    pub async fn send(&self, alert: &Alert, body: Vec<u8>) -> Answer {
        let Some((name, key)) = self.key() else {
            let excerpt = Fault::NoKey.advice();
            return Answer {
                outcome: Outcome::Misconfigured(Fault::NoKey),
                status: None,
                excerpt,
                took: Duration::ZERO,
            };
        };
        let mut headers = headers(alert);
        headers.insert(name, key);
        let started = Instant::now();
        let sent = self.http.post(self.url.clone()).headers(headers).body(body).send().await;
        let (outcome, status, excerpt) = match sent {
            Ok(response) => self.read(response).await,
            Err(error) => of_failure(&error),
        };
        Answer { outcome, status, excerpt, took: started.elapsed() }
    }

    async fn read(&self, mut response: reqwest::Response) -> (Outcome, Option<StatusCode>, String) {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while body.len() < ANSWER_MAX_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // A good status whose body never came may be a page or a refusal; any other status speaks for itself.
                Err(error) if status.is_success() => return of_failure(&error),
                Ok(None) | Err(_) => break,
            }
        }
        let outcome = outcome::of_answer(status, &headers, &body, self.clock.now());
        (outcome, Some(status), outcome::excerpt(&body))
    }

    /// The header that presents the key as it is now.
    fn key(&self) -> Option<(HeaderName, HeaderValue)> {
        let key = self.secrets.get(Key::MoogApiKey)?;
        let key = key.expose_secret();
        let (name, text) = match self.auth {
            AuthForm::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
            AuthForm::ApiKey => (HeaderName::from_static("apikey"), key.to_owned()),
            AuthForm::Basic => (header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(key))),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// Headers that tell copies and traces of an alert together.
fn headers(alert: &Alert) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let id = alert.id.to_string();
    let attempt = (u64::from(alert.retry_count) + 1).to_string();
    let optional = [
        ("idempotency-key", id.as_str()),
        ("x-correlation-id", alert.correlation_id.as_str()),
        ("x-mutt-attempt", attempt.as_str()),
        ("traceparent", alert.traceparent.as_deref().unwrap_or_default()),
    ];
    for (name, text) in optional {
        // A correlation id of another producer may hold what no header can: then it only goes in the body.
        if let Ok(value) = HeaderValue::from_str(text)
            && !text.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn of_failure(error: &reqwest::Error) -> (Outcome, Option<StatusCode>, String) {
    let cause = if error.is_timeout() {
        RetryCause::TimedOut
    } else if error.is_connect() {
        RetryCause::NoConnection
    } else {
        RetryCause::Broken
    };
    (Outcome::Retry { cause, after: None }, None, outcome::excerpt(reason(error).as_bytes()))
}

/// The whole chain of causes, without the address: it may carry credentials.
fn reason(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
