//! What is logged, and in which form.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::Reader;

/// Log settings.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// What is logged.
    pub filter: Targets,
    /// One JSON object per line instead of text.
    pub json: bool,
}

impl TelemetrySettings {
    /// Reads the section `telemetry`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section("telemetry");
        let filter = reader.parsed(
            "LOG_LEVEL",
            "INFO",
            "one of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, OFF, or levels by module, as info,mutt_core=debug",
            "Least weight of what is logged",
            filter,
        );
        Self {
            filter: filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)),
            json: reader.flag("LOG_JSON_ENABLED", false, "Whether logs are JSON, one object per line"),
        }
    }
}

/// A level by the original's words, or `tracing`'s directives.
fn filter(text: &str) -> Option<Targets> {
    let level = match text.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARNING" | "WARN" => LevelFilter::WARN,
        "ERROR" | "CRITICAL" => LevelFilter::ERROR,
        "OFF" => LevelFilter::OFF,
        // A single other word would be taken for a module's name, and a misspelt level would log everything.
        _ if !text.contains('=') => return None,
        _ => return text.parse().ok(),
    };
    Some(Targets::new().with_default(level))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_have_the_originals_words() {
        let warning = filter("warning").unwrap();
        assert!(warning.would_enable("mutt_core", &Level::WARN));
        assert!(!warning.would_enable("mutt_core", &Level::INFO));
        let by_module = filter("info,mutt_core::queue=debug").unwrap();
        assert!(by_module.would_enable("mutt_core::queue", &Level::DEBUG));
        assert!(!by_module.would_enable("mutt_core::http", &Level::DEBUG));
        assert!(filter("LOUD").is_none());
        assert!(filter("info,mutt_core=loud").is_none());
    }
}
