//! What callers send, read once: bodies, parameters, who and why.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, OriginalUri, Query, Request},
};
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use http::{Extensions, HeaderMap, Uri, header, request::Parts};
use mutt_core::{
    domain::audit::Author,
    http::{CorrelationId, Problem},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::{Fault, Refusal};
use crate::access::Caller;

/// A reason is a sentence or two.
const REASON_MAX_CHARS: usize = 1000;

/// Which version of the API a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    /// Of the original: what it does not know, it does not look at.
    V1,
    /// What it does not know, it refuses, so that a slip of the pen does not go unnoticed.
    V2,
}

impl ApiVersion {
    /// The version of a request that may have lost the beginning of its path on its way through nested routers.
    fn of_request(uri: &Uri, extensions: &Extensions) -> Self {
        let whole = extensions.get::<OriginalUri>().map_or(uri, |OriginalUri(whole)| whole);
        Self::of(whole.path())
    }

    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/api/v1/") { Self::V1 } else { Self::V2 }
    }
}

/// Who changes something, and under which correlation id; the reason is part of the body.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) caller: Caller,
    correlation_id: CorrelationId,
}

impl Who {
    pub(crate) fn author<'a>(&'a self, reason: Option<&'a str>) -> Author<'a> {
        Author { name: &self.caller.name, reason, correlation_id: Some(self.correlation_id.as_str()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Ok(correlation_id) = CorrelationId::from_request_parts(parts, state).await;
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::unauthorized("send a key in the header X-API-KEY"))?;
        Ok(Self { caller, correlation_id })
    }
}

/// The members of a JSON object; what is read is taken out.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    members: Map<String, Value>,
    faults: Vec<Fault>,
    version: ApiVersion,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let version = ApiVersion::of_request(request.uri(), request.extensions());
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
                Problem::too_large("the body is larger than anything that fits here")
            } else {
                Problem::bad_request("the body did not arrive as a whole")
            }
        })?;
        if bytes.is_empty() {
            return Ok(Self { members: Map::new(), faults: Vec::new(), version });
        }
        if !is_json {
            return Err(Problem::unsupported("send JSON, with Content-Type: application/json").into());
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self { members, faults: Vec::new(), version }),
            Ok(_) => Err(Problem::bad_request("the body must be one JSON object").into()),
            Err(error) => Err(Problem::bad_request(format!("the body is not JSON: {error}")).into()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

impl Body {
    /// Whether a member is there at all, be it null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Checks that members are there.
    ///
    /// # Errors
    /// 400, naming all that are missing.
    pub(crate) fn require(&self, names: &[&str]) -> Result<(), Refusal> {
        let missing: Vec<Fault> =
            names.iter().filter(|name| !self.has(name)).map(|name| Fault::new(*name, "is missing")).collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::unreadable(&missing)) }
    }

    /// Puts a member, when it is there, into `place`; `what` says what it must be.
    pub(crate) fn put<T: DeserializeOwned>(&mut self, name: &'static str, what: &str, place: &mut T) {
        let Some(value) = self.members.remove(name) else { return };
        match serde_json::from_value(value) {
            Ok(value) => *place = value,
            Err(_) => self.fault(name, format!("must be {what}")),
        }
    }

    /// As [`Body::put`] for whole numbers, which may also be written as text.
    pub(crate) fn put_number<T: DeserializeOwned>(&mut self, name: &'static str, what: &str, place: &mut T) {
        if let Some(member) = self.members.get_mut(name)
            && let Some(number) = member.as_str().and_then(|text| text.trim().parse::<i64>().ok())
        {
            *member = number.into();
        }
        self.put(name, what, place);
    }

    /// A text, trimmed; `None` when it is missing, null or blank.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let mut text: Option<String> = None;
        self.put(name, "a text", &mut text);
        text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Any member as it is.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// The version that the caller knows, for optimistic locking.
    pub(crate) fn expected_version(&mut self) -> Option<i32> {
        let mut version = None;
        self.put_number("version", "the version that you have read, a whole number", &mut version);
        version
    }

    /// Why the caller does it.
    pub(crate) fn reason(&mut self) -> Option<String> {
        let reason = self.text("reason");
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_MAX_CHARS) {
            self.fault("reason", format!("must have at most {REASON_MAX_CHARS} characters"));
        }
        reason
    }

    /// Notes what is wrong with a member.
    pub(crate) fn fault(&mut self, field: &str, problem: impl Into<String>) {
        self.faults.push(Fault::new(field, problem));
    }

    /// Leaves members out that an answer has and a request may repeat.
    pub(crate) fn forget(&mut self, names: &[&str]) {
        self.members.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Ends the reading: everything that was wrong, and in version 2 what nobody asked for.
    pub(crate) fn finish(mut self) -> Vec<Fault> {
        if self.version == ApiVersion::V2 {
            for name in self.members.keys() {
                self.faults.push(Fault::new(name.clone(), "is not known"));
            }
        }
        self.faults
    }
}

