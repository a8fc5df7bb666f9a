//! Zones and queries, made anew on each machine from a fixed seed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wire::{Name, Rtype};

/// A zone file and questions about it.
pub(crate) struct Set {
    pub(crate) origin: &'static str,
    pub(crate) zone: PathBuf,
    pub(crate) queries: Vec<Vec<u8>>,
}

/// A small generator of reproducible numbers (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }
}

const MIX: [(&str, usize); 6] =
    [("A", 45), ("AAAA", 20), ("CNAME", 10), ("MX", 8), ("TXT", 9), ("SRV", 8)];

/// A zone of `names` names (types as in a mixed internal zone) and `count` questions: a tenth for
/// names that do not exist, a tenth for types that do not.
pub(crate) fn zone(dir: &Path, origin: &'static str, names: usize, count: usize) -> Set {
    let mut numbers = Numbers(42);
    let mut text = format!(
        "$ORIGIN {origin}\n$TTL 3600\n@ SOA ns1.{origin} host.{origin} 1 3600 600 86400 3600\n\
         @ NS ns1.{origin}\nns1 A 127.0.0.1\n"
    );
    for target in 0..100 {
        let _ = writeln!(text, "target{target} A 192.0.2.{}", target + 1);
    }
    let mut kinds = Vec::with_capacity(names);
    for i in 0..names {
        let mut roll = numbers.next(100);
        let kind = MIX.iter().find(|(_, share)| {
            let hit = roll < *share;
            roll = roll.wrapping_sub(*share);
            hit
        });
        let kind = kind.map_or("A", |(kind, _)| *kind);
        kinds.push(kind);
        let name = name_of(i, kind);
        let _ = match kind {
            "A" => writeln!(text, "{name} A 10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255),
            "AAAA" => writeln!(text, "{name} AAAA 2001:db8::{:x}:{:x}", i >> 16, i & 65_535),
            "CNAME" => writeln!(text, "{name} CNAME target{}", i % 100),
            "MX" => writeln!(text, "{name} MX 10 target{}", i % 100),
            "TXT" => writeln!(text, "{name} TXT \"v=spf1 include:_spf.{name}.example -all\""),
            _ => writeln!(text, "{name} SRV 10 20 {} target{}", 1024 + i % 60_000, i % 100),
        };
    }
    let path = dir.join(format!("{origin}zone"));
    std::fs::write(&path, text).expect("the bench directory is writable");
    let queries = (0..count)
        .map(|_| {
            let roll = numbers.next(10);
            let i = numbers.next(names);
            let kind = kinds[i];
            match roll {
                0 => query(&format!("nx{}.{origin}", numbers.next(1_000_000)), Rtype::A),
                1 if kind != "CNAME" => query(&format!("{}.{origin}", name_of(i, kind)), Rtype::NS),
                _ => {
                    let qtype = if kind == "CNAME" { "A" } else { kind };
                    let qtype = Rtype::from_text(qtype).expect("a known type");
                    query(&format!("{}.{origin}", name_of(i, kind)), qtype)
                }
            }
        })
        .collect();
    Set { origin, zone: path, queries }
}

fn name_of(i: usize, kind: &str) -> String {
    if kind == "SRV" { format!("_sip._tcp.host{i:07}") } else { format!("host{i:07}") }
}

/// A zone with one wildcard, and questions for `count` different names under it.
pub(crate) fn wildcard(dir: &Path, origin: &'static str, count: usize) -> Set {
    let text = format!(
        "$ORIGIN {origin}\n$TTL 3600\n@ SOA ns1.{origin} host.{origin} 1 3600 600 86400 3600\n\
         @ NS ns1.{origin}\nns1 A 127.0.0.1\n* A 192.0.2.1\n"
    );
    let path = dir.join(format!("{origin}zone"));
    std::fs::write(&path, text).expect("the bench directory is writable");
    let queries = (0..count).map(|i| query(&format!("u{i:07x}.{origin}"), Rtype::A)).collect();
    Set { origin, zone: path, queries }
}

/// A question without EDNS, recursion desired.
pub(crate) fn query(name: &str, qtype: Rtype) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(Name::from_text(name).expect("a name").as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}
