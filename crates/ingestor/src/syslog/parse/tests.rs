use super::*;

/// What a message should say: severity number, facility, host, program, process id, message.
type Expected = (
    Option<u8>,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    &'static str,
);

fn check(text: &str, expected: Expected) -> Parsed<'_> {
    let parsed = parse(text);
    let seen = (
        parsed.priority.map(|priority| priority.severity.get()),
        parsed.priority.map(|priority| priority.facility),
        parsed.hostname,
        parsed.program,
        parsed.procid,
        parsed.message,
    );
    assert_eq!(seen, expected, "{text}");
    parsed
}

#[test]
fn what_logger_and_rsyslog_send_is_read() {
    let auth2 = Some(2);
    for (text, expected) in [
        (
            "<34>1 2026-11-23T21:45:45.915718+00:00 vm app 4242 - [timeQuality tzKnown=\"1\" isSynced=\"0\"] plain udp",
            (auth2, Some("auth"), Some("vm"), Some("app"), Some("4242"), "plain udp"),
        ),
        (
            "<134>Nov 23 21:45:45 vm app: rfc3164 udp",
            (Some(6), Some("local0"), Some("vm"), Some("app"), None, "rfc3164 udp"),
        ),
        (
            "<27>1 2026-11-23T21:45:45.919772+00:00 vm app - ID47 [timeQuality tzKnown=\"1\"][ex@32473 k=\"v\"] \u{fc}n\u{ef}code",
            (Some(3), Some("daemon"), Some("vm"), Some("app"), None, "\u{fc}n\u{ef}code"),
        ),
        ("<13>1 - - app - - - nil fields", (Some(5), Some("user"), None, Some("app"), None, "nil fields")),
        (
            "<156>Nov 23 21:46:30 vm sw01: via rsyslog \"quoted\" \\back",
            (Some(4), Some("local3"), Some("vm"), Some("sw01"), None, "via rsyslog \"quoted\" \\back"),
        ),
        (
            "<156>1 2026-11-23T21:46:30+00:00 vm sw01 - - -  via rsyslog \"quoted\"\n",
            (Some(4), Some("local3"), Some("vm"), Some("sw01"), None, "via rsyslog \"quoted\""),
        ),
        (
            "<156>2026-11-23T21:46:30+00:00 vm sw01: via rsyslog\n",
            (Some(4), Some("local3"), Some("vm"), Some("sw01"), None, "via rsyslog"),
        ),
        (
            "<38>2026-11-23T22:14:42 localhost prg00000[1234]: seq: 0000000000, thread: 0000",
            (
                Some(6),
                Some("auth"),
                Some("localhost"),
                Some("prg00000"),
                Some("1234"),
                "seq: 0000000000, thread: 0000",
            ),
        ),
        (
            "<38>1 2026-11-23T22:14:42+00:00 localhost prg00000 1234 - - \u{feff}seq: 1",
            (Some(6), Some("auth"), Some("localhost"), Some("prg00000"), Some("1234"), "seq: 1"),
        ),
        (
            "<174>Nov 23 21:49:22 vm snmptrapd[24443]: 2026-11-23 21:49:22 localhost [UDP: [127.0.0.1]:35412->[127.0.0.1]:15163]:#012iso.3",
            (
                Some(6),
                Some("local5"),
                Some("vm"),
                Some("snmptrapd"),
                Some("24443"),
                "2026-11-23 21:49:22 localhost [UDP: [127.0.0.1]:35412->[127.0.0.1]:15163]:#012iso.3",
            ),
        ),
        (
            "<34>1 2003-10-11T22:14:15.003Z h su - ID47 - \u{feff}'su root' failed",
            (auth2, Some("auth"), Some("h"), Some("su"), None, "'su root' failed"),
        ),
    ] {
        let parsed = check(text, expected);
        assert_eq!(parsed.unparsed, None);
    }
    let parsed = parse("<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 [ex@1 iut=\"3\"] x");
    assert_eq!(parsed.msgid, Some("ID47"));
    assert_eq!(parsed.structured_data.unwrap().to_json().unwrap().get(), r#"{"ex@1":{"iut":"3"}}"#);
}

#[test]
fn what_cisco_sends_is_read() {
    let link = "%LINK-3-UPDOWN: Interface Gi0/1, changed state to down";
    let local7 = Some("local7");
    for (header, severity, host) in [
        ("<189>29: Oct 11 22:14:15.123: ", 5, None),
        ("<189>29: Oct 11 22:14:15.123 UTC: ", 5, None),
        ("<187>000123: *Mar  1 18:46:11: ", 3, None),
        ("<187>000123: .Mar  1 18:46:11.001 CET: ", 3, None),
        ("<189>29: *Oct 11 2026 22:14:15: ", 5, None),
        ("<189>29: router1: Oct 11 22:14:15.123: ", 5, Some("router1")),
        ("<189>router1: 000029: *Oct 11 22:14:15.123: ", 5, Some("router1")),
        ("<189>29: 192.0.2.1: Oct 11 22:14:15: ", 5, None),
        ("<189>: 2026 Oct 11 22:14:15 UTC: ", 5, None),
        ("<189>Oct 11 22:14:15.123: ", 5, None),
        ("<189>*Oct 11 22:14:15.123: ", 5, None),
        ("<189>Oct 11 22:14:15 sw1 ", 5, Some("sw1")),
        ("<189>Oct 11 2026 22:14:15 fw1 : ", 5, Some("fw1")),
        ("<189>Oct 11 22:14:15 fw1: ", 5, Some("fw1")),
        ("<189>Oct 11 22:14:15 relay 29: *Oct 11 22:14:14.9: ", 5, Some("relay")),
        ("<189>Oct 11 22:14:15 192.0.2.9 29: Oct 11 22:14:14 UTC: ", 5, Some("192.0.2.9")),
        ("<189>29: 00:00:46: ", 5, None),
        ("<189>29: 1w2d: ", 5, None),
        ("<189>29: ", 5, None),
        ("<189>", 5, None),
        ("<189>1 2026-10-11T22:14:15Z sw1 - - - - ", 5, Some("sw1")),
    ] {
        let text = format!("{header}{link}");
        let parsed = parse(&text);
        assert_eq!(parsed.message, link, "{text}");
        assert_eq!(parsed.priority.map(|p| p.severity.get()), Some(severity), "{text}");
        assert_eq!(parsed.priority.map(|p| p.facility), local7, "{text}");
        assert_eq!((parsed.program, parsed.procid, parsed.unparsed), (None, None, None), "{text}");
        if header.contains("192.0.2.1:") {
            continue; // an address as origin: either reading is right
        }
        assert_eq!(parsed.hostname, host, "{text}");
    }
    check(
        "<190>123: RP/0/RSP0/CPU0:Oct 11 22:14:15.123 : ifmgr[201]: %PKT_INFRA-LINK-3-UPDOWN : Interface x",
        (Some(6), Some("local7"), None, Some("ifmgr"), Some("201"), "%PKT_INFRA-LINK-3-UPDOWN : Interface x"),
    );
    check(
        "<190>123: core1 RP/0/RP0/CPU0:Oct 11 22:14:15.123 : ifmgr[201]: %PKT_INFRA-LINK-3-UPDOWN : Interface x",
        (
            Some(6),
            Some("local7"),
            Some("core1"),
            Some("ifmgr"),
            Some("201"),
            "%PKT_INFRA-LINK-3-UPDOWN : Interface x",
        ),
    );
    check(
        "<134>1 1795471545.774247467 MX84 flows src=192.0.2.1",
        (Some(6), Some("local0"), Some("MX84"), None, None, "flows src=192.0.2.1"),
    );
}

#[test]
fn the_odd_lines_of_real_logs_are_read() {
    let info = |host, program, procid, message| (Some(6), Some("auth"), host, program, procid, message);
    for (text, expected) in [
        (
            "<38>Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= ",
            info(Some("combo"), Some("sshd(pam_unix)"), Some("19939"), "authentication failure; logname= "),
        ),
        (
            "<38>Jun 19 04:08:55 combo syslogd 1.4.1: restart.",
            info(Some("combo"), Some("syslogd 1.4.1"), None, "restart."),
        ),
        (
            "<38>Jul  3 09:00:55 mac-1 Microsoft Word[14463]: x",
            info(Some("mac-1"), Some("Microsoft Word"), Some("14463"), "x"),
        ),
        (
            "<38>Jul  3 09:00:55 mac-1 sandboxd[129] ([31211]): deny",
            info(Some("mac-1"), Some("sandboxd"), Some("129"), "([31211]): deny"),
        ),
        (
            "<38>Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session opened",
            info(Some("dn228/dn228"), Some("crond(pam_unix)"), Some("2915"), "session opened"),
        ),
        (
            "<38>Nov 9 12:01:01 local@tbird-admin1 /apps/x86_64/system/ganglia-3.0.1/sbin/gmetad[1682]: data_thread() got",
            info(
                Some("local@tbird-admin1"),
                Some("/apps/x86_64/system/ganglia-3.0.1/sbin/gmetad"),
                Some("1682"),
                "data_thread() got",
            ),
        ),
        (
            "<38>Nov 9 12:01:01 dn228/dn228 Losing some ticks... checking",
            info(Some("dn228/dn228"), None, None, "Losing some ticks... checking"),
        ),
        (
            "<38>Oct 11 22:14:15 su[231]: 'su root' failed",
            info(None, Some("su"), Some("231"), "'su root' failed"),
        ),
        ("<38>Oct 11 22:14:15 su: 'su root' failed", info(None, Some("su"), None, "'su root' failed")),
        (
            "<38>Oct 11 22:14:15 Message forwarded from aix1: su[231]: x",
            info(Some("aix1"), Some("su"), Some("231"), "x"),
        ),
        ("<38>Oct 11 22:14:15 [error] x", info(None, None, None, "[error] x")),
        ("<38>Oct 11 22:14:15 h CEF:0|Vendor|x", info(Some("h"), None, None, "CEF:0|Vendor|x")),
        ("<38> Oct 11 22:14:15 h app: x", info(Some("h"), Some("app"), None, "x")),
        ("<38>Feb 29 24:61:61 h app: x", info(Some("h"), Some("app"), None, "x")),
        ("<38>no timestamp at all here", info(None, None, None, "no timestamp at all here")),
        ("<38>app[12]: x", info(None, Some("app"), Some("12"), "x")),
        ("<38>error: disk full", info(None, None, None, "error: disk full")),
        (
            "<38>date=2026-10-11 time=22:14:15 devname=\"fw\"",
            info(None, None, None, "date=2026-10-11 time=22:14:15 devname=\"fw\""),
        ),
        ("<38>1 this is text", info(None, None, None, "1 this is text")),
        ("<38>y\0\n", info(None, None, None, "y")),
        ("<38>", info(None, None, None, "")),
        ("<38>1 2026-11-23T21:46:30Z h app - - [broken x", info(Some("h"), Some("app"), None, "[broken x")),
        ("<38>1 2026-11-23T21:46:30Z h app - - - [error] x", info(Some("h"), Some("app"), None, "[error] x")),
    ] {
        assert_eq!(check(text, expected).unparsed, None, "{text}");
    }
}

#[test]
fn without_a_priority_a_time_is_enough() {
    let default = |host, program, procid, message| (Some(5), Some("user"), host, program, procid, message);
    check("Jun 14 15:16:01 combo sshd[1]: x\r", default(Some("combo"), Some("sshd"), Some("1"), "x"));
    check("2026-11-23T21:46:30Z vm app: x", default(Some("vm"), Some("app"), None, "x"));
    check("*Mar  1 18:46:11: %LINK-3-UPDOWN: x", default(None, None, None, "%LINK-3-UPDOWN: x"));
    check("1 2026-11-23T21:46:30Z vm app - - - x", default(Some("vm"), Some("app"), None, "x"));
}

#[test]
fn what_is_not_syslog_stays_whole_with_a_reason() {
    for (text, reason) in [
        ("plain garbage without pri", Unparsed::NoHeader),
        ("", Unparsed::NoHeader),
        ("\u{1}\u{2}binary", Unparsed::NoHeader),
        ("<>z", Unparsed::NoHeader),
        ("<1a>z", Unparsed::NoHeader),
        ("<1234>z", Unparsed::NoHeader),
        ("{\"json\": true}", Unparsed::NoHeader),
        ("%LINK-3-UPDOWN: x", Unparsed::NoHeader),
        ("<999>1 2003-10-11T22:14:15Z h a - - - x", Unparsed::BadPriority),
        ("<192>x", Unparsed::BadPriority),
    ] {
        let parsed = parse(text);
        assert_eq!((parsed.message, parsed.unparsed, parsed.priority), (text, Some(reason), None), "{text}");
    }
    assert_eq!(parse("<191>y").priority.unwrap().facility, "local7");
    assert_eq!(parse("<0>x").priority.unwrap().severity.get(), 0);
}

#[test]
fn a_priority_at_the_front_is_recognised() {
    for yes in ["<0>", "<34>x", "<191>x", "<999>"] {
        assert!(begins_with_priority(yes.as_bytes()), "{yes}");
    }
    for no in ["", "<", "<>", "<34", "<1234>", " <34>x", "34>x"] {
        assert!(!begins_with_priority(no.as_bytes()), "{no}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever comes, the message is a piece of it and nothing panics.
        #[test]
        fn any_text_is_survived(
            head in prop_oneof![
                Just(String::new()), "<[0-9]{0,4}>", "<[0-9]{1,3}>1 2026-11-23T21:46:30Z ", "<[0-9]{1,3}>[0-9]{0,4}: [*.]?",
                "<[0-9]{1,3}>Nov 2[0-9] 2[0-9]:[0-9]{2}:[0-9]{2}[ :]", "<[0-9]{1,3}>[A-Z][a-z]{2} "
            ],
            tail in ".{0,120}",
        ) {
            let text = format!("{head}{tail}");
            let parsed = parse(&text);
            prop_assert!(text.contains(parsed.message));
            prop_assert!(parsed.unparsed.is_some() || parsed.priority.is_some());
        }

        /// Well-formed RFC 5424 reads as `syslog_loose` reads it.
        #[test]
        fn rfc5424_reads_as_another_parser_reads_it(
            pri in 0_u8..=191,
            host in "[a-z][a-z0-9.-]{0,20}",
            app in "[a-zA-Z][a-zA-Z0-9_/-]{0,20}",
            procid in prop_oneof![Just("-".to_owned()), "[1-9][0-9]{0,5}"],
            msgid in prop_oneof![Just("-".to_owned()), "[A-Z0-9]{1,10}"],
            data in prop_oneof![Just("-".to_owned()), "\\[x@1 a=\"[a-z ]{0,9}\"\\]"],
            message in "[a-z\\[]([a-zA-Z0-9 :%\\[\\]=\"]{0,60}[a-z.])?",
        ) {
            let text = format!("<{pri}>1 2026-11-23T21:46:30.5Z {host} {app} {procid} {msgid} {data} {message}");
            let ours = parse(&text);
            let theirs = syslog_loose::parse_message(&text, syslog_loose::Variant::RFC5424);
            prop_assert_eq!(ours.hostname, theirs.hostname);
            prop_assert_eq!(ours.program, theirs.appname);
            prop_assert_eq!(ours.procid.map(str::to_owned), theirs.procid.map(|id| id.to_string()));
            prop_assert_eq!(ours.msgid, theirs.msgid);
            prop_assert_eq!(ours.message, theirs.msg);
            prop_assert_eq!(ours.priority.map(|p| i32::from(p.severity.get())), theirs.severity.map(|s| s as i32));
            prop_assert_eq!(ours.structured_data.is_some(), !theirs.structured_data.is_empty());
        }
    }
}
