//! The shape of a message: what is left when everything that varies is masked.
//!
//! Unhandled messages are counted by shape, so that a thousand lines that differ in a port or a time are one thing to
//! write a rule for. `#` stands for a number or hexadecimal word, `@` for an address, `""` for quoted text.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use crate::signature::hex;

/// Bytes of the digest that names a shape: 16 hexadecimal characters, as in the original's keys.
const DIGEST_BYTES: usize = 8;

/// The name of a message's shape: 16 hexadecimal characters.
#[must_use]
pub fn shape(message: &str) -> String {
    hex(&Sha256::digest(mask(message).as_bytes()), DIGEST_BYTES)
}

/// The message with everything masked that varies.
#[must_use]
pub fn mask(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let token = match c {
            '"' | '\'' => quoted(rest, before),
            c if c.is_whitespace() => Some(Token { bytes: blank(rest), mask: " " }),
            c if c.is_ascii_hexdigit() || c == ':' => address(rest, before).or_else(|| word(rest)),
            c if c.is_ascii_alphanumeric() => word(rest),
            _ => None,
        };
        let (taken, left) = rest.split_at(token.as_ref().map_or(c.len_utf8(), |token| token.bytes));
        match token {
            Some(Token { mask: "", .. }) => mask_digits(taken, &mut out),
            Some(Token { mask, .. }) => out.push_str(mask),
            None => out.push(c),
        }
        before = taken.chars().next_back();
        rest = left;
    }
    out
}

/// A stretch of the message and what stands for it; an empty mask means: keep the letters, mask the digits.
struct Token {
    bytes: usize,
    mask: &'static str,
}

fn blank(text: &str) -> usize {
    text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len())
}

/// Text in quotes, with them. An apostrophe inside a word opens nothing.
fn quoted(text: &str, before: Option<char>) -> Option<Token> {
    let quote = text.chars().next()?;
    if quote == '\'' && before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inside = text.split_at(1).1;
    let closes = |&(at, _): &(usize, &str)| {
        let after = inside.split_at(at + 1).1.chars().next();
        quote == '"' || !after.is_some_and(char::is_alphanumeric)
    };
    let (end, _) = inside.match_indices(quote).find(closes)?;
    Some(Token { bytes: end + 2, mask: "\"\"" })
}

/// An IP address, with its port or prefix length, or a hardware address or UUID.
fn address(text: &str, before: Option<char>) -> Option<Token> {
    if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.' || c == ':') {
        return None;
    }
    let belongs = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '-');
    let run = text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len())).0;
    let run = run.trim_end_matches(['.', ':', '-']);
    let follows = text.split_at(run.len()).1.chars().next();
    if follows.is_some_and(char::is_alphanumeric) || !run.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let is_ip =
        run.contains(['.', ':']) && (run.parse::<IpAddr>().is_ok() || run.parse::<SocketAddr>().is_ok());
    let mask = if is_ip || is_hardware(run) {
        "@"
    } else if is_uuid(run) {
        "#"
    } else {
        return None;
    };
    Some(Token { bytes: run.len(), mask })
}

/// `aa:bb:cc:dd:ee:ff`, with dashes, or Cisco's `aabb.ccdd.eeff`.
fn is_hardware(run: &str) -> bool {
    let parts = |separator: char, count: usize, width: usize| {
        run.split(separator).count() == count
            && run
                .split(separator)
                .all(|part| part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    parts(':', 6, 2) || parts('-', 6, 2) || parts('.', 3, 4)
}

fn is_uuid(run: &str) -> bool {
    run.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// A run of letters and digits: a number (decimals, versions and OIDs whole), a hexadecimal word, or a word whose digits
/// vary.
fn word(text: &str) -> Option<Token> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let run = text.split_at(end).0;
    let has_digit = run.bytes().any(|b| b.is_ascii_digit());
    let hex = run.strip_prefix("0x").or_else(|| run.strip_prefix("0X")).unwrap_or(run);
    if has_digit && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(Token { bytes: decimals(text, end), mask: "#" });
    }
    (end > 0).then_some(Token { bytes: end, mask: "" })
}

/// Where the number that ends at `end` really ends: `.` and digits may follow, again and again.
fn decimals(text: &str, mut end: usize) -> usize {
    loop {
        let Some(more) = text.split_at(end).1.strip_prefix('.') else { return end };
        let digits = more.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return end;
        }
        end += 1 + digits;
    }
}

fn mask_digits(word: &str, out: &mut String) {
    let mut in_number = false;
    for c in word.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !in_number {
            out.push('#');
        }
        in_number = c.is_ascii_digit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_varies_is_masked() {
        for (message, expected) in [
            ("took 12.5 ms, was 7 ms", "took # ms, was # ms"),
            ("link down on Gi1/0/24", "link down on Gi#/#/#"),
            ("denied 10.1.2.3:443 -> 2001:db8::1, proto 6", "denied @ -> @, proto #"),
            ("from ::1 and fe80::aabb.", "from @ and @."),
            ("mac 00:1b:44:11:3a:b7 or 001b.4411.3ab7", "mac @ or @"),
            ("session 550e8400-e29b-41d4-a716-446655440000 end", "session # end"),
            ("addr 0xdeadbeef err 0x1f", "addr # err #"),
            ("sha deadbeef0 commit 1a2b3c4", "sha # commit #"),
            (r#"user "bob smith" failed"#, r#"user "" failed"#),
            ("user 'bob' can't log in, isn't known", r#"user "" can't log in, isn't known"#),
            ("at 12:34:56.789 on 2025-01-15", "at #:#:# on #-#-#"),
            ("a  b\t c", "a b c"),
            ("oid 1.3.6.1.4.1.9 up", "oid # up"),
        ] {
            assert_eq!(mask(message), expected, "{message}");
        }
    }

    #[test]
    fn words_are_kept() {
        for message in
            ["interface is down", "feed the cafe", "it's 'open ended", "Größe überschritten: ä", "a-b:c.d"]
        {
            assert_eq!(mask(message), message);
        }
    }

    #[test]
    fn lines_that_differ_only_in_what_varies_have_one_shape() {
        let line = |port: u32, peer: &str| format!("Accepted key for ops from {peer} port {port} ssh2");
        assert_eq!(shape(&line(50022, "10.0.0.1")), shape(&line(7, "2001:db8::7")));
        assert_ne!(shape("link up"), shape("link down"));
        assert_eq!(shape("x").len(), 16);
    }

    proptest! {
        #[test]
        fn no_message_panics_and_no_digit_survives(message in any::<String>(), ascii in "[ -~]{0,60}") {
            for message in [message, ascii] {
                prop_assert!(!mask(&message).contains(|c: char| c.is_ascii_digit()), "{}", message);
            }
        }

        #[test]
        fn every_address_has_the_same_shape(a in any::<std::net::IpAddr>(), b in any::<std::net::Ipv4Addr>()) {
            prop_assert_eq!(mask(&format!("peer {a} lost")), mask(&format!("peer {b} lost")));
        }
    }
}
