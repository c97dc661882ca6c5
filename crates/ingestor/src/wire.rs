//! What HTTP senders send, made into events: parse, don't validate.
//!
//! A body is one JSON object, an array, or objects one after another (NDJSON, or joined by line feeds as rsyslog's
//! omhttp does it). `pieces` finds the objects, `event` makes each an entry of the queue or says why not. The sender's
//! fields stay as the sender wrote them, in order; no field that begins with `_` gets in, because those are MUTT's
//! own. After this module nobody checks an event again.

mod event;
mod fields;
mod pieces;
mod refusal;
mod value;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use mutt_core::{domain::event::EventId, queue::Item};

use self::{
    event::{Problem, event_of},
    fields::Fields,
    pieces::Pieces,
};
pub use self::{
    pieces::Shape,
    refusal::{Refusal, RefusalKind},
};

/// Deeper values help nobody and cost every later reader stack.
pub const MAX_DEPTH: usize = 32;
/// Most events of one request: bounds what its entries and verdicts take beside the body itself.
pub const MAX_EVENTS: usize = 50_000;

/// What is asked of every event.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Fields that must be there and not be empty.
    pub required: Vec<String>,
    /// The largest event, in bytes of JSON.
    pub max_event_bytes: usize,
}

/// What one request says about all its events.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// When its body was complete.
    pub received_at: DateTime<Utc>,
    /// The id of the first event, where the caller wants to know it beforehand; the others get new ones.
    pub first_id: Option<EventId>,
    /// `X-Correlation-ID`, when the sender gave one.
    pub correlation_id: Option<&'a str>,
    /// The sender's address, without the port.
    pub peer: &'a str,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
    /// The name of the key that let it in: idempotency keys of different names never meet.
    pub key_name: &'a str,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// A body, made into entries.
#[derive(Debug)]
pub struct Decoded {
    /// Whether the sender sent one object or several.
    pub shape: Shape,
    /// In the sender's order: an entry for the queue, or why there is none.
    pub events: Vec<Result<Item, Refusal>>,
}

/// What of the body was not UTF-8.
#[derive(Debug, Clone, Copy)]
struct Foreign<'a> {
    any: bool,
    /// The bytes of a body that is a single line.
    line: Option<&'a [u8]>,
}

/// Makes the events of a body.
///
/// # Errors
/// A [`Refusal`] of the whole body: nothing in it can be read as an object, or it holds too many.
pub fn decode(body: &[u8], rules: &Rules, request: &Request<'_>) -> Result<Decoded, Refusal> {
    // rsyslog puts foreign bytes into its JSON unchanged; a replaced character is better than a lost event.
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let any = matches!(text, Cow::Owned(_));
    let one_line = any && memchr::memchr(b'\n', body.trim_ascii()).is_none();
    let foreign = Foreign { any, line: one_line.then_some(body) };

    let (mut shape, mut pieces) = Pieces::of(&text, rules.max_event_bytes)?;
    let mut scratch = Fields::default();
    let mut events = Vec::new();
    let mut objects = 0;
    while let Some(mut piece) = pieces.next() {
        if events.len() == MAX_EVENTS {
            return Err(Refusal::too_many(MAX_EVENTS));
        }
        let event = loop {
            match event_of(piece, events.len(), rules, request, foreign, &mut scratch) {
                Ok(item) => break Ok(item),
                Err(Problem::Refused(refusal)) => break Err(refusal),
                Err(Problem::NotWhole(error)) => match pieces.widen() {
                    Some(wider) => piece = wider,
                    None => break Err(Refusal::unreadable(&error)),
                },
            }
        };
        objects += usize::from(!matches!(&event, Err(refusal) if refusal.kind == RefusalKind::Unreadable));
        events.push(event);
    }
    if shape == Shape::Stream && objects == 0 {
        let first = events.into_iter().find_map(Result::err);
        return Err(first.unwrap_or_else(Refusal::empty_body));
    }
    if shape == Shape::Stream && events.len() == 1 {
        shape = Shape::One;
    }
    Ok(Decoded { shape, events })
}

#[cfg(test)]
mod tests;
