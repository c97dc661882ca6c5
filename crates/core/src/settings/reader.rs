//! Hands out settings by key and keeps account of what was read and what was wrong.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    known, mask,
    parse::{self, Number},
    report::{Entry, Note, Origin, Problem, Problems, Report},
    source::{self, Found, SettingsError},
};

/// Reads settings one by one; a value that is wrong is noted, its default returned, and reading goes on.
///
/// An empty value means the default, except where empty means "none" or "off": [`Reader::socket`], [`Reader::list`].
///
/// ```
/// use mutt_core::settings::Reader;
///
/// let env = [("REDIS_PORT", "no"), ("MUTT_TYPO", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let mut reader = Reader::load(None, env.into_iter())?;
/// let port = reader.number("REDIS_PORT", 6379, 1..=u16::MAX, "Port of Redis");
/// assert_eq!(port, 6379);
/// let problems = reader.finish().unwrap_err();
/// assert_eq!(problems.0.len(), 2); // both at once: the number that is none, and the key that nobody knows
/// # Ok::<(), mutt_core::settings::SettingsError>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    service: String,
    /// `<service>-<six hex digits>`, made once so that all who ask get the same.
    made_up_name: String,
    section: &'static str,
    found: Found,
    entries: Vec<Entry>,
    warnings: Vec<Note>,
}

impl Reader {
    /// Brings the file, when there is one, and the environment together; nothing is judged before [`Reader::finish`].
    ///
    /// # Errors
    /// The file cannot be read or is not TOML.
    pub fn load(
        config_file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut found = source::load(config_file, env)?;
        let warnings = std::mem::take(&mut found.warnings);
        let warnings = warnings.into_iter().map(|(key, message)| Note { key, message }).collect();
        Ok(Self {
            service: String::new(),
            made_up_name: String::new(),
            section: "settings",
            found,
            entries: Vec::new(),
            warnings,
        }
        .for_service("mutt"))
    }

    /// Says for which service settings are read; names made up for it carry this.
    #[must_use]
    pub fn for_service(mut self, name: &str) -> Self {
        let short = name.strip_prefix("mutt-").unwrap_or(name);
        self.made_up_name = format!("{short}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        name.clone_into(&mut self.service);
        self
    }

    /// A name for this process, when nobody gave it one.
    pub(super) fn made_up_name(&self) -> &str {
        &self.made_up_name
    }

    /// The service's name: `mutt-alerter`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Puts what is read from here on under the heading `name`.
    pub fn section(&mut self, name: &'static str) {
        self.section = name;
    }

    /// Whether somebody set this key to something.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.found.values.get(key).is_some_and(|raw| !raw.text.trim().is_empty())
    }

    /// A text; surrounding white space is cut.
    pub fn text(&mut self, key: &'static str, default: &str, doc: &'static str) -> String {
        self.take(key, default, "a text", doc, |text| Some(text.to_owned()))
            .unwrap_or_else(|| default.to_owned())
    }

    /// A text that need not be there.
    pub fn optional_text(&mut self, key: &'static str, doc: &'static str) -> Option<String> {
        self.take(key, "", "a text, or empty for none", doc, |text| Some(text.to_owned()))
    }

    /// A text that must be there.
    pub fn required_text(&mut self, key: &'static str, doc: &'static str) -> String {
        let text = self.take(key, "", "a text; required", doc, |text| Some(text.to_owned()));
        text.unwrap_or_else(|| self.missing(key))
    }

