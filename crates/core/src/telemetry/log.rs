//! One line per event, as text or as JSON.

mod json;
mod text;
mod values;

use std::io::Write as _;

use tracing::{Event, Subscriber, span};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use super::{Identity, context, fields};
use crate::domain::clock::{Clock as _, SystemClock};
use values::Values;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `time - LEVEL - [correlation id] - message key=value`.
    Text {
        /// Whether the level is coloured; for terminals only.
        colour: bool,
    },
    /// One object per line, by the original's keys.
    Json,
}

/// Writes each event as one line, with the fields of the spans around it.
#[derive(Debug)]
pub struct LogLayer<W> {
    form: Form,
    identity: Identity,
    writer: W,
}

impl<W> LogLayer<W> {
    /// Lines go to `writer`, each in one write.
    pub const fn new(form: Form, identity: Identity, writer: W) -> Self {
        Self { form, identity, writer }
    }
}

/// One line before it has a form.
struct Record<'a> {
    time: chrono::DateTime<chrono::Utc>,
    level: tracing::Level,
    logger: &'a str,
    module: Option<&'a str>,
    line_number: Option<u32>,
    identity: &'a Identity,
    correlation_id: String,
    message: String,
    /// The event's first, then those of the spans around it, innermost first; each name once.
    values: Values,
}

/// `WARNING` as in the original; tracing would say `WARN`.
fn level_name(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "ERROR",
        tracing::Level::WARN => "WARNING",
        tracing::Level::INFO => "INFO",
        tracing::Level::DEBUG => "DEBUG",
        tracing::Level::TRACE => "TRACE",
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut values = Values::default();
        attributes.record(&mut values);
        span.extensions_mut().insert(values);
    }

    fn on_record(&self, id: &span::Id, record: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(values) = span.extensions_mut().get_mut::<Values>() {
            record.record(values);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let mut scope = context.event_span(event);
        while let Some(span) = scope {
            if let Some(around) = span.extensions().get::<Values>() {
                values.add_missing(around);
            }
            scope = span.parent();
        }
        let metadata = event.metadata();
        // Events that come from the crate `log` carry their origin as fields.
        let target = values.take_text("log.target");
        let module = values.take_text("log.module_path");
        let _file = values.take("log.file");
        let line_number = values.take("log.line").and_then(|line| u32::try_from(line.as_u64()?).ok());
        let line = Record {
            time: SystemClock.now(),
            level: *metadata.level(),
            logger: target.as_deref().unwrap_or(metadata.target()),
            module: module.as_deref().or(metadata.module_path()),
            line_number: line_number.or(metadata.line()),
            identity: &self.identity,
            correlation_id: values.take_text(fields::CORRELATION_ID).unwrap_or_else(current_correlation_id),
            message: values.take_text("message").unwrap_or_default(),
            values,
        };
        let mut text = match self.form {
            Form::Text { colour } => text::format(&line, colour),
            Form::Json => json::format(&line),
        };
        text.push('\n');
        // Where the log cannot be written there is nowhere to say so.
        let _unwritten = self.writer.make_writer().write_all(text.as_bytes());
    }
}

/// `system` is the original's word for work that no request asked for.
fn current_correlation_id() -> String {
    context::current().map_or_else(|| "system".to_owned(), |context| context.correlation_id.to_string())
}

#[cfg(test)]
mod tests;
