//! `POST /ingest`: who, how much, what; then store, then answer.
//!
//! Nothing of a body is read before its sender is known. A request is answered with 200 only after Redis has its events;
//! 4xx means "do not send this again", 503 means "send it again".

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use mutt_core::{
    domain::{clock::Clock, event::EventSource},
    http::{CorrelationId, Problem, correlation, version},
    queue::Item,
};

use crate::{
    answer::{self, NotNow, Verdict},
    body::{BodyError, BodyReader, Received},
    cap::QueueCap,
    keys::LiveKeys,
    limiter::Limiter,
    metrics::{Metrics, RequestEnd},
    request::{RequestWords, has_key_in_query},
    sources::AllowedSources,
    stream::{Commit, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Outcome},
    wire::{self, Decoded, Refusal, RefusalKind, Shape},
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the ingest endpoint works with.
pub(crate) struct App {
    pub(crate) keys: LiveKeys,
    pub(crate) sources: AllowedSources,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) bodies: BodyReader,
    pub(crate) max_body_bytes: usize,
    pub(crate) rules: Arc<wire::Rules>,
    pub(crate) commit: Commit,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cap: QueueCap,
}

/// Takes events. The answer carries the correlation id and the API version itself: middleware for that would cost more
/// than parsing an event does.
pub(crate) async fn ingest(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let correlation = CorrelationId::of(&parts.headers);
    let answered = match app.admit(&parts, peer) {
        Ok(sender) => {
            let _measured = app.metrics.latency.start_timer();
            app.take(&parts.headers, body, &sender, peer, &correlation).await
        }
        Err(rejection) => Err(rejection),
    };
    let (end, mut response) = match answered {
        Ok(response) => (RequestEnd::Success, response),
        Err(Rejection { end, problem }) => {
            (end, problem.correlate(&correlation).accepted_by(&parts.headers).into_response())
        }
    };
    app.metrics.request(end);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(correlation.as_str()) {
        headers.insert(correlation::HEADER, id);
    }
    headers.insert("x-api-version", HeaderValue::from_static(version::API_VERSION));
    headers.insert("x-api-supported-versions", HeaderValue::from_static(version::SUPPORTED_VERSIONS));
    response
}

/// A request that ends with a problem, and how it counts.
struct Rejection {
    end: RequestEnd,
    problem: Box<Problem>,
}

type Answered<T> = Result<T, Rejection>;

impl Rejection {
    fn new(end: RequestEnd, problem: Problem) -> Self {
        Self { end, problem: Box::new(problem) }
    }
}

impl From<NotNow> for Rejection {
    fn from(not_now: NotNow) -> Self {
        let end = match not_now {
            NotNow::Full { .. } => RequestEnd::QueueFull,
            NotNow::Away => RequestEnd::Redis,
        };
        Self::new(end, not_now.problem())
    }
}

impl App {
    /// Lets a sender in and returns the name of its key.
    fn admit(&self, parts: &Parts, peer: SocketAddr) -> Answered<String> {
        if !self.sources.allow(peer.ip()) {
            self.metrics.source_refused.inc();
            let problem = Problem::forbidden("this address may not send (INGEST_ALLOWED_SOURCES)");
            return Err(Rejection::new(RequestEnd::Auth, problem));
        }
        let keys = self.keys.now();
        let presented = parts.headers.get(&API_KEY);
        if let Some(name) = presented.and_then(|key| keys.ingest.verify(key.as_bytes())) {
            return Ok(name.to_owned());
        }
        let detail = if presented.is_some() {
            "the key in X-API-KEY is not valid"
        } else if has_key_in_query(&parts.uri) {
            "send the key in the header X-API-KEY; one in the URL ends up in logs"
        } else {
            "send the key in the header X-API-KEY"
        };
        Err(Rejection::new(RequestEnd::Auth, Problem::unauthorized(detail)))
    }

