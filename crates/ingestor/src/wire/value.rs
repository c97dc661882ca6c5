//! Single values of an event: what they say, and whether they can be stored.

use std::borrow::Cow;

use mutt_core::domain::event::SyslogSeverity;
use serde_json::value::RawValue;

/// Whether a value says nothing: null, blank text, an empty array or object.
pub(super) fn is_blank(value: &RawValue) -> bool {
    let json = value.get();
    match json.as_bytes() {
        b"null" | b"\"\"" => true,
        [b'"', first, ..] if first.is_ascii_alphanumeric() => false, // nearly all of them
        [b'"', ..] => text(value).is_some_and(|text| text.trim().is_empty()),
        [b'{' | b'[', inner @ .., _] => inner.trim_ascii().is_empty(),
        _ => false,
    }
}

/// A string, or a number or boolean as its text; `None` for anything else.
pub(super) fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => text(value),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(value.get())),
    }
}

/// A string's text; what is no character in it is replaced.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(storable(value).get()).ok().map(Cow::Owned)
}

/// A severity by number, numeric text or word.
pub(super) fn severity(value: &RawValue) -> Option<SyslogSeverity> {
    SyslogSeverity::from_text(&scalar(value)?)
}

/// An object identifier in dotted form without a leading dot; `None` when it is none, and then it stays as it is.
pub(super) fn oid(value: &RawValue) -> Option<String> {
    let text = text(value)?;
    let dotted = text.trim().trim_matches('.');
    // net-snmp without numeric output names the first arc.
    let dotted =
        dotted.strip_prefix("iso.").map_or(Cow::Borrowed(dotted), |rest| Cow::Owned(format!("1.{rest}")));
    let is_arc = |arc: &str| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit());
    dotted.split('.').all(is_arc).then(|| dotted.into_owned())
}

/// Text without the blanks around it.
pub(super) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    narrowed(text, str::trim)
}

/// A message without what transports put around it: rsyslog begins it with one blank, others end it with a line feed.
pub(super) fn unframed(text: Cow<'_, str>) -> Cow<'_, str> {
    narrowed(text, |text| text.strip_prefix(' ').unwrap_or(text).trim_end_matches(['\n', '\r']))
}

fn narrowed(text: Cow<'_, str>, narrow: impl Fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(narrow(text)),
        Cow::Owned(text) => {
            let narrow = narrow(&text);
            if narrow.len() == text.len() { Cow::Owned(text) } else { Cow::Owned(narrow.to_owned()) }
        }
    }
}

/// How deeply arrays and objects are nested, counting the outermost.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The value without lone surrogates: JSON can spell them, but they are no characters and no database stores them.
pub(super) fn storable(value: &RawValue) -> Cow<'_, RawValue> {
    let json = value.get();
    let suspect = memchr::memmem::find(json.as_bytes(), b"\\ud").is_some()
        || memchr::memmem::find(json.as_bytes(), b"\\uD").is_some();
    if !suspect {
        return Cow::Borrowed(value);
    }
    RawValue::from_string(without_lone_surrogates(json)).map_or(Cow::Borrowed(value), Cow::Owned)
}

fn without_lone_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (kept, length) = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(Surrogate::High), Some(Surrogate::Low)) => (escape.get(..12), 12),
            (Some(_), _) => (Some("\\ufffd"), 6),
            // An escape is two characters or, as `\uXXXX`, six of which the last four are plain.
            (None, _) => {
                let length = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                (escape.get(..length), length)
            }
        };
        out.push_str(kept.unwrap_or_default());
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

enum Surrogate {
    High,
    Low,
}

fn surrogate(escape: &str) -> Option<Surrogate> {
    let code = u16::from_str_radix(escape.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    match code {
        0xd800..=0xdbff => Some(Surrogate::High),
        0xdc00..=0xdfff => Some(Surrogate::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn blank_values_are_told_from_small_ones() {
        for json in ["null", "\"\"", "\" \\n\"", "[]", "{ }", "[ ]"] {
            assert!(is_blank(raw(json)), "{json}");
        }
        for json in ["0", "false", "\"x\"", "\" x\"", "\"\\\\\"", "[0]", "{\"a\":1}"] {
            assert!(!is_blank(raw(json)), "{json}");
        }
    }

    #[test]
    fn oids_lose_their_leading_dot_and_nothing_else_is_taken_for_one() {
        for (json, expected) in [
            (r#"".1.3.6.1.4""#, Some("1.3.6.1.4")),
            (r#""1.3.6.1.4""#, Some("1.3.6.1.4")),
            (r#"" .1.3.6.1.4. ""#, Some("1.3.6.1.4")),
            (r#""iso.3.6.1""#, Some("1.3.6.1")),
            (r#""SNMPv2-MIB::coldStart""#, None),
            (r#""1..3""#, None),
            ("1.3", None),
            (r#""""#, None),
        ] {
            assert_eq!(oid(raw(json)).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_text() {
        for (json, expected) in [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[", "\"[[["]"#, 1)] {
            assert_eq!(depth(json), expected, "{json}");
        }
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, expected) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d x""#, r#""\ufffd\ufffd x""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\uD83D\\""#, r#""\ufffd\\""#),
            (r#"{"k":"\ud800é"}"#, r#"{"k":"\ufffdé"}"#),
        ] {
            assert_eq!(storable(raw(json)).get(), expected, "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(storable(raw(json)).get()).is_ok());
        }
    }

    #[test]
    fn scalars_become_text() {
        for (json, expected) in [
            ("7", Some("7")),
            ("true", Some("true")),
            (r#""a\"b""#, Some("a\"b")),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(scalar(raw(json)).as_deref(), expected, "{json}");
        }
        assert_eq!(unframed(Cow::Borrowed("  x \r\n")), " x ");
        assert_eq!(unframed(Cow::Owned(" x\n".to_owned())), "x");
    }
}
