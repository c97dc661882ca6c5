//! What Moogsoft de-duplicates on: host, kind of message, rule.
//!
//! The kind is the trap's OID, else the mnemonic that network devices put into their messages, else the program that
//! wrote the line, else `event`. Numbers and names inside the message are left out on purpose: a port that flaps is one
//! alert with a count.

use mutt_core::domain::event::Event;
use sha2::{Digest, Sha256};

/// The widest signature that Moogsoft takes, in bytes.
pub const SIGNATURE_MAX_BYTES: usize = 767;
/// Bytes of the digest that stands for a cut tail: enough that two tails never meet.
const DIGEST_BYTES: usize = 16;

/// `<hostname>::<check>::rule-<id>`.
#[must_use]
pub fn of_event(event: &Event<'_>, rule_id: i32) -> String {
    bounded(format!("{}::{}::rule-{rule_id}", event.hostname, check(event)))
}

/// `<hostname>::unhandled::<shape>`, for the meta-alert of one shape of message.
#[must_use]
pub fn of_unhandled(hostname: &str, shape: &str) -> String {
    bounded(format!("{hostname}::unhandled::{shape}"))
}

fn check<'e>(event: &'e Event<'_>) -> &'e str {
    event
        .trap_oid
        .as_deref()
        .or_else(|| mnemonic(&event.message))
        .or(event.program.as_deref())
        .unwrap_or("event")
}

/// Keeps a long signature apart from others that begin alike: its tail becomes a digest of the whole.
fn bounded(signature: String) -> String {
    if signature.len() <= SIGNATURE_MAX_BYTES {
        return signature;
    }
    let digest = hex(&Sha256::digest(signature.as_bytes()), DIGEST_BYTES);
    let room = SIGNATURE_MAX_BYTES - digest.len() - 1;
    let end = (0..=room).rev().find(|&end| signature.is_char_boundary(end)).unwrap_or(0);
    format!("{}~{digest}", signature.split_at(end).0)
}

/// The first `bytes` bytes in hexadecimal.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    use std::fmt::Write as _;

    digest.iter().take(bytes).fold(String::with_capacity(bytes * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// The name that the device gave this kind of message: Cisco's `%LINEPROTO-5-UPDOWN` (without the `%`), anywhere; or
/// Juniper's `RPD_BGP_NEIGHBOR_STATE_CHANGED:` in front.
#[must_use]
pub fn mnemonic(message: &str) -> Option<&str> {
    message.split('%').skip(1).find_map(cisco).or_else(|| juniper(message))
}

/// `FACILITY-SEVERITY-MNEMONIC`, the facility perhaps with parts of its own (`ROUTING-OSPF-5-ADJCHG`).
fn cisco(text: &str) -> Option<&str> {
    let name = leading(text, |b| is_tag(b) || b == b'-').trim_end_matches('-');
    let (facility, what) = name.rsplit_once('-')?;
    let (facility, severity) = facility.rsplit_once('-')?;
    let is_severity = matches!(severity.as_bytes(), [b'0'..=b'7']);
    (is_severity && !facility.is_empty() && !facility.starts_with('-') && !what.is_empty()).then_some(name)
}

/// Capitals in at least two parts, then a colon: `SNMP_TRAP_LINK_DOWN:`.
fn juniper(message: &str) -> Option<&str> {
    let name = leading(message.trim_start(), is_tag);
    let parts = name.split('_').filter(|part| !part.is_empty()).count();
    let follows = message.trim_start().split_at(name.len()).1;
    let begins_well = name.as_bytes().first().is_some_and(u8::is_ascii_uppercase);
    (parts >= 2 && begins_well && follows.starts_with(':')).then_some(name)
}

fn is_tag(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

fn leading(text: &str, belongs: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics_are_found_where_devices_put_them() {
        for (message, expected) in [
            (
                "%LINEPROTO-5-UPDOWN: Line protocol on Interface Gi0/0, changed state to down",
                "LINEPROTO-5-UPDOWN",
            ),
            ("29: *Oct 11 22:14:15.003: %SEC-6-IPACCESSLOGP: list 102 denied tcp", "SEC-6-IPACCESSLOGP"),
            ("%PLATFORM_ENV-1-FRU_PS_FAIL: FRU Power Supply 1 has failed", "PLATFORM_ENV-1-FRU_PS_FAIL"),
            ("RP/0/RSP0/CPU0: ospf[1010]: %ROUTING-OSPF-5-ADJCHG : Process 1", "ROUTING-OSPF-5-ADJCHG"),
            (
                "%$VDC-1$ %ETHPORT-5-IF_DOWN_LINK_FAILURE: Interface Ethernet1/1 is down",
                "ETHPORT-5-IF_DOWN_LINK_FAILURE",
            ),
            ("disk 95% full on %ASA-6-302013: Built outbound", "ASA-6-302013"),
            (
                "RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 10.0.0.1 changed state",
                "RPD_BGP_NEIGHBOR_STATE_CHANGED",
            ),
        ] {
            assert_eq!(mnemonic(message), Some(expected), "{message}");
        }
    }

    #[test]
    fn ordinary_text_has_no_mnemonic() {
        for message in [
            "disk 95% full",
            "100%-5-",
            "%x-5-y",
            "%-5-UP",
            "ERROR: x",
            "A_B c",
            "the MY_TAG: x",
            "%A-9-B",
            "",
        ] {
            assert_eq!(mnemonic(message), None, "{message}");
        }
    }

    fn event(fields: &str) -> String {
        format!(r#"{{"_id":"019a7b0c-0000-7000-8000-000000000001","hostname":"sw1",{fields}}}"#)
    }

    #[test]
    fn the_check_is_the_oid_then_the_mnemonic_then_the_program() {
        for (fields, expected) in [
            (r#""message":"%A-1-B: x","trap_oid":"1.3.6.1.6.3.1.1.5.3""#, "sw1::1.3.6.1.6.3.1.1.5.3::rule-4"),
            (r#""message":"%A-1-B: x","program":"p""#, "sw1::A-1-B::rule-4"),
            (r#""message":"x","program":"sshd""#, "sw1::sshd::rule-4"),
            (r#""message":"x""#, "sw1::event::rule-4"),
        ] {
            let raw = event(fields);
            assert_eq!(of_event(&Event::decode(&raw).unwrap(), 4), expected);
        }
    }

    #[test]
    fn a_long_signature_is_cut_but_stays_its_own() {
        let long = |tail: &str| of_unhandled(&format!("{}{tail}", "é".repeat(400)), "shape");
        assert!(long("a").len() <= SIGNATURE_MAX_BYTES && long("a").len() > SIGNATURE_MAX_BYTES - 4);
        assert_ne!(long("a"), long("b"));
        assert_eq!(of_unhandled(&"h".repeat(700), "x").len(), 700 + "::unhandled::x".len());
    }
}
