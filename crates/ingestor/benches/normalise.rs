//! What one event costs between the socket and the queue: framing, parsing, normalising.
//!
//! The corpora are look-alikes of what devices send, about 150 to 300 bytes a message. `counter` shows messages per
//! second, the allocation profiler what is allocated per call.

use chrono::{DateTime, Utc};
use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use mutt_ingestor::{
    syslog::{
        event::event_of,
        framing::{Frame, Framer, Step},
        parse::parse,
    },
    wire::{Request, Rules, decode},
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SHAPES: [(&str, &str); 4] = [
    (
        "rfc3164",
        "<134>Nov 23 21:45:45 edge-router-07.dc1.example.com sshd[19939]: Failed password for invalid user admin from 203.0.113.45 port 51812 ssh2, attempt 3 of 6, connection will be closed after the next failure",
    ),
    (
        "rfc5424",
        "<165>1 2026-11-23T21:45:45.915718+00:00 edge-router-07.dc1.example.com evntslog 4242 ID47 [timeQuality tzKnown=\"1\" isSynced=\"0\"] Interface GigabitEthernet0/2 changed state to down after 14 seconds, 3 neighbours lost",
    ),
    (
        "cisco",
        "<189>000123: *Nov 23 21:45:45.123 UTC: %LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet0/0/0, changed state to down, reason: carrier lost on the far end of the link",
    ),
    (
        "garbage",
        "GET / HTTP/1.1 Host: example.com User-Agent: a scanner that has found the syslog port Accept: */*",
    ),
];

fn main() {
    divan::main();
}

fn received() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_471_545, 0).unwrap_or_default()
}

fn shape(name: &str) -> &'static str {
    SHAPES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
}

#[divan::bench(args = SHAPES.map(|(name, _)| name))]
fn parse_syslog(bencher: Bencher<'_, '_>, name: &str) {
    let text = shape(name);
    bencher.counter(ItemsCount::new(1_u32)).bench(|| parse(black_box(text)));
}

#[divan::bench(args = SHAPES.map(|(name, _)| name))]
fn syslog_to_entry(bencher: Bencher<'_, '_>, name: &str) {
    let frame = Frame { bytes: shape(name).as_bytes(), cut: None };
    bencher.counter(ItemsCount::new(1_u32)).bench(|| event_of(black_box(&frame), "192.0.2.7", received()));
}

/// A read of 64 KiB full of lines.
#[divan::bench]
fn frame_lines(bencher: Bencher<'_, '_>) {
    let line = format!("{}\n", shape("rfc3164"));
    let input = line.repeat((64 << 10) / line.len());
    let lines = u32::try_from(input.lines().count()).unwrap_or_default();
    bencher.counter(ItemsCount::new(lines)).bench(|| {
        let mut framer = Framer::new(64 << 10);
        let mut at = 0;
        while let Step::Frame { frame, used } =
            framer.next(black_box(input.as_bytes().get(at..).unwrap_or_default()))
        {
            black_box(frame);
            at += used;
        }
        at
    });
}

fn request() -> Request<'static> {
    Request {
        received_at: received(),
        first_id: None,
        correlation_id: None,
        peer: "192.0.2.7",
        traceparent: None,
        key_name: "default",
        idempotency_key: None,
    }
}

fn rules() -> Rules {
    Rules {
        required: ["hostname", "message", "timestamp"].map(str::to_owned).to_vec(),
        max_event_bytes: 64 << 10,
    }
}

const EVENT: &str = r#"{"hostname":"edge-router-07.dc1.example.com","timestamp":"2026-11-23T21:45:45.915718Z","message":"%LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet0/0/0, changed state to down","syslog_severity":"Warning","source_type":"cisco-ios","trap_oid":".1.3.6.1.6.3.1.1.5.3","site":{"dc":"dc1","rack":42}}"#;

#[divan::bench(args = [1, 500])]
fn json_to_entries(bencher: Bencher<'_, '_>, events: usize) {
    let body = vec![EVENT; events].join("\n");
    let (rules, request) = (rules(), request());
    bencher.counter(ItemsCount::new(events)).bench(|| decode(black_box(body.as_bytes()), &rules, &request));
}

#[divan::bench(args = [500])]
fn json_array_to_entries(bencher: Bencher<'_, '_>, events: usize) {
    let body = format!("[{}]", vec![EVENT; events].join(","));
    let (rules, request) = (rules(), request());
    bencher.counter(ItemsCount::new(events)).bench(|| decode(black_box(body.as_bytes()), &rules, &request));
}
