//! What the stand-in is told to do wrong.

use serde::{Deserialize, Serialize};

/// Faults to show, as `POST /script` takes them; the default shows none.
///
/// `steps` are used up one request at a time, in order. Then each of `chances` is tried for its share of the requests,
/// and what is left gets `always`, or the normal answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// A sequence, each fault for its number of requests.
    pub steps: Vec<Fault>,
    /// Faults that strike at random; the same seed strikes the same requests.
    pub chances: Vec<Chance>,
    /// What every other request gets.
    pub always: Option<Fault>,
    /// Where the random sequence starts.
    pub seed: u64,
}

/// A fault that strikes a share of the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// From 0 (never) to 1 (always).
    pub share: f64,
    /// What it does.
    pub fault: Fault,
}

/// One way to answer. With a 2xx status the events are checked and accepted as usual and only the answer differs; with
/// any other they are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// How many requests a step is for.
    pub times: u64,
    /// The status to answer.
    pub status: u16,
    /// How long the answer takes.
    pub delay_ms: u64,
    /// A `Retry-After` header: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// A `Location` header, for redirects.
    pub location: Option<String>,
    /// The body instead of the dialect's own.
    pub body: Option<String>,
    /// What happens to the answer on its way.
    pub manner: Manner,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            times: 1,
            status: 200,
            delay_ms: 0,
            retry_after: None,
            location: None,
            body: None,
            manner: Manner::Plain,
        }
    }
}

impl Fault {
    /// Answers with `status`, once.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Shows `manner`, once.
    #[must_use]
    pub fn manner(manner: Manner) -> Self {
        Self { manner, ..Self::default() }
    }

    /// Answers normally, this much later.
    #[must_use]
    pub fn delay_ms(delay_ms: u64) -> Self {
        Self { delay_ms, ..Self::default() }
    }

    /// The same for this many requests.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The same with a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }
}

/// What happens to an answer on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// It arrives.
    #[default]
    Plain,
    /// A page in HTML comes instead, as from a wrong path on premises; nothing is accepted.
    LoginPage,
    /// The connection is reset instead.
    Reset,
    /// Bytes come that are no HTTP.
    Garbage,
    /// The body comes a byte every 100 ms.
    Drip,
    /// The body never ends.
    Flood,
    /// Nothing comes, for as long as the sender waits.
    Silent,
}

impl Script {
    /// A sequence, and then normal answers.
    #[must_use]
    pub fn steps(steps: impl IntoIterator<Item = Fault>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// The same fault until told otherwise.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::default() }
    }

    /// Whether it shows no fault at all.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        self.steps.is_empty() && self.chances.is_empty() && self.always.is_none()
    }

    /// The fault for the next request.
    pub(super) fn next(&mut self) -> Option<Fault> {
        while let Some(step) = self.steps.first_mut() {
            if step.times == 0 {
                self.steps.remove(0);
                continue;
            }
            step.times -= 1;
            return Some(step.clone());
        }
        for index in 0..self.chances.len() {
            let drawn = self.draw();
            let chance = &self.chances[index];
            if drawn < chance.share {
                return Some(chance.fault.clone());
            }
        }
        self.always.clone()
    }

    /// The next number of the sequence, from 0 up to 1 (`SplitMix64`).
    fn draw(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_order_and_then_what_is_always() {
        let mut script = Script::steps([Fault::status(503).times(2), Fault::status(401)]);
        script.always = Some(Fault::delay_ms(5));
        let seen: Vec<u16> = std::iter::from_fn(|| script.next()).map(|fault| fault.status).take(5).collect();
        assert_eq!(seen, [503, 503, 401, 200, 200]);
    }

    #[test]
    fn a_chance_strikes_its_share_and_the_same_requests_each_time() {
        let script =
            Script { chances: vec![Chance { share: 0.2, fault: Fault::status(500) }], ..Script::default() };
        let strikes =
            |mut script: Script| -> Vec<bool> { (0..10_000).map(|_| script.next().is_some()).collect() };
        let first = strikes(script.clone());
        assert_eq!(first, strikes(script));
        let share = first.iter().filter(|struck| **struck).count();
        assert!((1_800..2_200).contains(&share), "{share} of 10,000");
    }

    #[test]
    fn a_script_is_short_json_and_typos_are_refused() {
        let script: Script =
            serde_json::from_str(r#"{"steps":[{"status":429,"retry_after":"2","times":3}]}"#).unwrap();
        assert_eq!(script, Script::steps([Fault::status(429).times(3).retry_after("2")]));
        assert!(serde_json::from_str::<Script>(r#"{"step":[]}"#).is_err());
        assert!(serde_json::from_str::<Script>(r#"{"always":{"statuss":1}}"#).is_err());
    }
}