    /// A number within `range`.
    pub fn number<T: Number>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
        doc: &'static str,
    ) -> T {
        let allowed = parse::allowed_numbers(&range);
        self.take(key, &default.to_string(), &allowed, doc, |text| parse::number(text, &range))
            .unwrap_or(default)
    }

    /// Yes or no.
    pub fn flag(&mut self, key: &'static str, default: bool, doc: &'static str) -> bool {
        self.take(key, &default.to_string(), "true, 1, yes, on or false, 0, no, off", doc, parse::flag)
            .unwrap_or(default)
    }

    /// A time; plain numbers are seconds, `5m` and `1h 30m` are understood. `default` and `range` are in seconds.
    pub fn seconds(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Duration {
        self.duration(key, Duration::from_secs, Duration::from_secs(1), default, &range, doc)
    }

    /// A short time; plain numbers are milliseconds, `2s` is understood. `default` and `range` are in milliseconds.
    pub fn millis(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Duration {
        self.duration(key, Duration::from_millis, Duration::from_millis(1), default, &range, doc)
    }

    fn duration(
        &mut self,
        key: &'static str,
        from: fn(u64) -> Duration,
        unit: Duration,
        default: u64,
        range: &RangeInclusive<u64>,
        doc: &'static str,
    ) -> Duration {
        let range = from(*range.start())..=from(*range.end());
        let (low, high) = (parse::show_duration(*range.start()), parse::show_duration(*range.end()));
        let unit_name = if unit.as_secs() == 1 { "seconds" } else { "milliseconds" };
        let allowed = format!("a time from {low} to {high}, in {unit_name} or with its unit");
        self.take(key, &parse::show_duration(from(default)), &allowed, doc, |text| {
            parse::duration(text, unit).filter(|duration| range.contains(duration))
        })
        .unwrap_or(from(default))
    }

    /// A size in bytes: `65536`, `64KiB`, `10MiB`.
    pub fn bytes(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> u64 {
        let (low, high) = (parse::show_bytes(*range.start()), parse::show_bytes(*range.end()));
        let allowed = format!("a size from {low} to {high}, in bytes or with KiB, MiB, GiB");
        self.take(key, &parse::show_bytes(default), &allowed, doc, |text| {
            parse::bytes(text).filter(|count| range.contains(count))
        })
        .unwrap_or(default)
    }

    /// An address and port to listen on; empty, set so or by default, turns the listener off.
    pub fn socket(&mut self, key: &'static str, default: &str, doc: &'static str) -> Option<SocketAddr> {
        if self.is_set_to_nothing(key) {
            return self.take_nothing(key, default, "an address with a port, or empty for off", doc);
        }
        self.take(key, default, "an address with a port, as 0.0.0.0:5514, or empty for off", doc, |text| {
            text.parse().ok()
        })
        .or_else(|| default.parse().ok())
    }

    /// Comma-separated texts, or a TOML array; empty, set so or by default, is the empty list.
    pub fn list(&mut self, key: &'static str, default: &str, doc: &'static str) -> Vec<String> {
        const ALLOWED: &str = "texts, separated by commas";
        if self.is_set_to_nothing(key) {
            return self.take_nothing(key, default, ALLOWED, doc).unwrap_or_default();
        }
        self.take(key, default, ALLOWED, doc, |text| Some(parse::list(text)))
            .unwrap_or_else(|| parse::list(default))
    }

    /// One of the words in `choices`, in any case.
    ///
    /// # Panics
    /// When `default` is not among them.
    pub fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        default: &str,
        choices: &[(&str, T)],
        doc: &'static str,
    ) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let pick = |text: &str| {
            choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, choice)| choice.clone())
        };
        self.take(key, default, &format!("one of {}", words.join(", ")), doc, pick)
            .or_else(|| pick(default))
            .expect("the default is one of the choices")
    }

    /// A file or folder; whether it is there is for its user to find out.
    pub fn path(&mut self, key: &'static str, default: &str, doc: &'static str) -> Option<PathBuf> {
        let default_path = (!default.is_empty()).then(|| PathBuf::from(default));
        self.take(key, default, "a path", doc, |text| Some(PathBuf::from(text))).or(default_path)
    }

    /// An absolute `http` or `https` URL; empty when it has no default and nobody set it.
    pub fn url(&mut self, key: &'static str, default: &str, doc: &'static str) -> String {
        self.take(key, default, "a URL that begins with http:// or https://", doc, parse::url)
            .unwrap_or_else(|| default.to_owned())
    }

    /// A URL that must be there.
    pub fn required_url(&mut self, key: &'static str, doc: &'static str) -> String {
        if !self.is_set(key) {
            self.take(key, "", "a URL that begins with http:// or https://; required", doc, parse::url);
            return self.missing(key);
        }
        self.url(key, "", doc)
    }

    /// A value of the caller's own kind. `allowed` says what it may be; `parse` gives `None` for anything else.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        default: &str,
        allowed: &str,
        doc: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.take(key, default, allowed, doc, parse)
    }

    /// Notes that the value of `key` is wrong together with another. `message` follows the key: `must be below X`.
    pub fn problem(&mut self, key: &str, message: impl Display) {
        let raw = self.found.values.get(key);
        let read = self.entries.iter().find(|entry| entry.key == key);
        self.found.problems.push(Problem {
            key: key.to_owned(),
            value: raw.map(|raw| raw.text.clone()).or_else(|| read.map(|entry| entry.value.clone())),
            origin: raw.map_or(Origin::Default, |raw| raw.origin.clone()),
            message: message.to_string(),
        });
    }

    /// Notes that the value of `key` is allowed but dangerous. `message` follows the key and says what it costs.
    pub fn warn(&mut self, key: &str, message: impl Display) {
        self.warnings.push(Note { key: key.to_owned(), message: message.to_string() });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem with every setting, unknown keys included.
    pub fn finish(self) -> Result<Report, Problems> {
        // A section that is read twice finds the same things twice.
        let problems = once_each(self.found.problems);
        if problems.is_empty() {
            Ok(Report { entries: self.entries, warnings: once_each(self.warnings) })
        } else {
            Err(Problems(problems))
        }
    }

    /// What was read so far, good or bad.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Reads `key`, accounts for it, and gives `None` when nobody set it or when it is wrong.
    fn take<T>(
        &mut self,
        key: &'static str,
        default: &str,
        allowed: &str,
        doc: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let raw = self.found.values.get(key).filter(|raw| !raw.text.trim().is_empty()).cloned();
        let (shown, origin) = match &raw {
            Some(raw) => (raw.text.trim().to_owned(), raw.origin.clone()),
            None => (default.to_owned(), Origin::Default),
        };
        self.note(key, &shown, origin, default, allowed, doc);
        let parsed = parse(&shown);
        match raw {
            Some(_) if parsed.is_none() => {
                let hint = known::kubernetes_hint(key, &shown);
                self.problem(key, format!("must be {allowed}{hint}"));
                None
            }
            Some(_) => parsed,
            None => None,
        }
    }

    fn is_set_to_nothing(&self, key: &str) -> bool {
        self.found.values.get(key).is_some_and(|raw| raw.text.trim().is_empty())
    }

    /// Accounts for a key that is set to the empty text on purpose.
    fn take_nothing<T>(
        &mut self,
        key: &'static str,
        default: &str,
        allowed: &str,
        doc: &'static str,
    ) -> Option<T> {
        let origin = self.found.values.get(key).map_or(Origin::Default, |raw| raw.origin.clone());
        self.note(key, "", origin, default, allowed, doc);
        None
    }

    fn missing<T: Default>(&mut self, key: &'static str) -> T {
        self.found.problems.push(Problem {
            key: key.to_owned(),
            value: None,
            origin: Origin::Default,
            message: "must be set".to_owned(),
        });
        T::default()
    }

    fn note(
        &mut self,
        key: &'static str,
        value: &str,
        origin: Origin,
        default: &str,
        allowed: &str,
        doc: &'static str,
    ) {
        if !known::is_known(key) {
            // Else the file and the environment could never set it.
            self.problem(key, "is read but not listed in settings/known.rs");
        }
        if self.entries.iter().any(|entry| entry.key == key) {
            return;
        }
        self.entries.push(Entry {
            section: self.section,
            key,
            value: mask::shown(key, value),
            origin,
            default: default.to_owned(),
            allowed: allowed.to_owned(),
            doc,
        });
    }
}

fn once_each<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(all.len());
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

#[cfg(test)]
mod tests;
