//! RFC 3164 tags and Cisco mnemonics, as real logs have them.

/// The tag at the front of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) program: &'a str,
    pub(super) procid: Option<&'a str>,
    /// What follows, without the blank after the colon.
    pub(super) rest: &'a str,
}

/// Longest text that is searched for the end of a tag; RFC 3164 allows 32, programs given by path take more.
const TAG_LIMIT: usize = 128;

impl<'a> Tag<'a> {
    /// A tag of one word: `app:`, `app[12]:`, `sshd(pam_unix)[12]:`, `/usr/sbin/cron[12]:`, `sandboxd[12] text`.
    ///
    /// A colon only ends a tag when a blank or nothing follows, so that `CEF:0|..` and `http://..` stay text.
    pub(super) fn find(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate().take(TAG_LIMIT) {
            match byte {
                b':' if ends(bytes, at + 1) => {
                    let (program, rest) = text.split_at_checked(at)?;
                    return named(program, None, after_colon(rest));
                }
                b'[' => {
                    let (program, rest) = text.split_at_checked(at)?;
                    let (procid, rest) = process_id(rest)?;
                    return named(program, Some(procid), rest);
                }
                b if is_tag_byte(*b) => {}
                _ => return None,
            }
        }
        None
    }

    /// A name of several words: `Microsoft Word[14463]:` and `syslogd 1.4.1:`; only sure of these two shapes, since any
    /// other words before a colon may as well be text.
    pub(super) fn find_with_blanks(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let first_blank = bytes.iter().take(TAG_LIMIT).position(|b| *b == b' ')?;
        if !bytes.iter().take(first_blank).all(|b| is_tag_byte(*b)) {
            return None;
        }
        let mut word_start = 0;
        let mut capitals = bytes.first()?.is_ascii_uppercase();
        for (at, byte) in bytes.iter().enumerate().take(TAG_LIMIT) {
            match byte {
                b' ' => {
                    word_start = at + 1;
                    capitals &= bytes.get(at + 1)?.is_ascii_uppercase();
                }
                b'[' if capitals && at > first_blank => {
                    let (program, rest) = text.split_at_checked(at)?;
                    let (procid, rest) = process_id(rest)?;
                    return named(program, Some(procid), rest);
                }
                b':' if at > first_blank && word_start == first_blank + 1 && ends(bytes, at + 1) => {
                    let version = bytes.get(word_start..at)?;
                    let is_version = version.first().is_some_and(u8::is_ascii_digit)
                        && version.iter().all(|b| b.is_ascii_digit() || *b == b'.');
                    let (program, rest) = text.split_at_checked(at)?;
                    return is_version.then(|| named(program, None, after_colon(rest)))?;
                }
                b if is_tag_byte(*b) => {}
                _ => return None,
            }
            if at > first_blank && !capitals && at > first_blank + 16 {
                return None; // longer than any version
            }
        }
        None
    }
}

fn named<'a>(program: &'a str, procid: Option<&'a str>, rest: &'a str) -> Option<Tag<'a>> {
    (!program.is_empty() && !program.starts_with('%')).then_some(Tag { program, procid, rest })
}

/// `[12]:`, `[12] `: the id and the text after it.
fn process_id(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = text.strip_prefix('[')?.split_once(']')?;
    let plausible = !id.is_empty() && id.len() <= TAG_LIMIT && !id.contains([' ', '[', '"']);
    if !plausible {
        return None;
    }
    match rest.as_bytes().first() {
        None => Some((id, rest)),
        Some(b':') => Some((id, after_colon(rest))),
        Some(b' ') => Some((id, rest.strip_prefix(' ').unwrap_or(rest))),
        Some(_) => None,
    }
}

fn after_colon(text: &str) -> &str {
    let text = text.strip_prefix(':').unwrap_or(text);
    text.strip_prefix(' ').unwrap_or(text)
}

fn ends(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), None | Some(b' ' | b'\t'))
}

fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'-' | b'.' | b'/' | b'(' | b')' | b'@' | b'+' | b'#' | b'~' | b'*' | b'%' | b':'
        )
        || byte >= 0x80
}

/// Whether a text begins with a Cisco mnemonic, `%FACILITY-SEVERITY-NAME`, with any sub-facility.
pub(super) fn is_mnemonic(text: &str) -> bool {
    let Some(text) = text.strip_prefix('%') else {
        return false;
    };
    let word =
        text.bytes().take(TAG_LIMIT).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    // `-digit-` somewhere inside is the severity.
    let (mut last, mut before) = (0_u8, 0_u8);
    for byte in word {
        if byte == b'-' && last.is_ascii_digit() && before == b'-' {
            return true;
        }
        (before, last) = (last, byte);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_real_logs_are_found() {
        for (text, program, procid, rest) in [
            ("app: x", "app", None, "x"),
            ("app:", "app", None, ""),
            ("app:  x", "app", None, " x"),
            ("sshd[19939]: x", "sshd", Some("19939"), "x"),
            ("sshd(pam_unix)[19939]: x", "sshd(pam_unix)", Some("19939"), "x"),
            ("/usr/sbin/cron[12]: x", "/usr/sbin/cron", Some("12"), "x"),
            ("sandboxd[129] ([31211]): deny", "sandboxd", Some("129"), "([31211]): deny"),
            ("ns::prog[1]: x", "ns::prog", Some("1"), "x"),
            ("/kernel: x", "/kernel", None, "x"),
        ] {
            assert_eq!(Tag::find(text), Some(Tag { program, procid, rest }), "{text}");
        }
        for (text, program, procid, rest) in [
            ("Microsoft Word[14463]: x", "Microsoft Word", Some("14463"), "x"),
            ("Google Chrome Helper[9]: x", "Google Chrome Helper", Some("9"), "x"),
            ("syslogd 1.4.1: restart.", "syslogd 1.4.1", None, "restart."),
        ] {
            assert_eq!(Tag::find_with_blanks(text), Some(Tag { program, procid, rest }), "{text}");
        }
    }

    #[test]
    fn text_is_not_taken_for_a_tag() {
        for text in [
            "",
            ":",
            "no tag here",
            "CEF:0|Vendor|x",
            "http://x/y",
            "%LINK-3-UPDOWN: x",
            "{\"a\": 1}",
            "user=root: x",
            "[error] x",
            "a[b c]: x",
            "a[]: x",
            "x[12]y",
            "\"quoted\": x",
        ] {
            assert_eq!(Tag::find(text), None, "{text}");
            assert_eq!(Tag::find_with_blanks(text), None, "{text}");
        }
        assert_eq!(Tag::find_with_blanks("kernel panic: x"), None);
        assert_eq!(Tag::find_with_blanks("accepted from host[12]: x"), None);
    }

    #[test]
    fn mnemonics_are_told_from_other_words() {
        for text in
            ["%LINK-3-UPDOWN: x", "%ASA-session-6-302013: x", "%PKT_INFRA-LINK-3-UPDOWN : x", "%SYS-5-A"]
        {
            assert!(is_mnemonic(text), "{text}");
        }
        for text in ["LINK-3-UPDOWN", "%", "%5 of all", "%LINK-UPDOWN", "%LINK-33-UP"] {
            assert!(!is_mnemonic(text), "{text}");
        }
    }
}