/// The parameters of an address; what is read is taken out.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
    version: ApiVersion,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::bad_request("the parameters of the address cannot be read"))?;
        Ok(Self { pairs, faults: Vec::new(), version: ApiVersion::of_request(&parts.uri, &parts.extensions) })
    }
}

/// Which instant a day stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Its first.
    From,
    /// Its last.
    Until,
}

impl Params {
    /// A text; blank is none.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(known, _)| known == name)?;
        let text = self.pairs.remove(place).1.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// What `read` makes of a text; `what` says what it must be.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.faults.push(Fault::new(name, format!("must be {what}")));
        }
        value
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &str) -> Option<i64> {
        self.parsed(name, "a whole number", |text| text.parse().ok())
    }

    /// The number of a record.
    pub(crate) fn id(&mut self, name: &str) -> Option<i32> {
        self.parsed(name, "the number of a record", |text| text.parse().ok())
    }

    /// An instant: RFC 3339, or without an offset in UTC, or a day.
    pub(crate) fn time(&mut self, name: &str, bound: Bound) -> Option<DateTime<Utc>> {
        self.parsed(name, "a time as 2026-11-24T12:00:00Z, or a day as 2026-11-24", |text| {
            instant(text, bound)
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with everything that cannot be read, and in version 2 what nobody asked for.
    pub(crate) fn finish(mut self) -> Result<(), Refusal> {
        if self.version == ApiVersion::V2 {
            for (name, _) in &self.pairs {
                self.faults.push(Fault::new(name.clone(), "is not known"));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Refusal::unreadable(&self.faults)) }
    }
}

fn instant(text: &str, bound: Bound) -> Option<DateTime<Utc>> {
    // An unescaped `+` of an offset arrives as a blank.
    let text = match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}"),
        _ => text.to_owned(),
    };
    if let Ok(instant) = DateTime::parse_from_rfc3339(&text) {
        return Some(instant.to_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(instant) = NaiveDateTime::parse_from_str(&text, format) {
            return Some(instant.and_utc());
        }
    }
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
    let first = day.and_time(NaiveTime::MIN).and_utc();
    match bound {
        Bound::From => Some(first),
        Bound::Until => Some(first.checked_add_days(Days::new(1))? - chrono::TimeDelta::microseconds(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, bound: Bound) -> Option<String> {
        instant(text, bound).map(|instant| instant.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }

    #[test]
    fn times_are_read_as_people_and_scripts_write_them() {
        for (text, expected) in [
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000000Z"),
            ("2026-11-24T12:00:00 01:00", "2026-11-24T11:00:00.000000Z"),
            ("2026-11-24T12:00", "2026-11-24T12:00:00.000000Z"),
            ("2026-11-24 12:00:00.5", "2026-11-24T12:00:00.500000Z"),
            ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
        ] {
            assert_eq!(shown(text, Bound::From).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(shown("2026-11-24", Bound::Until).as_deref(), Some("2026-11-24T23:59:59.999999Z"));
        for text in ["yesterday", "2026-13-01", "24.11.2026", "1763985600"] {
            assert_eq!(shown(text, Bound::From), None, "{text}");
        }
    }
}
