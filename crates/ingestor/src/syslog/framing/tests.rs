use super::*;

/// Feeds `pieces` as a socket would and returns every message.
fn frames(max: usize, pieces: &[&[u8]]) -> Vec<(Vec<u8>, Option<Cut>)> {
    let mut framer = Framer::new(max);
    let mut buffer: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        for chunk in piece.chunks(max + Framer::OVERHEAD) {
            buffer.extend_from_slice(chunk);
            loop {
                let used = match framer.next(&buffer) {
                    Step::Frame { frame, used } => {
                        found.push((frame.bytes.to_vec(), frame.cut));
                        used
                    }
                    Step::More { used } => {
                        buffer.drain(..used);
                        break;
                    }
                };
                buffer.drain(..used);
            }
            assert!(buffer.len() < max + Framer::OVERHEAD, "the framer must get on with a full buffer");
        }
    }
    found.extend(framer.finish(&buffer, Ended::Orderly).map(|frame| (frame.bytes.to_vec(), frame.cut)));
    found
}

fn whole(texts: &[&str]) -> Vec<(Vec<u8>, Option<Cut>)> {
    texts.iter().map(|text| (text.as_bytes().to_vec(), None)).collect()
}

#[test]
fn both_framings_mix_on_one_connection() {
    let input = b"<13>line\n9 <13>count10 <13>1 next<13>after\r\n\n7 <34>x\ny\n12 bottles\n<1>nul\0<2>end";
    assert_eq!(
        frames(64, &[input]),
        whole(&[
            "<13>line",
            "<13>count",
            "<13>1 next",
            "<13>after",
            "<34>x\ny",
            "12 bottles",
            "<1>nul",
            "<2>end"
        ])
    );
}

#[test]
fn a_counted_line_feed_and_one_behind_the_count_both_vanish() {
    assert_eq!(
        frames(64, &[b"8 <13>abc\n8 <13>abcd\n8 <13>abcd"]),
        whole(&["<13>abc", "<13>abcd", "<13>abcd"])
    );
}

#[test]
fn a_long_line_is_cut_and_its_rest_skipped() {
    let input = [b"<13>".as_slice(), &vec![b'x'; 1_000_000], b"\n<14>next\n"].concat();
    let expected = vec![(b"<13>xxxx".to_vec(), Some(Cut::TooLong)), (b"<14>next".to_vec(), None)];
    assert_eq!(frames(8, &[&input]), expected);
    let counted = [b"1000004 <13>".as_slice(), &vec![b'x'; 1_000_000], b"8 <14>next"].concat();
    assert_eq!(frames(8, &[&counted]), expected);
}

#[test]
fn a_line_of_exactly_the_limit_is_whole() {
    for end in ["\n", "\r\n", "\0", ""] {
        assert_eq!(frames(8, &[format!("<13>xxxx{end}").as_bytes()]), whole(&["<13>xxxx"]), "{end:?}");
    }
    assert_eq!(frames(8, &[b"<13>xxxxx\n"]), vec![(b"<13>xxxx".to_vec(), Some(Cut::TooLong))]);
    assert_eq!(frames(8, &[b"<13>xxxxx"]), vec![(b"<13>xxxx".to_vec(), Some(Cut::TooLong))]);
    assert_eq!(
        frames(8, &[b"8 <13>xxxx9 <13>xxxxx<14>n"]),
        vec![
            (b"<13>xxxx".to_vec(), None),
            (b"<13>xxxx".to_vec(), Some(Cut::TooLong)),
            (b"<14>n".to_vec(), None),
        ]
    );
}

#[test]
fn a_counted_message_that_never_ends_says_so() {
    assert_eq!(frames(64, &[b"50 <13>half"]), vec![(b"<13>half".to_vec(), Some(Cut::Unfinished))]);
    let mut framer = Framer::new(64);
    assert_eq!(framer.next(b"<13>half"), Step::More { used: 0 });
    let half = Frame { bytes: b"<13>half", cut: Some(Cut::Unfinished) };
    assert_eq!(framer.finish(b"<13>half", Ended::Abruptly), Some(half));
    assert_eq!(framer.next(b"5"), Step::More { used: 0 });
    assert!(framer.is_inside_message(b"5"));
    assert!(!Framer::new(64).is_inside_message(b""));
}

#[test]
fn a_huge_count_takes_no_memory() {
    let found = frames(8, &[b"9999999999 <13>x", &vec![b'y'; 100_000]]);
    assert_eq!(found, vec![(b"<13>xyyy".to_vec(), Some(Cut::TooLong))]);
    assert_eq!(frames(64, &[b"99999999999 <13>x\n"]), whole(&["99999999999 <13>x"]));
}

#[test]
fn a_datagram_may_hold_several_lines() {
    let lines = |bytes: &'static [u8]| {
        datagram(bytes, 64).map(|frame| (frame.bytes.to_vec(), frame.cut)).collect::<Vec<_>>()
    };
    assert_eq!(lines(b"<34>y\n<35>z\n"), whole(&["<34>y", "<35>z"]));
    assert_eq!(lines(b"<34>trace\n  at x\n  at y\n"), whole(&["<34>trace\n  at x\n  at y"]));
    assert_eq!(lines(b"<34>x\r\n\n<35>z\0"), whole(&["<34>x", "<35>z"]));
    assert_eq!(lines(b"no priority"), whole(&["no priority"]));
    assert_eq!(lines(b""), whole(&[]));
    assert_eq!(lines(b"\0\n \n"), whole(&[]));
    let long: Vec<_> = datagram(b"<34>abcdef", 6).collect();
    assert_eq!(long, vec![Frame { bytes: b"<34>ab", cut: Some(Cut::TooLong) }]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = (Vec<u8>, bool)> {
        // A line holds no delimiter and does not look counted; a counted message holds anything.
        prop_oneof![
            "<[0-9]{1,3}>[ -~]{0,40}".prop_map(|text| (text.into_bytes(), false)),
            ("<[0-9]{1,3}>", prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(head, tail)| {
                let mut bytes = [head.into_bytes(), tail].concat();
                while matches!(bytes.last(), Some(b'\n' | b'\r' | b'\0')) {
                    bytes.pop();
                }
                (bytes, true)
            }),
        ]
    }

    proptest! {
        /// However the network splits them, the same messages come out.
        #[test]
        fn messages_survive_any_split(messages in prop::collection::vec(message(), 0..12), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let mut wire = Vec::new();
            for (bytes, counted) in &messages {
                if *counted {
                    wire.extend_from_slice(format!("{} ", bytes.len()).as_bytes());
                    wire.extend_from_slice(bytes);
                } else {
                    wire.extend_from_slice(bytes);
                    wire.extend_from_slice(b"\r\n");
                }
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            at.extend([0, wire.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let expected: Vec<_> = messages.into_iter().map(|(bytes, _)| (bytes, None)).collect();
            prop_assert_eq!(frames(64, &pieces), expected);
        }

        /// Any bytes are survived, no message is longer than the limit, and splitting changes nothing.
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'1'), Just(b' '), Just(b'<')], 0..300), step in 1_usize..9) {
            let found = frames(16, &[&bytes]);
            for (message, _) in &found {
                prop_assert!(!message.is_empty() && message.len() <= 16);
            }
            let pieces: Vec<&[u8]> = bytes.chunks(step).collect();
            prop_assert_eq!(frames(16, &pieces), found);
            prop_assert!(datagram(&bytes, 16).all(|frame| frame.bytes.len() <= 16));
        }
    }
}
