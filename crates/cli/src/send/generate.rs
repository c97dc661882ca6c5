//! Made-up events that look like a campus network on an ordinary day.
//!
//! Event number n of a seed is always the same, whoever makes it: connections share nothing, and a run can be repeated.

use mutt_core::domain::event::SyslogSeverity;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::draft::Draft;

/// Host prefix, program, severity, text, and how often it comes. `{n}` is a small number, `{ip}` an address, `{port}`
/// an interface, `{user}` a login name.
type Kind = (&'static str, &'static str, u8, &'static str, u32);

const KINDS: [Kind; 16] = [
    (
        "acc-sw",
        "cisco-ios",
        5,
        "%LINEPROTO-5-UPDOWN: Line protocol on Interface {port}, changed state to up",
        12,
    ),
    ("acc-sw", "cisco-ios", 3, "%LINK-3-UPDOWN: Interface {port}, changed state to down", 8),
    ("acc-sw", "cisco-ios", 4, "%SW_MATM-4-MACFLAP_NOTIF: Host 00aa.bb{n}.cc01 in vlan {n} is flapping", 4),
    ("core-rtr", "cisco-ios", 5, "%BGP-5-ADJCHANGE: neighbor {ip} Down BGP Notification sent", 3),
    ("core-rtr", "cisco-ios", 5, "%OSPF-5-ADJCHG: Process 1, Nbr {ip} on {port} from FULL to DOWN", 3),
    ("core-rtr", "cisco-ios", 1, "%PLATFORM_ENV-1-FRU_PS_FAIL: FRU Power Supply {n} has failed", 1),
    ("core-rtr", "cisco-ios", 2, "%ENVMON-2-FAN_FAILED: Fan {n} had a rotation error reported", 1),
    (
        "fw",
        "cisco-asa",
        4,
        "%ASA-4-106023: Deny tcp src outside:{ip}/{n} dst inside:{ip}/443 by access-group",
        20,
    ),
    ("fw", "cisco-asa", 6, "%ASA-6-302013: Built inbound TCP connection {n} for outside:{ip}/443", 30),
    (
        "web",
        "haproxy",
        6,
        "{ip}:{n} [fe_www] be_app/web{n} 0/0/1/24/25 200 5132 - - ---- 12/12/3/1/0 0/0 \"GET /\"",
        30,
    ),
    (
        "web",
        "nginx",
        3,
        "connect() failed (111: Connection refused) while connecting to upstream, client: {ip}",
        4,
    ),
    ("host", "sshd", 4, "Failed password for invalid user {user} from {ip} port {n} ssh2", 12),
    ("host", "sshd", 6, "Accepted publickey for {user} from {ip} port {n} ssh2", 10),
    ("host", "kernel", 3, "EXT4-fs error (device sda{n}): ext4_find_entry: reading directory lblock 0", 1),
    (
        "wlc",
        "airespace",
        5,
        "%APF-5-RADIUS_OVERRIDE_DISABLED: Radius overrides disabled, ignoring for mobile {ip}",
        6,
    ),
    ("esx", "vmkernel", 4, "ScsiDeviceIO: Cmd 0x2a to dev naa.6006{n} failed H:0x0 D:0x2 P:0x0", 3),
];

const USERS: [&str; 6] = ["root", "admin", "oracle", "backup", "jlee", "mgarcia"];

/// Makes events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generator {
    /// Chooses the series.
    pub(crate) seed: u64,
    /// How many hosts of each kind there are.
    pub(crate) hosts: u32,
}

impl Generator {
    /// Event number `n`.
    pub(crate) fn event(self, n: u64) -> Draft {
        let mut random = StdRng::seed_from_u64(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let total: u32 = KINDS.iter().map(|kind| kind.4).sum();
        let mut left = random.random_range(0..total);
        let kind = KINDS
            .iter()
            .find(|kind| {
                let here = left < kind.4;
                left = left.saturating_sub(kind.4);
                here
            })
            .unwrap_or(&KINDS[0]);
        let &(prefix, program, severity, text, _) = kind;
        let host = random.random_range(1..=self.hosts.max(1));
        Draft {
            hostname: format!("{prefix}-{host:02}.campus.example.com"),
            message: fill(text, &mut random),
            severity: SyslogSeverity::new(severity),
            program: Some(program.to_owned()),
            ..Draft::default()
        }
    }
}

/// Puts something in place of each `{name}`.
fn fill(text: &str, random: &mut StdRng) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(before);
        let value = match name {
            // The documentation's own network (RFC 5737): no real host is ever named.
            "ip" => format!("198.51.100.{}", random.random_range(1..255)),
            "port" => format!("GigabitEthernet1/0/{}", random.random_range(1..49)),
            "user" => USERS.get(random.random_range(0..USERS.len())).copied().unwrap_or("root").to_owned(),
            _ => random.random_range(1..100).to_string(),
        };
        filled.push_str(&value);
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_number_is_the_same_event() {
        let one = Generator { seed: 1, hosts: 10 };
        assert_eq!(one.event(5), one.event(5));
        let series = |generator: Generator| (0..50).map(|n| generator.event(n).message).collect::<Vec<_>>();
        assert_ne!(series(one), series(Generator { seed: 2, hosts: 10 }));
    }

    #[test]
    fn every_kind_comes_and_every_blank_is_filled() {
        let made: Vec<_> = (0..5000).map(|n| Generator { seed: 9, hosts: 3 }.event(n)).collect();
        let programs: HashSet<_> = made.iter().filter_map(|draft| draft.program.clone()).collect();
        assert_eq!(programs.len(), 8);
        assert!(made.iter().all(|draft| !draft.message.contains(['{', '}'])));
        assert!(made.iter().any(|draft| draft.message.contains("PLATFORM_ENV")));
    }
}
