//! STRUCTURED-DATA of RFC 5424 section 6.3: `[id name="value" ..][id2 ..]`.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Well-formed structured data, still as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructuredData<'a>(&'a str);

/// Names and unescaped values of one element, in order.
type Parameters<'a> = Vec<(&'a str, Cow<'a, str>)>;

impl<'a> StructuredData<'a> {
    /// Finds structured data at the very start of `text`; `None` when there is none or it is malformed.
    pub fn find(text: &'a str) -> Option<(Self, &'a str)> {
        let mut rest = text;
        while rest.starts_with('[') {
            rest = element(rest, &mut |_, _, _| {})?;
        }
        let end = text.len() - rest.len();
        (end > 0).then(|| text.split_at_checked(end).map(|(data, rest)| (Self(data), rest)))?
    }

    /// The data as a JSON object of objects. A parameter that an element names several times becomes a list.
    pub fn to_json(self) -> Option<Box<RawValue>> {
        let mut elements: Vec<(&str, Parameters<'_>)> = Vec::with_capacity(2);
        let mut rest = self.0;
        while rest.starts_with('[') {
            rest = element(rest, &mut |id, name, value| {
                let at = elements.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                    elements.push((id, Vec::with_capacity(4)));
                    elements.len() - 1
                });
                if let (Some((_, parameters)), Some(name)) = (elements.get_mut(at), name) {
                    parameters.push((name, unescape(value)));
                }
            })?;
        }
        let mut json = Vec::with_capacity(self.0.len() + 32);
        json.push(b'{');
        for (at, (id, parameters)) in elements.iter().enumerate() {
            begin_member(&mut json, at == 0, id)?;
            json.push(b'{');
            write_parameters(&mut json, parameters)?;
            json.push(b'}');
        }
        json.push(b'}');
        RawValue::from_string(String::from_utf8(json).ok()?).ok()
    }
}

fn write_parameters(json: &mut Vec<u8>, parameters: &[(&str, Cow<'_, str>)]) -> Option<()> {
    let mut first = true;
    for (at, (name, value)) in parameters.iter().enumerate() {
        if parameters.iter().take(at).any(|(earlier, _)| earlier == name) {
            continue; // already in its list
        }
        begin_member(json, first, name)?;
        first = false;
        let all: Vec<&str> = parameters
            .iter()
            .skip(at)
            .filter(|(other, _)| other == name)
            .map(|(_, value)| &**value)
            .collect();
        match all.as_slice() {
            [_one] => serde_json::to_writer(&mut *json, &**value).ok()?,
            many => serde_json::to_writer(&mut *json, many).ok()?,
        }
    }
    Some(())
}

fn begin_member(json: &mut Vec<u8>, first: bool, name: &str) -> Option<()> {
    if !first {
        json.push(b',');
    }
    serde_json::to_writer(&mut *json, name).ok()?;
    json.push(b':');
    Some(())
}

/// Reads one element and returns what follows it; calls `seen` with the id alone, then with each parameter.
fn element<'a>(text: &'a str, seen: &mut impl FnMut(&'a str, Option<&'a str>, &'a str)) -> Option<&'a str> {
    let text = text.strip_prefix('[')?;
    let (id, mut rest) = text.split_at_checked(text.find([' ', ']', '"', '='])?)?;
    if id.is_empty() {
        return None;
    }
    seen(id, None, "");
    loop {
        let after_blanks = rest.trim_start_matches(' ');
        if let Some(end) = after_blanks.strip_prefix(']') {
            return Some(end);
        }
        if after_blanks.len() == rest.len() {
            return None; // a parameter begins with a blank
        }
        let (name, after) = after_blanks.split_at_checked(after_blanks.find(['=', ' ', ']', '"'])?)?;
        let value = after.strip_prefix("=\"").filter(|_| !name.is_empty())?;
        let (value, after) = value.split_at_checked(closing_quote(value)?)?;
        seen(id, Some(name), value);
        rest = after.strip_prefix('"')?;
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// A backslash escapes `"`, `\` and `]`; before anything else it is itself (RFC 5424 section 6.3.3).
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.next_if(|next| character == '\\' && matches!(next, '"' | '\\' | ']'));
        plain.push(escaped.unwrap_or(character));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Option<(String, &str)> {
        let (data, rest) = StructuredData::find(text)?;
        Some((data.to_json()?.get().to_owned(), rest))
    }

    #[test]
    fn elements_become_objects() {
        for (text, expected, rest) in [
            (
                r#"[timeQuality tzKnown="1" isSynced="0"][ex@32473 k="v"] x"#,
                r#"{"timeQuality":{"tzKnown":"1","isSynced":"0"},"ex@32473":{"k":"v"}}"#,
                " x",
            ),
            (r#"[a s="App\"x\]\\ \n"]"#, r#"{"a":{"s":"App\"x]\\ \\n"}}"#, ""),
            (
                r#"[origin ip="192.0.2.1" ip="192.0.2.2"] x"#,
                r#"{"origin":{"ip":["192.0.2.1","192.0.2.2"]}}"#,
                " x",
            ),
            ("[bare]", r#"{"bare":{}}"#, ""),
            (r#"[a b="1"][a c="2"]"#, r#"{"a":{"b":"1","c":"2"}}"#, ""),
            (r#"[a b="[not] an ]element"] x"#, r#"{"a":{"b":"[not] an ]element"}}"#, " x"),
        ] {
            assert_eq!(json(text), Some((expected.to_owned(), rest)), "{text}");
        }
    }

    #[test]
    fn malformed_data_is_not_found() {
        for text in [
            "",
            "-",
            "x",
            "[",
            "[]",
            "[a",
            "[a b]",
            "[a b=c]",
            r#"[a b="c]"#,
            r#"[a b="c"d="e"]"#,
            r#"[a ="c"]"#,
        ] {
            assert_eq!(json(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_value_survives_the_round_trip(value in ".{0,40}", text in "[ \\[\\]\"=\\\\a-b]{0,30}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            let (found, _) = json(&format!("[id name=\"{escaped}\"]")).unwrap();
            let back: serde_json::Value = serde_json::from_str(&found).unwrap();
            proptest::prop_assert_eq!(back["id"]["name"].as_str(), Some(value.as_str()));
            if let Some((data, _)) = StructuredData::find(&format!("[{text}")) {
                proptest::prop_assert!(data.to_json().is_some());
            }
        }
    }
}
