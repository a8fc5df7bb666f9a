//! The zone that all servers serve, and its signed twins.

use crate::kit::Scratch;
use crate::peer::run;

pub(crate) const ZONE: &str = include_str!("example.org.zone");

/// How non-existence is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Unsigned,
    Nsec,
    /// With salt and iterations.
    Nsec3,
    /// Delegations without DS have no record in the chain.
    OptOut,
}

/// Writes the file `zone`, signed for a month from now by keys made for it, and beside it
/// `key-signing.key`, the key to trust.
pub(crate) fn write(scratch: &Scratch, denial: Denial) {
    let chain: &[&str] = match denial {
        Denial::Unsigned => return scratch.write("zone", ZONE),
        Denial::Nsec => &[],
        Denial::Nsec3 => &["-3", "AABBCCDD", "-H", "5"],
        Denial::OptOut => &["-3", "-", "-H", "0", "-A"],
    };
    scratch.write("unsigned", ZONE);
    let bind = |name: &str, arguments: &[&str]| run(name, "bind9", scratch.path(), arguments);
    let make = ["-q", "-a", "ECDSAP256SHA256"];
    bind("dnssec-keygen", &[&make[..], &["example.org"]].concat());
    let key = bind("dnssec-keygen", &[&make[..], &["-f", "KSK", "example.org"]].concat());
    let key = std::fs::read_to_string(scratch.path().join(format!("{}.key", key.trim()))).unwrap();
    scratch.write("key-signing.key", &key);
    let fixed = ["-S", "-q", "-o", "example.org", "-f", "zone"];
    bind("dnssec-signzone", &[chain, &fixed, &["unsigned"]].concat());
}
