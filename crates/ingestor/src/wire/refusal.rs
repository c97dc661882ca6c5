//! Why an event or a body is not taken, in words for its sender.

use http::StatusCode;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Not JSON.
    Unreadable,
    /// JSON, but not an object.
    NotObject,
    /// A field is missing, empty or of the wrong kind.
    Fields,
    /// One event is too large.
    TooLarge,
    /// A value is nested too deeply.
    TooDeep,
    /// Too many events in one request.
    TooMany,
}

impl RefusalKind {
    /// Every kind, for metrics that must start at zero.
    pub const ALL: [Self; 6] =
        [Self::Unreadable, Self::NotObject, Self::Fields, Self::TooLarge, Self::TooDeep, Self::TooMany];

    /// The word in metrics.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable_json",
            Self::NotObject => "not_an_object",
            Self::Fields => "invalid_fields",
            Self::TooLarge => "event_too_large",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many_events",
        }
    }

    /// The status of a request that consists of this fault.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unreadable | Self::NotObject | Self::Fields => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooDeep | Self::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The word in verdicts and in problem types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable-json",
            Self::NotObject => "not-an-object",
            Self::Fields => "invalid-fields",
            Self::TooLarge => "event-too-large",
            Self::TooDeep => "too-deep",
            Self::TooMany => "too-many-events",
        }
    }

    /// The same words for every occurrence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Unreadable => "Not readable as JSON",
            Self::NotObject => "Not a JSON object",
            Self::Fields => "Missing or invalid fields",
            Self::TooLarge => "Event too large",
            Self::TooDeep => "Nested too deeply",
            Self::TooMany => "Too many events",
        }
    }
}

/// A fault and what to do about it. Sending the same again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub kind: RefusalKind,
    /// What is wrong, for the sender.
    pub detail: String,
    /// The fields that are missing or wrong.
    pub fields: Vec<String>,
}

impl Refusal {
    fn new(kind: RefusalKind, detail: String) -> Self {
        Self { kind, detail, fields: Vec::new() }
    }

    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        Self::new(RefusalKind::Unreadable, format!("the body is not readable as JSON: {error}"))
    }

    pub(super) fn empty_body() -> Self {
        Self::new(RefusalKind::Unreadable, "the body is empty; send a JSON object".to_owned())
    }

    pub(super) fn not_object() -> Self {
        Self::new(RefusalKind::NotObject, "an event is a JSON object".to_owned())
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            RefusalKind::TooLarge,
            format!("an event may have at most {limit} bytes (INGEST_MAX_EVENT_BYTES)"),
        )
    }

    pub(super) fn too_deep(name: &str, limit: usize) -> Self {
        let refusal =
            Self::new(RefusalKind::TooDeep, format!("a field is nested more than {limit} levels deep"));
        Self { fields: vec![name.to_owned()], ..refusal }
    }

    pub(super) fn too_many(limit: usize) -> Self {
        Self::new(RefusalKind::TooMany, format!("a request may hold at most {limit} events"))
    }

    pub(super) fn fields(missing: &[&str], wrong: &[(&'static str, String)]) -> Self {
        let mut faults: Vec<String> = Vec::new();
        if !missing.is_empty() {
            faults.push(format!("missing or empty: {}", missing.join(", ")));
        }
        faults.extend(wrong.iter().map(|(name, fault)| format!("{name} {fault}")));
        let fields =
            missing.iter().copied().chain(wrong.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
        Self { kind: RefusalKind::Fields, detail: faults.join("; "), fields }
    }
}
