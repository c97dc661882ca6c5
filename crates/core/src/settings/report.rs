//! What was read and what is wrong, as people see it.

use std::fmt::{self, Display, Formatter, Write as _};

use super::mask;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file given by `--config`, as named there.
    File(String),
    /// An environment variable of the same name.
    Environment,
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// One thing that is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name.
    pub key: String,
    /// What it was set to, when that helps; masked when shown.
    pub value: Option<String>,
    /// Who set it so.
    pub origin: Origin,
    /// What is wrong, in words that follow the key: `must be a whole number from 1 to 65535`.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {:?}", self.key, mask::shown(&self.key, value))?,
            None => f.write_str(&self.key)?,
        }
        write!(f, " ({}): {}", self.origin, self.message)
    }
}

/// Every problem at once; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} problem{} with the settings:", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// A setting that is allowed and still worth a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The setting's name.
    pub key: String,
    /// What it costs, in words that follow the key.
    pub message: String,
}

impl Display for Note {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.message)
    }
}

/// One setting as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The heading it stands under: `redis`, `http`.
    pub section: &'static str,
    /// The setting's name.
    pub key: &'static str,
    /// In the form that the reader takes back; masked.
    pub value: String,
    /// Who set it so.
    pub origin: Origin,
    /// The value when nobody sets it; empty for none.
    pub default: String,
    /// What it may be: `a whole number from 1 to 65535`.
    pub allowed: String,
    /// What it does.
    pub doc: &'static str,
}

/// All settings of a service, without a problem among them.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order in which they were read.
    pub entries: Vec<Entry>,
    /// What is allowed but dangerous.
    pub warnings: Vec<Note>,
}

impl Report {
    /// What was read under `key`.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The settings in force, as a file that `--config` takes, with the origin of each as an aligned comment.
    #[must_use]
    pub fn in_force(&self) -> String {
        let rows = self
            .entries
            .iter()
            .map(|entry| (entry.section, entry.key, quoted(&entry.value), entry.origin.to_string()));
        let rows: Vec<_> = rows.collect();
        let keys = rows.iter().map(|row| row.1.len()).max().unwrap_or_default();
        // A very long value shall not push every comment off the screen.
        let values = rows
            .iter()
            .map(|row| row.2.chars().count())
            .filter(|width| *width <= 48)
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for section in self.sections() {
            if !text.is_empty() {
                text.push('\n');
            }
            let _infallible = writeln!(text, "[{section}]");
            for (_, key, value, origin) in rows.iter().filter(|row| row.0 == section) {
                let _infallible = writeln!(text, "{key:keys$} = {value:values$}  # {origin}");
            }
        }
        text
    }

    /// Every setting with what it does, what it may be and its default, as a file in which nothing is set.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut text = String::new();
        for section in self.sections() {
            if !text.is_empty() {
                text.push('\n');
            }
            let _infallible = writeln!(text, "[{section}]");
            for entry in self.entries.iter().filter(|entry| entry.section == section) {
                let Entry { key, default, allowed, doc, .. } = entry;
                let _infallible = writeln!(text, "# {doc}.\n# {allowed}\n# {key} = {}", quoted(default));
            }
        }
        text
    }

    /// Section names, in the order of their first entry.
    fn sections(&self) -> Vec<&'static str> {
        let mut sections = Vec::new();
        for entry in &self.entries {
            if !sections.contains(&entry.section) {
                sections.push(entry.section);
            }
        }
        sections
    }

    /// Says in a few lines that the settings are good, who set how many of them, and what is dangerous.
    #[must_use]
    pub fn verdict(&self) -> String {
        let by =
            |wanted: fn(&Origin) -> bool| self.entries.iter().filter(|entry| wanted(&entry.origin)).count();
        let mut text = format!(
            "settings are good: {} read, {} from the environment, {} from a file, {} by default\n",
            self.entries.len(),
            by(|origin| *origin == Origin::Environment),
            by(|origin| matches!(origin, Origin::File(_))),
            by(|origin| *origin == Origin::Default),
        );
        for warning in &self.warnings {
            let _infallible = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// A TOML value: bare when it is a number or a flag, else a string.
fn quoted(value: &str) -> String {
    let bare = value.parse::<bool>().is_ok()
        || value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
        || value.parse::<f64>().is_ok_and(|number| number.is_finite() && format!("{number:?}") == value);
    if bare { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_and_show_value_and_origin() {
        let problem = |key: &str, value: Option<&str>, origin| Problem {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            origin,
            message: "must be better".to_owned(),
        };
        let one = Problems(vec![problem("DB_PASS", Some("hunter2"), Origin::Environment)]);
        assert_eq!(
            one.to_string(),
            "1 problem with the settings:\n  DB_PASS = \"********\" (environment): must be better"
        );
        let two = Problems(vec![
            problem("REDIS_PORT", Some("x"), Origin::File("/etc/mutt.toml".to_owned())),
            problem("MUTT_X", None, Origin::Environment),
        ]);
        assert_eq!(
            two.to_string(),
            "2 problems with the settings:\n  REDIS_PORT = \"x\" (file /etc/mutt.toml): must be better\n  \
             MUTT_X (environment): must be better"
        );
    }

    #[test]
    fn values_are_quoted_as_toml_wants_them() {
        for bare in ["6379", "true", "1.5", "-3"] {
            assert_eq!(quoted(bare), bare);
        }
        assert_eq!(quoted("007"), "\"007\"");
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