    async fn take(
        &self,
        headers: &HeaderMap,
        body: Body,
        sender: &str,
        peer: SocketAddr,
        correlation: &CorrelationId,
    ) -> Answered<Response> {
        if let Some(limiter) = &self.limiter
            && let Err(wait) = limiter.admit().await
        {
            self.metrics.rate_limit_hits.inc();
            let problem = Problem::new(
                http::StatusCode::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests",
                "all senders together are over the limit; repeat the request later",
            );
            let seconds = wait.as_secs_f64().ceil().max(1.0);
            return Err(Rejection::new(
                RequestEnd::RateLimit,
                problem.with("retry_after", seconds).retry_after(wait),
            ));
        }
        let received = self.bodies.read(headers, body).await.map_err(|error| self.unreadable(error))?;
        let request = RequestWords::of(headers, sender, peer, correlation)
            .map_err(|problem| Rejection { end: RequestEnd::Validation, problem })?;
        let decoded = self.decode(received, request).await?;
        self.store(decoded, correlation).await
    }

    /// Makes events of the body; a large one on a thread where it holds up nobody.
    async fn decode(&self, received: Received, request: RequestWords) -> Answered<Decoded> {
        let (rules, clock) = (Arc::clone(&self.rules), Arc::clone(&self.clock));
        let large = received.is_large();
        let work = move || {
            // The permit for a large body is held until its events exist in its place.
            let (bytes, _permit) = received.plain()?;
            Ok(wire::decode(&bytes, &rules, &request.as_wire(clock.now())))
        };
        let decoded: Result<Result<Decoded, Refusal>, BodyError> = if large {
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|_panicked_or_stopping| Rejection::new(RequestEnd::Unknown, Problem::internal()))?
        } else {
            work()
        };
        decoded.map_err(|error| self.unreadable(error))?.map_err(|refusal| self.refuse(refusal))
    }

    async fn store(&self, decoded: Decoded, correlation: &CorrelationId) -> Answered<Response> {
        let Decoded { shape, events } = decoded;
        if shape == Shape::One {
            return match events.into_iter().next() {
                Some(Ok(item)) => self.store_one(item, correlation).await,
                Some(Err(refusal)) => Err(self.refuse(refusal)),
                None => Ok(answer::several(correlation.as_str(), self.sampled_depth(), &[])),
            };
        }
        let mut verdicts = Vec::with_capacity(events.len());
        let mut good = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Ok(item) => {
                    verdicts.push(Verdict::Queued { id: item.id, repeated: false });
                    good.push((verdicts.len() - 1, item));
                }
                Err(refusal) => {
                    self.metrics.refused(refusal.kind);
                    verdicts.push(Verdict::Refused(refusal));
                }
            }
        }
        let (depth, not_now) = self.store_in_batches(good, &mut verdicts).await;
        let any_queued = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Queued { .. }));
        match not_now {
            Some(not_now) if !any_queued => Err(not_now.into()),
            _ => Ok(answer::several(correlation.as_str(), depth, &verdicts)),
        }
    }

    async fn store_one(&self, item: Item, correlation: &CorrelationId) -> Answered<Response> {
        let id = item.id;
        match self.commit.store(vec![item]).await {
            Outcome::Stored { depth, repeats } => {
                let first = repeats.first().map(|(_, first)| *first);
                self.count_stored(1, repeats.len());
                Ok(answer::one(correlation.as_str(), depth, first.unwrap_or(id), first.is_some()))
            }
            Outcome::Full { depth, cap } => Err(NotNow::Full { depth, cap }.into()),
            Outcome::Away => Err(NotNow::Away.into()),
        }
    }

    /// Stores what is good, batch after batch, and writes what became of it into `verdicts`.
    ///
    /// Each batch is stored as a whole or not at all. The first that is not ends it: the rest would fare no better.
    async fn store_in_batches(
        &self,
        good: Vec<(usize, Item)>,
        verdicts: &mut [Verdict],
    ) -> (u64, Option<NotNow>) {
        let mut depth = self.sampled_depth();
        let mut left = good.into_iter().peekable();
        while left.peek().is_some() {
            let (places, items) = next_batch(&mut left);
            let count = items.len();
            let not_now = match self.commit.store(items).await {
                Outcome::Stored { depth: now, repeats } => {
                    depth = now;
                    self.count_stored(count, repeats.len());
                    for (at, id) in repeats {
                        if let Some(verdict) = places.get(at).and_then(|place| verdicts.get_mut(*place)) {
                            *verdict = Verdict::Queued { id, repeated: true };
                        }
                    }
                    continue;
                }
                Outcome::Full { depth, cap } => NotNow::Full { depth, cap },
                Outcome::Away => NotNow::Away,
            };
            for place in places.into_iter().chain(left.map(|(place, _)| place)) {
                if let Some(verdict) = verdicts.get_mut(place) {
                    *verdict = Verdict::NotNow(not_now);
                }
            }
            return (depth, Some(not_now));
        }
        (depth, None)
    }

    fn count_stored(&self, events: usize, repeated: usize) {
        self.metrics.events(EventSource::Http).inc_by((events - repeated) as u64);
        if repeated > 0 {
            self.metrics.repeated.inc_by(repeated as u64);
        }
    }

    fn sampled_depth(&self) -> u64 {
        u64::try_from(self.metrics.queue_depth.get()).unwrap_or_default()
    }

    fn unreadable(&self, error: BodyError) -> Rejection {
        let end = match error {
            BodyError::TooLarge => RequestEnd::Validation,
            BodyError::ContentType | BodyError::Encoding | BodyError::Damaged => RequestEnd::Json,
            BodyError::Incomplete | BodyError::TooSlow => RequestEnd::Unknown,
        };
        Rejection::new(end, answer::unreadable(error, self.max_body_bytes))
    }

    fn refuse(&self, refusal: Refusal) -> Rejection {
        self.metrics.refused(refusal.kind);
        let end = match refusal.kind {
            RefusalKind::Unreadable | RefusalKind::NotObject => RequestEnd::Json,
            RefusalKind::Fields | RefusalKind::TooLarge | RefusalKind::TooDeep | RefusalKind::TooMany => {
                RequestEnd::Validation
            }
        };
        Rejection::new(end, answer::refused(refusal))
    }
}

