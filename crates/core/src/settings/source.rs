//! Brings file and environment together, with the origin of each value. Nothing is interpreted here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ::config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::{
    known,
    report::{Origin, Problem},
};

/// The file given by `--config` cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is absent or may not be read.
    #[error("cannot read the settings file {path}")]
    Unreadable {
        /// As given on the command line.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML; the cause names line and column.
    #[error("the settings file {path} is not TOML")]
    Syntax {
        /// As given on the command line.
        path: PathBuf,
        /// What the parser said.
        source: ConfigError,
    },
    /// Values that cannot be merged.
    #[error("file and environment cannot be brought together")]
    Merge(#[source] ConfigError),
}

/// The environment of this process; what is not UTF-8 is taken with replacement characters.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// One value as it was found.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// Array items are joined by commas.
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What file and environment say, by upper-case key.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) values: BTreeMap<String, Raw>,
    pub(super) problems: Vec<Problem>,
    /// Key and what to say about it.
    pub(super) warnings: Vec<(String, String)>,
}

/// Flat, lower-case keys that already carry their origin.
#[derive(Debug, Clone)]
struct Flat(Map<String, Value>);

impl Source for Flat {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

pub(super) fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Found, SettingsError> {
    let mut found = Found::default();
    let in_file = match file {
        Some(path) => read_file(path, &mut found)?,
        None => Map::new(),
    };
    let in_env = known_variables(env, &mut found);
    let merged = Config::builder()
        .add_source(Flat(in_file))
        // No parsing and no skipping of empty ones: a value stays exactly what was written.
        .add_source(Environment::default().source(Some(in_env.clone())))
        .build()
        .and_then(|config| config.collect())
        .map_err(SettingsError::Merge)?;
    for (key, value) in merged {
        let key = key.to_ascii_uppercase();
        let origin = match file {
            Some(path) if !in_env.contains_key(&key) => Origin::File(path.display().to_string()),
            _ => Origin::Environment,
        };
        let text = value.into_string().map_err(SettingsError::Merge)?;
        found.values.insert(key, Raw { text, origin });
    }
    Ok(found)
}

fn read_file(path: &Path, found: &mut Found) -> Result<Map<String, Value>, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    let tree = File::from_str(&text, FileFormat::Toml)
        .collect()
        .map_err(|source| SettingsError::Syntax { path: path.to_owned(), source })?;
    let origin = Origin::File(path.display().to_string());
    let mut flat = Map::new();
    flatten(tree, &origin, &mut flat, found);
    Ok(flat)
}

/// Takes the leaves out of their sections, whose names are free.
fn flatten(tree: Map<String, Value>, origin: &Origin, flat: &mut Map<String, Value>, found: &mut Found) {
    for (name, value) in tree {
        let key = name.to_ascii_uppercase();
        let text = match value.kind {
            ValueKind::Table(section) => {
                flatten(section, origin, flat, found);
                continue;
            }
            ValueKind::Array(items) => items
                .into_iter()
                .map(Value::into_string)
                .collect::<Result<Vec<_>, _>>()
                .map(|items| items.join(",")),
            _ => value.into_string(),
        };
        let mut problem = |message: String| {
            found.problems.push(Problem { key: key.clone(), value: None, origin: origin.clone(), message });
        };
        match text {
            Err(_) => problem("is neither a plain value nor a list of plain values".to_owned()),
            Ok(_) if !known::is_known(&key) => problem(known::unknown_key(&key)),
            Ok(text) => {
                let value = Value::new(Some(&origin.to_string()), text);
                if flat.insert(key.to_ascii_lowercase(), value).is_some() {
                    problem("stands in this file twice, in two sections".to_owned());
                }
            }
        }
    }
}

/// The variables that are settings of some MUTT service; the rest of the environment is nobody's business here, except
/// for names that can only be meant for MUTT.
fn known_variables(env: impl Iterator<Item = (String, String)>, found: &mut Found) -> Map<String, String> {
    let mut known = Map::new();
    for (key, value) in env {
        if known::is_known(&key) {
            known.insert(key, value);
        } else if key.starts_with("MUTT_") && !known::is_foreign(&key) {
            found.problems.push(Problem {
                message: known::unknown_key(&key),
                key,
                value: None,
                origin: Origin::Environment,
            });
        } else if let Some(meant) = known::misspelt(&key) {
            found.warnings.push((key, format!("is not a setting; was {meant} meant?")));
        }
    }
    known
}

#[cfg(test)]
mod tests;
