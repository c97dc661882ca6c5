//! Where one event of a body ends and the next begins.

use serde_json::value::RawValue;

use super::Refusal;

/// How the sender put events together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    One,
    /// An array, of any length.
    Array,
    /// Objects one after another.
    Stream,
}

/// Most objects of one body that may begin on a line and turn out to be no JSON even when read across lines. Each such
/// attempt may read a whole event's length again, so a hostile body must not get many.
const MAX_FAILED_WIDENINGS: u8 = 16;

/// The events of a body, as text that need not be JSON yet.
#[derive(Debug)]
pub(super) enum Pieces<'a> {
    /// The elements of an array, known to be JSON.
    Array(std::vec::IntoIter<&'a RawValue>),
    /// Lines, unless an object turns out to span several.
    Stream(Stream<'a>),
}

#[derive(Debug)]
pub(super) struct Stream<'a> {
    /// From the start of the piece that was handed out last.
    last: &'a str,
    /// Where the next one begins.
    rest: &'a str,
    max_event_bytes: usize,
    failed: u8,
}

impl<'a> Pieces<'a> {
    /// Looks at the first character; an array is taken apart at once.
    pub(super) fn of(text: &'a str, max_event_bytes: usize) -> Result<(Shape, Self), Refusal> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_start();
        if text.starts_with('[') {
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| Refusal::unreadable(&error))?;
            return Ok((Shape::Array, Self::Array(elements.into_iter())));
        }
        Ok((Shape::Stream, Self::Stream(Stream { last: text, rest: text, max_event_bytes, failed: 0 })))
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        match self {
            Self::Array(elements) => elements.next().map(RawValue::get),
            Self::Stream(stream) => stream.next_line(),
        }
    }

    /// Takes the last piece back and returns the whole JSON value that begins there, when that is another text: an object
    /// over several lines, or the first of several on one line.
    pub(super) fn widen(&mut self) -> Option<&'a str> {
        match self {
            Self::Array(_) => None,
            Self::Stream(stream) => stream.whole_value(),
        }
    }
}

impl<'a> Stream<'a> {
    fn next_line(&mut self) -> Option<&'a str> {
        self.last = self.rest.trim_start();
        if self.last.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.last.as_bytes()).unwrap_or(self.last.len());
        let (line, rest) = self.last.split_at_checked(end)?;
        self.rest = rest;
        Some(line.trim_end())
    }

    fn whole_value(&mut self) -> Option<&'a str> {
        if self.failed >= MAX_FAILED_WIDENINGS {
            return None;
        }
        // One byte more than allowed, so that the caller still sees that it is too large.
        let window = self.last.split_at(self.last.floor_char_boundary(self.max_event_bytes + 1)).0;
        let value =
            serde_json::Deserializer::from_str(window).into_iter::<&RawValue>().next().and_then(Result::ok);
        let line_length = self.last.len() - self.rest.len();
        match value.map(RawValue::get) {
            Some(value) if value.len() != self.last.split_at_checked(line_length)?.0.trim_end().len() => {
                self.rest = self.last.split_at_checked(value.len())?.1;
                Some(value)
            }
            _ => {
                self.failed += 1;
                None
            }
        }
    }
}