/// Takes items up to the limits of one batch, but at least one, with their places in the sender's order.
fn next_batch(
    left: &mut std::iter::Peekable<impl Iterator<Item = (usize, Item)>>,
) -> (Vec<usize>, Vec<Item>) {
    let (mut places, mut items) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while let Some((place, item)) = left.next_if(|(_, next)| {
        items.is_empty() || (items.len() < MAX_BATCH_EVENTS && bytes + next.payload.len() <= MAX_BATCH_BYTES)
    }) {
        bytes += item.payload.len();
        places.push(place);
        items.push(item);
    }
    (places, items)
}

#[cfg(test)]
mod tests {
    use mutt_core::domain::event::EventId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn batches_keep_the_order_and_the_limits() {
        let item = |bytes: usize| Item {
            id: EventId::from(Uuid::nil()),
            payload: vec![b'x'; bytes].into(),
            idempotency_key: None,
        };
        let sizes = |items: Vec<Item>| {
            let mut left = items.into_iter().enumerate().peekable();
            let mut sizes = Vec::new();
            while left.peek().is_some() {
                let (places, items) = next_batch(&mut left);
                assert!(places.is_sorted());
                sizes.push(items.len());
            }
            sizes
        };
        assert_eq!(sizes(vec![item(1); 1201]), [500, 500, 201]);
        assert_eq!(sizes(vec![item(600_000); 3]), [1, 1, 1]);
        assert_eq!(sizes(vec![item(2 << 20), item(1)]), [1, 1]);
    }
}
