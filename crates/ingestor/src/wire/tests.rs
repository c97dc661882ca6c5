use mutt_core::domain::event::Event;
use serde_json::{Value, json};

use super::*;

const RECEIVED: &str = "2026-11-23T22:00:00Z";

fn rules() -> Rules {
    Rules { required: ["hostname", "message", "timestamp"].map(str::to_owned).to_vec(), max_event_bytes: 400 }
}

fn request() -> Request<'static> {
    Request {
        received_at: DateTime::parse_from_rfc3339(RECEIVED).unwrap().to_utc(),
        first_id: None,
        correlation_id: Some("req-1"),
        peer: "192.0.2.7",
        traceparent: None,
        key_name: "default",
        idempotency_key: None,
    }
}

fn decoded(body: impl AsRef<[u8]>) -> Decoded {
    decode(body.as_ref(), &rules(), &request()).unwrap()
}

/// The entry of a body with one good event, without the reserved fields that every test would repeat.
fn entry(body: impl AsRef<[u8]>) -> Value {
    let Decoded { events, .. } = decoded(body);
    let [Ok(item)] = events.as_slice() else { panic!("not one good event: {events:?}") };
    let text = std::str::from_utf8(&item.payload).unwrap();
    assert_eq!(Event::decode(text).unwrap().id, item.id);
    let mut value: Value = serde_json::from_str(text).unwrap();
    value.as_object_mut().unwrap().retain(|name, _| {
        !["_id", "_received_at", "_correlation_id", "_source", "_peer", "_event_time"]
            .contains(&name.as_str())
    });
    value
}

fn verdicts(body: &str) -> (Shape, Vec<Option<RefusalKind>>) {
    let Decoded { shape, events } = decoded(body);
    (shape, events.into_iter().map(|event| event.err().map(|refusal| refusal.kind)).collect())
}

fn refusal(body: impl AsRef<[u8]>) -> Refusal {
    match decode(body.as_ref(), &rules(), &request()) {
        Err(refusal) => refusal,
        Ok(Decoded { events, .. }) => events.into_iter().find_map(Result::err).expect("a refusal"),
    }
}

const GOOD: &str = r#"{"hostname":"sw1","message":"m","timestamp":"2026-11-23T21:59:57Z"}"#;

#[test]
fn the_senders_fields_stay_as_they_were_written_and_in_order() {
    let body = r#"{"z":1.0,"hostname":"sw1","big":12345678901234567890123,"message":"a\u00e9 \"x\"","deep":{"a" : [1, 2]},"timestamp":"2026-11-23T21:59:57Z","empty":{},"none":null}"#;
    let item = decoded(body).events.remove(0).unwrap();
    let text = std::str::from_utf8(&item.payload).unwrap();
    let id = item.id;
    assert_eq!(
        text,
        format!(
            concat!(
                r#"{{"_id":"{}","_received_at":"2026-11-23T22:00:00.000000Z","_correlation_id":"req-1","_source":"http","#,
                r#""_peer":"192.0.2.7","_event_time":"2026-11-23T21:59:57.000000Z","#,
                r#""z":1.0,"hostname":"sw1","big":12345678901234567890123,"message":"a{} \"x\"","deep":{{"a" : [1, 2]}},"#,
                r#""timestamp":"2026-11-23T21:59:57Z","empty":{{}},"none":null}}"#
            ),
            id, '\u{e9}'
        )
    );
}

#[test]
fn reserved_fields_of_a_sender_are_dropped() {
    let body = r#"{"_id":"x","_retry_count":99,"_anything":{"a":1},"hostname":"h","message":"m","timestamp":"1795471197","_flags":[1],"\u005fid":2}"#;
    assert_eq!(entry(body), json!({"hostname": "h", "message": "m", "timestamp": "1795471197"}));
}

