//! Where one syslog message ends and the next begins: RFC 6587 on streams, one or more lines in a datagram.
//!
//! A stream may mix both framings of RFC 6587 message by message: `104 <13>1 ..` is counted, anything else ends at a
//! line feed or a NUL. A message longer than the limit is cut there, flagged, and the rest of it is skipped without
//! being kept, so that no sender decides how much memory it takes. Pure: sockets are elsewhere.

use memchr::{memchr_iter, memchr2};

use super::parse::begins_with_priority;

/// One message without its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message; never empty or blank, without trailing CR, LF and NUL.
    pub bytes: &'a [u8],
    /// Whether it was longer, or its end never came.
    pub cut: Option<Cut>,
}

/// Why a frame is not the whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It was longer than the limit.
    TooLong,
    /// The connection ended or fell silent before the counted length was reached.
    Unfinished,
}

impl Cut {
    /// The words for `_reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "longer than the limit",
            Self::Unfinished => "the sender stopped in the middle of the message",
        }
    }
}

/// How a stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The sender closed it.
    Orderly,
    /// It broke, or was closed on the sender.
    Abruptly,
}

/// What [`Framer::next`] found; `used` bytes of the input are done with.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A message.
    Frame {
        /// The message.
        frame: Frame<'a>,
        /// How much input it took, its framing included.
        used: usize,
    },
    /// More input is needed; what was not used must be presented again, with more behind it.
    More {
        /// How much input was skipped.
        used: usize,
    },
}

/// Cuts one connection's bytes into messages.
#[derive(Debug)]
pub struct Framer {
    max: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a message.
    Start,
    /// In a message that ends at a delimiter; this much of it is known to hold none.
    Line { searched: usize },
    /// In a message of this many bytes.
    Counted { length: u64 },
    /// Past the limit, up to the delimiter.
    SkipLine,
    /// Past the limit, this many bytes more.
    SkipBytes { left: u64 },
}

/// `MSG-LEN SP`: ten digits hold any length that fits in memory.
const MAX_COUNT_DIGITS: usize = 10;

impl Framer {
    /// How much more than the limit a buffer must hold for [`Framer::next`] to get on: the count or the delimiter.
    pub const OVERHEAD: usize = MAX_COUNT_DIGITS + 2;

