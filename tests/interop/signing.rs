//! The zone that all servers serve, and its signed twins.

use std::path::PathBuf;

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

/// Writes the zone into a directory, signed for a month from now by keys made for it.
pub(crate) fn write(scratch: &Scratch, denial: Denial) -> PathBuf {
    let chain: &[&str] = match denial {
        Denial::Unsigned => {
            scratch.write("zone", ZONE);
            return scratch.path().join("zone");
        }
        Denial::Nsec => &[],
        Denial::Nsec3 => &["-3", "AABBCCDD", "-H", "5"],
        Denial::OptOut => &["-3", "-", "-H", "0", "-A"],
    };
    scratch.write("unsigned", ZONE);
    let bind = |name: &str, arguments: &[&str]| run(name, "bind9", scratch.path(), arguments);
    bind("dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "example.org"]);
    bind("dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "example.org"]);
    let fixed = ["-S", "-q", "-o", "example.org", "-f", "zone"];
    bind("dnssec-signzone", &[chain, &fixed, &["unsigned"]].concat());
    scratch.path().join("zone")
}
