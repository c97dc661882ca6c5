//! Everything the command says goes through here: plain text for people or JSON for programs, never both.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads the result.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a moving line on standard error pleases a person rather than spoiling a log.
    pub(crate) fn is_lively(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Prints `value` as one line of JSON, or what `text` makes of it.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let line = if self.json { serde_json::to_string(value)? } else { text(value) };
        self.line(&line)
    }

    /// Prints one line of the result.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    #[expect(clippy::unused_self, reason = "the one way to standard output leads through an Output")]
    pub(crate) fn line(self, line: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).context("writing the result")
    }

    /// Tells a person what goes on; a program that reads JSON is left in peace.
    pub(crate) fn note(self, line: &str) {
        if !self.json {
            complain(line);
        }
    }
}

/// Writes a line to standard error. There is nobody left to tell when that fails.
pub(crate) fn complain(line: &str) {
    let (Ok(()) | Err(_)) = writeln!(io::stderr().lock(), "{line}");
}

/// Whether an error only means that the reader of our output went away, as `head` does.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Lays out rows in columns; columns whose every cell is a number are set to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| cell(row, column).chars().count());
        cells.chain([header.get(column).map_or(0, |title| title.chars().count())]).max().unwrap_or(0)
    };
    let numeric = |column: usize| {
        rows.iter().all(|row| {
            let text = cell(row, column);
            text == "-" || (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || ",.".contains(c)))
        })
    };
    let shape: Vec<(usize, bool)> =
        (0..columns).map(|column| (width(column), !rows.is_empty() && numeric(column))).collect();
    let title: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for row in std::iter::once(&title).chain(rows) {
        let mut line = String::new();
        for (column, &(width, right)) in shape.iter().enumerate() {
            let content = cell(row, column);
            let padding = " ".repeat(width.saturating_sub(content.chars().count()));
            line.push_str(if column == 0 { "" } else { "  " });
            line.push_str(&if right { padding + &content } else { content + &padding });
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// A number with a comma between thousands, as people read it.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_right_and_words_left() {
        let rows = vec![vec!["ingest".into(), "5".into()], vec!["a".into(), "1,200".into()]];
        assert_eq!(table(&["queue", "depth"], &rows), "queue   depth\ningest      5\na       1,200");
    }

    #[test]
    fn thousands_are_parted() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
