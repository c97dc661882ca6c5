use super::*;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

#[test]
fn every_spelling_is_found_and_leaves_the_rest() {
    let received = at("2026-11-23T22:00:00Z");
    for (text, instant, rest) in [
        ("Nov 23 21:45:45 vm app: x", "2026-11-23T21:45:45Z", " vm app: x"),
        ("Nov  9 21:45:45 vm", "2026-11-09T21:45:45Z", " vm"),
        ("Nov 9 21:45:45 vm", "2026-11-09T21:45:45Z", " vm"),
        ("Nov 23 21:45:45.123: %LINK", "2026-11-23T21:45:45.123Z", ": %LINK"),
        ("Nov 23 21:45:45.123456789 UTC: %LINK", "2026-11-23T21:45:45.123456Z", ": %LINK"),
        ("Nov 23 21:45:45 CET: %LINK", "2026-11-23T20:45:45Z", ": %LINK"),
        ("Nov 23 21:45:45 CET host", "2026-11-23T21:45:45Z", " CET host"),
        ("Nov 23 21:45:45 UTC host", "2026-11-23T21:45:45Z", " host"),
        ("Nov 23 21:45:45 -05:00 host", "2026-11-24T02:45:45Z", " host"),
        ("Nov 23 2026 21:45:45 fw1 : %ASA", "2026-11-23T21:45:45Z", " fw1 : %ASA"),
        ("Nov 23 21:45:45 2026 host", "2026-11-23T21:45:45Z", " host"),
        ("2026 Nov 23 21:45:45 UTC: %ETHPORT", "2026-11-23T21:45:45Z", ": %ETHPORT"),
        ("2026-11-23T21:45:45.915718+00:00 vm", "2026-11-23T21:45:45.915718Z", " vm"),
        ("2026-11-23T21:45:45Z", "2026-11-23T21:45:45Z", ""),
        ("2026-11-23T21:45:45 localhost prg", "2026-11-23T21:45:45Z", " localhost prg"),
        ("2026-11-23 21:45:45,500 host", "2026-11-23T21:45:45.5Z", " host"),
        ("2026/11/23 21:45:45 host", "2026-11-23T21:45:45Z", " host"),
        ("2026-11-23T23:45:45+0200 host", "2026-11-23T21:45:45Z", " host"),
    ] {
        let (stamp, left) = Stamp::find(text).unwrap_or_else(|| panic!("not found: {text}"));
        assert_eq!(stamp.event_time(received), EventTime { at: at(instant), flag: None }, "{text}");
        assert_eq!(left, rest, "{text}");
    }
}

#[test]
fn what_is_not_a_time_is_not_found() {
    for text in [
        "",
        "x",
        "Nov",
        "Nov 23",
        "Nov 23 21:45",
        "November 23 21:45:45",
        "Mon Nov 23 21:45:45",
        "2026-11-23",
        "2026-11-23T21:45:45Zulu",
        "Nov 23 21:45:45x",
        "20261123T214545Z",
        "00:00:46: %LINK",
        "Nov  é 21:45:45",
    ] {
        assert_eq!(Stamp::find(text), None, "{text}");
    }
}

#[test]
fn an_impossible_time_still_counts_as_a_time() {
    let received = at("2026-11-23T22:00:00Z");
    for text in ["Feb 30 21:45:45 h", "Nov 23 24:61:61 h", "2026-13-01T00:00:00Z h"] {
        let (stamp, rest) = Stamp::find(text).unwrap();
        assert_eq!(rest, " h");
        assert_eq!(stamp.event_time(received).flag, Some(Flag::TimestampUnreadable), "{text}");
    }
    let (leap, _) = Stamp::find("Feb 29 08:00:00 h").unwrap();
    assert_eq!(leap.event_time(at("2028-03-01T00:00:00Z")).at, at("2028-02-29T08:00:00Z"));
    assert_eq!(leap.event_time(at("2027-03-01T00:00:00Z")).flag, Some(Flag::TimestampOutOfRange));
}

#[test]
fn the_year_is_the_one_that_puts_the_date_nearest_to_receipt() {
    let (december, _) = Stamp::find("Dec 31 23:59:59 h").unwrap();
    assert_eq!(december.event_time(at("2027-01-01T00:00:05Z")).at, at("2026-12-31T23:59:59Z"));
    let (january, _) = Stamp::find("Jan  1 00:00:02 h").unwrap();
    assert_eq!(january.event_time(at("2026-12-31T23:59:58Z")).at, at("2027-01-01T00:00:02Z"));
}

#[test]
fn a_time_far_off_is_not_believed() {
    let received = at("2026-11-23T22:00:00Z");
    for text in ["1970-01-01T00:00:00Z h", "2099-01-01T00:00:00Z h", "Mar  1 18:46:11 h"] {
        let time = Stamp::find(text).unwrap().0.event_time(received);
        assert_eq!(time, EventTime { at: received, flag: Some(Flag::TimestampOutOfRange) }, "{text}");
    }
}

#[test]
fn meraki_seconds_are_read() {
    let (stamp, rest) = Stamp::find_epoch("1795471545.774247467 remote_DC1 flows x").unwrap();
    assert_eq!(stamp.event_time(at("2026-11-23T22:00:00Z")).at, at("2026-11-23T22:05:45.774247Z"));
    assert_eq!(rest, " remote_DC1 flows x");
    assert_eq!(Stamp::find_epoch("12 monkeys"), None);
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text in ".{0,60}", head in "(Nov|Feb|2026)[ -][0-9 :.T/+-]{0,30}") {
        for text in [text.clone(), format!("{head}{text}")] {
            if let Some((stamp, rest)) = Stamp::find(&text) {
                proptest::prop_assert_eq!(format!("{}{rest}", stamp.text), text.clone());
                proptest::prop_assert!(stamp.event_time(at("2026-11-23T22:00:00Z")).at.year() > 2000);
            }
            proptest::prop_assert!(Stamp::find_epoch(&text).is_none_or(|(stamp, _)| stamp.text.len() > 10));
        }
    }
}