#[test]
fn of_a_repeated_field_the_last_value_counts() {
    assert_eq!(
        entry(r#"{"hostname":"a","message":"m","hostname":"b","timestamp":"1795471197","message":"n"}"#),
        json!({"hostname": "b", "message": "n", "timestamp": "1795471197"})
    );
    let many: Vec<String> = (0..40).map(|n| format!(r#""k{}":{n},"#, n % 20)).collect();
    let many = many.concat();
    let value = entry(format!(r#"{{{many}"hostname":"a","message":"m","timestamp":"1795471197"}}"#));
    assert_eq!((value["k0"].as_u64(), value["k19"].as_u64()), (Some(20), Some(39)));
}

#[test]
fn severities_are_normalised_from_numbers_text_and_words() {
    let severity = |fields: &str| {
        let value = entry(format!(r#"{{"hostname":"h","message":"m","timestamp":"1795471197",{fields}}}"#));
        (value["syslog_severity"].clone(), value["_flags"].clone())
    };
    for (fields, expected) in [
        (r#""syslog_severity":3"#, json!(3)),
        (r#""syslog_severity":"3""#, json!(3)),
        (r#""syslog_severity":"Warning""#, json!(4)),
        (r#""severity":"Critical""#, json!(2)),
        (r#""severity":"debug","syslog_severity":"err""#, json!(3)),
        (r#""syslog_severity":"","severity":"notice""#, json!(5)),
        (r#""severity":"loud""#, Value::Null),
        (r#""other":1"#, Value::Null),
    ] {
        assert_eq!(severity(fields), (expected, Value::Null), "{fields}");
    }
    assert_eq!(severity(r#""syslog_severity":"loud""#), (json!("loud"), json!(["severity_unreadable"])));
    assert_eq!(
        severity(r#""syslog_severity":9,"severity":"err""#),
        (json!(3), json!(["severity_unreadable"]))
    );
}

#[test]
fn what_collectors_put_around_a_message_is_taken_off() {
    // rsyslog's omhttp, Alertmanager-like numbers as text, and an OID in net-snmp's spelling.
    let value = entry(
        r#"{"timestamp":"2026-11-23T21:59:57+00:00","hostname":" vm ","severity":"warning","facility":"local3","message":" one single \"q\"\n","trap_oid":".1.3.6.1.6.3.1.1.5.3"}"#,
    );
    assert_eq!(value["message"], "one single \"q\"");
    assert_eq!(value["hostname"], "vm");
    assert_eq!(value["trap_oid"], "1.3.6.1.6.3.1.1.5.3");
    assert_eq!(value["syslog_severity"], 4);
    assert_eq!(entry(r#"{"hostname":7,"message":true,"timestamp":1795471197.5}"#)["hostname"], "7");
}

#[test]
fn what_no_database_stores_is_replaced() {
    let value = entry(
        r#"{"hostname":"h","message":"a\u0000b\ud800c","timestamp":"1795471197","x":{"y":"\u0000\udfff"}}"#,
    );
    assert_eq!(value["message"], "a\u{fffd}b\u{fffd}c");
    assert_eq!(value["x"]["y"], "\u{fffd}\u{fffd}");
    assert_eq!(value["_flags"], json!(["nul_replaced"]));
}

#[test]
fn foreign_bytes_are_replaced_and_kept() {
    let value = entry(b"{\"hostname\":\"h\",\"message\":\"caf\xe9\",\"timestamp\":\"1795471197\"}");
    assert_eq!(value["message"], "caf\u{fffd}");
    assert_eq!(value["_flags"], json!(["not_utf8"]));
    assert!(value["_raw_base64"].is_string());
    let two = decoded(
        [
            b"{\"hostname\":\"h\",\"message\":\"caf\xe9\",\"timestamp\":\"1795471197\"}\n".as_slice(),
            GOOD.as_bytes(),
        ]
        .concat(),
    );
    assert!(two.events.iter().all(Result::is_ok));
    let flagged =
        |at: usize| two.events[at].as_ref().unwrap().payload.windows(8).any(|bytes| bytes == b"not_utf8");
    assert_eq!((flagged(0), flagged(1)), (true, false));
}

#[test]
fn every_missing_or_wrong_field_is_named_at_once() {
    let detail = |body: &str| refusal(body).detail;
    assert_eq!(detail(r#"{"hostname":"","message":null}"#), "missing or empty: hostname, message, timestamp");
    assert_eq!(
        detail(r#"{"hostname":[1],"message":"  "}"#),
        "missing or empty: message, timestamp; hostname is not text"
    );
    let long = format!(r#"{{"hostname":"{}","message":"m","timestamp":"1"}}"#, "h".repeat(256));
    assert_eq!(detail(&long), "hostname is longer than 255 bytes");
    assert_eq!(refusal(&long).fields, ["hostname"]);
    assert_eq!(detail(r#"{"hostname":"h","message":{"a":1},"timestamp":"1"}"#), "message is not text");
}

#[test]
fn with_nothing_required_an_object_is_an_event_of_its_peer() {
    let none = Rules { required: Vec::new(), max_event_bytes: 400 };
    let made = decode(br#"{"source_ip":"192.0.2.9","trap_oid":"1.3.6"}"#, &none, &request()).unwrap();
    let payload = made.events.into_iter().next().unwrap().unwrap().payload;
    let event = Event::decode(std::str::from_utf8(&payload).unwrap()).unwrap();
    assert_eq!(event.hostname, "192.0.2.7");
    assert_eq!(event.message, r#"{"source_ip":"192.0.2.9","trap_oid":"1.3.6"}"#);
    assert_eq!(event.trap_oid.as_deref(), Some("1.3.6"));
}

#[test]
fn times_out_of_range_are_kept_as_text() {
    for time in ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let value = entry(format!(r#"{{"hostname":"h","message":"m","timestamp":"{time}"}}"#));
        assert_eq!(
            (value["timestamp"].as_str(), &value["_flags"]),
            (Some(time), &json!(["timestamp_out_of_range"]))
        );
    }
    assert_eq!(
        entry(r#"{"hostname":"h","message":"m","timestamp":{"a":1}}"#)["_flags"],
        json!(["timestamp_unreadable"])
    );
}

#[test]
fn bodies_are_taken_apart_however_they_are_joined() {
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(GOOD).unwrap()).unwrap();
    for (body, shape, count) in [
        (GOOD.to_owned(), Shape::One, 1),
        (format!("\u{feff} {GOOD}\r\n\r\n"), Shape::One, 1),
        (pretty.clone(), Shape::One, 1),
        (format!("{GOOD}\n{GOOD}"), Shape::Stream, 2),
        (format!("{GOOD}\r\n\r\n{GOOD}\n"), Shape::Stream, 2),
        (format!("{GOOD}{GOOD} {GOOD}\n{GOOD}"), Shape::Stream, 4),
        (format!("{pretty}\n{GOOD}\n{pretty}{GOOD}"), Shape::Stream, 4),
        (format!("[{GOOD}]"), Shape::Array, 1),
        (format!("[{GOOD},\n {pretty}]"), Shape::Array, 2),
        ("[]".to_owned(), Shape::Array, 0),
    ] {
        assert_eq!(verdicts(&body), (shape, vec![None; count]), "{body}");
    }
}

#[test]
fn a_bad_event_does_not_take_its_neighbours_with_it() {
    use RefusalKind::{Fields, NotObject, TooLarge, Unreadable};
    let large = format!(r#"{{"hostname":"h","message":"{}","timestamp":"1"}}"#, "x".repeat(400));
    assert_eq!(
        verdicts(&format!("{GOOD}\n{{broken\n{GOOD}\n{{\"hostname\":1}}\n42\n{large}\n{GOOD}")),
        (
            Shape::Stream,
            vec![None, Some(Unreadable), None, Some(Fields), Some(NotObject), Some(TooLarge), None]
        )
    );
    assert_eq!(
        verdicts(&format!("[{GOOD},null,[{GOOD}],{large},{GOOD}]")),
        (Shape::Array, vec![None, Some(NotObject), Some(NotObject), Some(TooLarge), None])
    );
    let cut = format!("{GOOD}\n{{\"hostname\":\"h\",\"message\":[\n{GOOD}");
    assert_eq!(verdicts(&cut), (Shape::Stream, vec![None, Some(Unreadable), None]));
}

#[test]
fn a_body_without_any_object_is_refused_whole() {
    for body in ["", " \n", "not json", "<xml/>\n<xml/>", "[", "[1,", &format!("[{GOOD}] x")] {
        assert_eq!(refusal(body).kind, RefusalKind::Unreadable, "{body}");
        assert!(decode(body.as_bytes(), &rules(), &request()).is_err(), "{body}");
    }
    for body in ["null", "42", "\"text\"", "true"] {
        assert_eq!(refusal(body).kind, RefusalKind::NotObject, "{body}");
    }
}

#[test]
fn hostile_bodies_cost_no_more_than_their_size() {
    let deep = format!(
        r#"{{"hostname":"h","message":"m","timestamp":"1","x":{}{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    assert_eq!(refusal(&deep).kind, RefusalKind::TooDeep);
    // Each line could go on to the end of the body.
    assert_eq!(refusal("{\"a\":\n".repeat(20_000)).kind, RefusalKind::Unreadable);
    assert_eq!(refusal("{}\n".repeat(MAX_EVENTS + 1)).kind, RefusalKind::TooMany);
    let wide: Vec<String> = (0..18_000).map(|n| format!(r#""k{}":0,"#, n % 20)).collect();
    let wide = wide.concat();
    let all = Rules { required: Vec::new(), max_event_bytes: 1 << 20 };
    assert!(decode(format!("{{{wide}\"a\":1}}").as_bytes(), &all, &request()).unwrap().events[0].is_ok());
}

#[test]
fn idempotency_keys_are_bound_to_sender_host_and_position() {
    let keys = |request: &Request<'_>, body: &str| -> Vec<Option<String>> {
        decode(body.as_bytes(), &rules(), request)
            .unwrap()
            .events
            .into_iter()
            .map(|e| e.unwrap().idempotency_key)
            .collect()
    };
    let with_id = r#"{"hostname":"sw1","message":"m","timestamp":"1","event_id":7}"#;
    assert_eq!(keys(&request(), GOOD), [None]);
    let header = Request { idempotency_key: Some("k"), ..request() };
    let both = keys(&header, &format!("[{GOOD},{GOOD},{with_id}]"));
    assert_ne!(both[0], both[1]);
    assert_eq!(both[2], keys(&request(), with_id)[0]);
    let other_sender = Request { key_name: "other", ..header };
    assert_ne!(keys(&other_sender, GOOD)[0], both[0]);
    assert_ne!(keys(&request(), &with_id.replace("sw1", "sw2"))[0], both[2]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What goes in comes out, but for NUL and reserved names, whatever the framing.
        #[test]
        fn fields_survive(fields in prop::collection::btree_map("[a-z]{1,8}", value(), 0..6), host in "[a-z]{1,9}", message in "[^ \\t\\n].{0,20}x", framing in 0..3) {
            let all = Rules { max_event_bytes: 1 << 20, ..rules() };
            let mut object: serde_json::Map<String, Value> = fields.into_iter().collect();
            for known in ["severity", "event_id"] {
                object.remove(known);
            }
            object.insert("hostname".into(), host.into());
            object.insert("message".into(), message.into());
            object.insert("timestamp".into(), "2026-11-23T21:59:57Z".into());
            let json = Value::Object(object.clone()).to_string();
            let body = match framing { 0 => json, 1 => format!("[{json},{json}]"), _ => format!("{json}\n{json}") };
            for event in decode(body.as_bytes(), &all, &request()).unwrap().events {
                let payload = event.unwrap().payload;
                let text = std::str::from_utf8(&payload).unwrap();
                prop_assert!(Event::decode(text).is_ok());
                let mut out: Value = serde_json::from_str(text).unwrap();
                out.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
                let clean = Value::Object(object.clone()).to_string().replace("\\u0000", "\\ufffd");
                prop_assert_eq!(out, serde_json::from_str::<Value>(&clean).unwrap());
            }
        }

        /// No body whatever makes a panic or an entry that the next stage cannot read.
        #[test]
        fn any_body_is_survived(body in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\n \n_ud8".to_vec())], 0..200), good in any::<bool>()) {
            let body = if good { [GOOD.as_bytes(), b"\n", &body].concat() } else { body };
            if let Ok(Decoded { events, .. }) = decode(&body, &rules(), &request()) {
                for payload in events.into_iter().flatten().map(|item| item.payload) {
                    prop_assert!(Event::decode(std::str::from_utf8(&payload).unwrap()).is_ok());
                }
            }
        }
    }
}
