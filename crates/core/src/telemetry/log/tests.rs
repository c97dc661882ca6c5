//! Both forms, as a reader of logs sees them.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::{debug, error, info, info_span, warn};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use super::*;
use crate::telemetry::report;

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(form: Form, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let identity = Identity { service: "mutt-test", version: "1.2.3", pod_name: "test-1".to_owned() };
    let writer = lines.clone();
    let layer = LogLayer::new(form, identity, move || writer.clone());
    tracing::subscriber::with_default(Registry::default().with(layer), log);
    lines.text()
}

#[derive(Debug, thiserror::Error)]
#[error("the push failed")]
struct Outer(#[source] io::Error);

fn an_error() -> Outer {
    Outer(io::Error::other("connection reset"))
}

#[test]
fn json_lines_have_the_originals_keys() {
    let text =
        logged(Form::Json, || warn!(queue.name = "q", depth = 7, full = true, "queue {} is long", "q"));
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "WARNING");
    assert_eq!(line["message"], "queue q is long");
    assert_eq!(line["logger"], "mutt_core::telemetry::log::tests");
    assert_eq!(line["service"], "mutt-test");
    assert_eq!(line["version"], "1.2.3");
    assert_eq!(line["pod_name"], "test-1");
    assert_eq!(line["correlation_id"], "system");
    assert_eq!(line["queue.name"], "q");
    assert_eq!(line["depth"], 7);
    assert_eq!(line["full"], true);
    assert!(line["line"].is_u64() && line["thread"].is_string() && line["module"].is_string());
    assert!(chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).is_ok());
    assert!(text.starts_with("{\"timestamp\":") && text.ends_with("}\n"));
}

#[test]
fn an_error_keeps_its_chain() {
    let error = an_error();
    let json = logged(Form::Json, || error!(error = report(&error), "gave up"));
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        line["error"],
        serde_json::json!({ "message": "the push failed", "causes": ["connection reset"] })
    );
    let text = logged(Form::Text { colour: false }, || error!(error = report(&error), "gave up"));
    assert!(
        text.ends_with("- ERROR - [system] - gave up error=\"the push failed: connection reset\"\n"),
        "{text}"
    );
}

#[test]
fn an_error_by_its_text_alone_is_an_object_too() {
    let json = logged(Form::Json, || error!(error = %an_error(), "gave up"));
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(line["error"]["message"], "the push failed");
}

#[test]
fn fields_of_spans_are_inherited_and_the_innermost_wins() {
    let json = logged(Form::Json, || {
        let outer =
            info_span!("outer", correlation_id = "c-1", event.id = "a", trace_id = tracing::field::Empty);
        let _outer = outer.enter();
        outer.record("trace_id", "4bf92f35");
        let _inner = info_span!("inner", event.id = "b").entered();
        info!("deep inside");
    });
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(line["correlation_id"], "c-1");
    assert_eq!(line["event.id"], "b");
    assert_eq!(line["trace_id"], "4bf92f35");
}

#[tokio::test]
async fn lines_written_during_a_request_carry_its_correlation_id() {
    let request = context::Context::for_event("req-9");
    let text =
        context::within(request, async { logged(Form::Text { colour: false }, || info!("inside")) }).await;
    assert!(text.contains("- INFO - [req-9] - inside"), "{text}");
}

#[test]
fn nobody_can_forge_a_line() {
    let text = logged(Form::Text { colour: false }, || {
        info!(peer = "a\nb", correlation_id = "x\r\n2026", "one\ntwo\x1b[2J");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    let json = logged(Form::Json, || info!(level = "forged", "x"));
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&line["level"], &line["field.level"]), (&"INFO".into(), &"forged".into()));
}

#[test]
fn only_a_terminal_gets_colour() {
    assert!(!logged(Form::Text { colour: false }, || debug!("x")).contains('\x1b'));
    assert!(logged(Form::Text { colour: true }, || debug!("x")).contains("\x1b[2mDEBUG\x1b[0m"));
}