    /// Messages longer than `max` bytes are cut.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, state: State::Start }
    }

    /// Whether the input ended in the middle of a message.
    #[must_use]
    pub fn is_inside_message(&self, left: &[u8]) -> bool {
        match self.state {
            State::Start => !left.is_empty(),
            State::Line { .. } | State::Counted { .. } | State::SkipLine | State::SkipBytes { .. } => true,
        }
    }

    /// Finds the next message at the front of `input`, which begins where the last call stopped using it.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.state {
                State::Start => {
                    // Blank lines, and the line feed that some senders add behind a counted message.
                    let blanks = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r' | b'\0')).count();
                    used += blanks;
                    let rest = rest.get(blanks..).unwrap_or_default();
                    match count(rest) {
                        Count::Of { length, digits } => {
                            used += digits + 1;
                            self.state = State::Counted { length };
                        }
                        Count::None => self.state = State::Line { searched: 0 },
                        Count::Unknown => return Step::More { used },
                    }
                }
                State::Line { searched } => match self.line(rest, searched) {
                    Ok((bytes, taken)) => {
                        let cut = self.state == State::SkipLine;
                        if let Some(frame) = frame(bytes, cut.then_some(Cut::TooLong)) {
                            return Step::Frame { frame, used: used + taken };
                        }
                        used += taken;
                    }
                    Err(()) => return Step::More { used },
                },
                State::Counted { length } => match self.counted(rest, length) {
                    Some((bytes, cut)) => {
                        if let Some(frame) = frame(bytes, cut) {
                            return Step::Frame { frame, used: used + bytes.len() };
                        }
                        used += bytes.len();
                    }
                    None => return Step::More { used },
                },
                State::SkipLine => match memchr2(b'\n', b'\0', rest) {
                    Some(end) => {
                        used += end + 1;
                        self.state = State::Start;
                    }
                    None => return Step::More { used: input.len() },
                },
                State::SkipBytes { left } => {
                    let skipped = left.min(rest.len() as u64);
                    used += usize::try_from(skipped).unwrap_or(rest.len());
                    if skipped < left {
                        self.state = State::SkipBytes { left: left - skipped };
                        return Step::More { used };
                    }
                    self.state = State::Start;
                }
            }
        }
    }

    /// What is left when nothing more will come.
    ///
    /// A line without its line feed is a whole message when the sender closed the connection behind it (`printf x | nc`
    /// sends no more); a counted message never is.
    pub fn finish<'a>(&mut self, left: &'a [u8], ended: Ended) -> Option<Frame<'a>> {
        let state = std::mem::replace(&mut self.state, State::Start);
        let bytes = left.get(..left.len().min(self.max)).unwrap_or_default();
        let cut = match (state, ended) {
            (State::SkipLine | State::SkipBytes { .. }, _) => return None,
            (State::Start | State::Line { .. }, _) if left.len() > self.max => Some(Cut::TooLong),
            (State::Start | State::Line { .. }, Ended::Orderly) => None,
            (State::Counted { .. }, _) | (_, Ended::Abruptly) => Some(Cut::Unfinished),
        };
        frame(bytes, cut)
    }

    /// A line and how much input it takes with its delimiter, once that is known.
    fn line<'a>(&mut self, rest: &'a [u8], searched: usize) -> Result<(&'a [u8], usize), ()> {
        // One byte more than the limit, for the CR of a line that is exactly as long as allowed.
        let window = rest.len().min(self.max + 2);
        let found = rest.get(searched..window).and_then(|new| memchr2(b'\n', b'\0', new));
        if let Some(end) = found {
            let bytes = trimmed(rest.get(..searched + end).unwrap_or_default());
            if bytes.len() <= self.max {
                self.state = State::Start;
                return Ok((bytes, searched + end + 1));
            }
        } else if window < self.max + 2 {
            self.state = State::Line { searched: window };
            return Err(());
        }
        self.state = State::SkipLine;
        Ok((rest.get(..self.max).unwrap_or_default(), self.max))
    }

    fn counted<'a>(&mut self, rest: &'a [u8], length: u64) -> Option<(&'a [u8], Option<Cut>)> {
        let max = self.max as u64;
        let wanted = usize::try_from(length.min(max)).unwrap_or(self.max);
        let bytes = rest.get(..wanted)?;
        if length > max {
            self.state = State::SkipBytes { left: length - max };
            return Some((bytes, Some(Cut::TooLong)));
        }
        self.state = State::Start;
        Some((bytes, None))
    }
}

enum Count {
    /// A counted message; its count has this many digits and one blank after them.
    Of { length: u64, digits: usize },
    /// Not counted.
    None,
    /// Not enough input to tell.
    Unknown,
}

/// A count is a number without leading zero, a blank and the `<` of a priority; `12 bottles` is a line.
fn count(input: &[u8]) -> Count {
    let digits = input.iter().take(MAX_COUNT_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    match input.first() {
        None => return Count::Unknown,
        Some(b'1'..=b'9') if digits <= MAX_COUNT_DIGITS => {}
        Some(_) => return Count::None,
    }
    match (input.get(digits), input.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => Count::Unknown,
        (Some(b' '), Some(b'<')) => {
            let length = input.iter().take(digits).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            Count::Of { length, digits }
        }
        _ => Count::None,
    }
}

/// The messages in one datagram: RFC 5426 allows one, some senders put several lines in.
///
/// A line feed only separates when a priority follows it, so that a stack trace stays one message.
pub fn datagram(bytes: &[u8], max: usize) -> impl Iterator<Item = Frame<'_>> {
    let mut breaks =
        memchr_iter(b'\n', bytes).filter(|at| bytes.get(at + 1..).is_some_and(begins_with_priority));
    let mut start = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        while !done {
            let end = breaks.next().unwrap_or_else(|| {
                done = true;
                bytes.len()
            });
            let line = trimmed(bytes.get(start..end).unwrap_or_default());
            start = end + 1;
            let kept = line.get(..line.len().min(max)).unwrap_or_default();
            if let Some(frame) = frame(kept, (line.len() > max).then_some(Cut::TooLong)) {
                return Some(frame);
            }
        }
        None
    })
}

fn frame(bytes: &[u8], cut: Option<Cut>) -> Option<Frame<'_>> {
    let bytes = trimmed(bytes);
    let blank = bytes.iter().all(|b| *b == 0 || b.is_ascii_whitespace());
    (!blank).then_some(Frame { bytes, cut })
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let Some((b'\n' | b'\r' | b'\0', rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests;
