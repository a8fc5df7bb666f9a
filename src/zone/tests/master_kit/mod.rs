//! Names and RDATA of every type in presentation form, for property tests.

#![allow(dead_code, reason = "not every test uses all of it")]

use proptest::collection::vec;
use proptest::prelude::*;
use wire::{Name, Rtype};

pub(crate) fn origin() -> Name {
    Name::from_text("example.org.").unwrap()
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_-]{1,12}", "[a-zA-Z]{1,63}", Just("a\\.b".into()), Just("\\007x".into())]
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("@".into()),
        Just(".".into()),
        label(),
        vec(label(), 1..4).prop_map(|labels| labels.join(".")),
        vec(label(), 1..4).prop_map(|labels| labels.join(".") + "."),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9=_]{1,40}",
        "[ -!#-\\[\\]-~]{0,60}".prop_map(|text| format!("\"{text}\"")),
        vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let inside: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
            format!("\"{inside}\"")
        }),
    ]
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits(size: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(any::<u8>(), size).prop_map(|bytes| hex(&bytes))
}

fn base64() -> impl Strategy<Value = String> {
    vec("[A-Za-z0-9+/]{4}", 1..20).prop_map(|groups| groups.concat())
}

fn types() -> impl Strategy<Value = String> {
    vec(any::<u16>(), 0..12).prop_map(|types| {
        types.iter().map(|&number| Rtype(number).to_string()).collect::<Vec<_>>().join(" ")
    })
}

/// A type and RDATA of it in presentation form.
pub(crate) fn rdata() -> impl Strategy<Value = (Rtype, String)> {
    let v4 = || any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    let v6 = || any::<[u8; 16]>().prop_map(|octets| std::net::Ipv6Addr::from(octets).to_string());
    let of = |rtype: Rtype| move |text: String| (rtype, text);
    let soa = (name(), name(), any::<u32>(), any::<[u16; 4]>());
    prop_oneof![
        v4().prop_map(of(Rtype::A)),
        v6().prop_map(of(Rtype::AAAA)),
        name().prop_map(of(Rtype::CNAME)),
        (any::<u16>(), name()).prop_map(|(p, n)| (Rtype::MX, format!("{p} {n}"))),
        (any::<[u16; 3]>(), name())
            .prop_map(|([a, b, c], n)| (Rtype::SRV, format!("{a} {b} {c} {n}"))),
        vec(string(), 1..5).prop_map(|strings| (Rtype::TXT, strings.join(" "))),
        soa.prop_map(|(m, r, serial, [a, b, c, d])| {
            (Rtype::SOA, format!("{m} {r} {serial} {a} {b} {c}m {d}"))
        }),
        (string(), string()).prop_map(|(a, b)| (Rtype::HINFO, format!("{a} {b}"))),
        (any::<u8>(), "[a-z]{1,20}", string())
            .prop_map(|(flags, tag, value)| (Rtype::CAA, format!("{flags} {tag} {value}"))),
        (any::<u16>(), any::<[u8; 2]>(), digits(1..50))
            .prop_map(|(tag, [a, d], hex)| (Rtype::DS, format!("{tag} {a} {d} {hex}"))),
        (any::<u16>(), any::<[u8; 2]>(), base64())
            .prop_map(|(flags, [p, a], key)| (Rtype::DNSKEY, format!("{flags} {p} {a} {key}"))),
        (name(), types()).prop_map(|(next, types)| (Rtype::NSEC, format!("{next} {types}"))),
        (any::<u16>(), digits(1..20), "([0-9A-V]{8}){1,4}", types()).prop_map(
            |(iterations, salt, next, types)| {
                (Rtype::NSEC3, format!("1 0 {iterations} {salt} {next} {types}"))
            }
        ),
        (any::<[u32; 4]>(), any::<[u8; 2]>(), any::<[u16; 2]>(), name(), base64()).prop_map(
            |([ttl, from, to, _], [alg, labels], [covered, tag], signer, key)| {
                // Meta types have no records to sign.
                let covered = Rtype(covered | 0x100);
                (
                    Rtype::RRSIG,
                    format!("{covered} {alg} {labels} {ttl} {to} {from} {tag} {signer} {key}"),
                )
            }
        ),
        (0..90u32, 0..60u32, 0..60_000u32, 0..180u32, -100_000i32..40_000_000).prop_map(
            |(degrees, minutes, seconds, east, altitude)| {
                let seconds = f64::from(seconds) / 1000.0;
                (
                    Rtype::LOC,
                    format!("{degrees} {minutes} {seconds:.3} S {east} E {altitude}m 30m 2000 1m"),
                )
            }
        ),
        (v4(), 0..=32u8, v6(), 0..=128u8)
            .prop_map(|(a, p, b, q)| (Rtype::APL, format!("1:{a}/{p} !2:{b}/{q}"))),
        (name(), any::<u16>(), "[a-z,]{1,10}", v4(), v6(), base64(), any::<u16>()).prop_map(
            |(target, port, path, a, b, ech, key)| {
                (
                    Rtype::HTTPS,
                    format!(
                        "1 {target} port={port} alpn=h2,h3 dohpath=\"/{path}{{?dns}}\" ipv4hint={a},{a} \
                         ipv6hint={b} ech={ech} key{}=\"a b\" mandatory=port,alpn \
                         tls-supported-groups=29,{port} docpath=dns,a\\\\,b pvd ohttp",
                        key.max(12)
                    ),
                )
            }
        ),
        (any::<u8>(), name(), base64())
            .prop_map(|(p, gateway, key)| (Rtype::IPSECKEY, format!("{p} 3 2 {gateway} {key}"))),
        (digits(1..20), base64(), name(), name())
            .prop_map(|(hit, key, a, b)| (Rtype::HIP, format!("2 {hit} {key} {a} {b}"))),
        (v4(), vec(any::<u16>(), 0..6)).prop_map(|(a, ports)| {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            (Rtype::WKS, format!("{a} tcp {}", ports.join(" ")))
        }),
        (any::<u16>(), digits(1..30)).prop_map(|(number, hex)| {
            (Rtype(number | 0xF000), format!("\\# {} {hex}", hex.len() / 2))
        }),
        further_rdata(),
    ]
}

/// Types that few zones have.
fn further_rdata() -> impl Strategy<Value = (Rtype, String)> {
    let host_types = [Rtype::AFSDB, Rtype::RT, Rtype::KX, Rtype::LP];
    let pairs = [Rtype::RP, Rtype::TALINK, Rtype::MINFO];
    let ds = [Rtype::CDS, Rtype::DLV, Rtype::TA];
    let keys = [Rtype::CDNSKEY, Rtype::KEY, Rtype::RKEY];
    let certificates = [Rtype::TLSA, Rtype::SMIMEA];
    let texts = [Rtype::SPF, Rtype::AVC, Rtype::NINFO, Rtype::RESINFO, Rtype::WALLET, Rtype::CLA];
    let blobs = [Rtype::DHCID, Rtype::OPENPGPKEY, Rtype::HHIT, Rtype::BRID];
    let of = proptest::sample::select::<Rtype>;
    let pairs_of_hex = |count: usize| {
        vec(any::<u8>(), count..=count).prop_map(|bytes| {
            bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join("-")
        })
    };
    let locator = || "[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4}";
    prop_oneof![
        (of(host_types.to_vec()), any::<u16>(), name())
            .prop_map(|(rtype, number, name)| (rtype, format!("{number} {name}"))),
        (of(pairs.to_vec()), name(), name()).prop_map(|(rtype, a, b)| (rtype, format!("{a} {b}"))),
        (any::<u16>(), name(), name()).prop_map(|(n, a, b)| (Rtype::PX, format!("{n} {a} {b}"))),
        (of(ds.to_vec()), any::<u16>(), any::<[u8; 2]>(), digits(1..50))
            .prop_map(|(rtype, tag, [a, d], hex)| (rtype, format!("{tag} {a} {d} {hex}"))),
        (of(keys.to_vec()), any::<u16>(), any::<[u8; 2]>(), base64())
            .prop_map(|(rtype, flags, [p, a], key)| (rtype, format!("{flags} {p} {a} {key}"))),
        (of(certificates.to_vec()), any::<[u8; 3]>(), digits(1..50))
            .prop_map(|(rtype, [a, b, c], hex)| (rtype, format!("{a} {b} {c} {hex}"))),
        (any::<[u8; 2]>(), digits(1..40))
            .prop_map(|([a, b], hex)| (Rtype::SSHFP, format!("{a} {b} {hex}"))),
        (of(texts.to_vec()), vec(string(), 1..4))
            .prop_map(|(rtype, strings)| (rtype, strings.join(" "))),
        (of(blobs.to_vec()), base64()),
        (any::<[u16; 2]>(), string(), string(), string(), name())
            .prop_map(|([a, b], x, y, z, n)| (Rtype::NAPTR, format!("{a} {b} {x} {y} {z} {n}"))),
        (any::<[u16; 2]>(), string())
            .prop_map(|([a, b], target)| (Rtype::URI, format!("{a} {b} {target}"))),
        (any::<[u16; 2]>(), any::<u8>(), base64())
            .prop_map(|([kind, tag], a, data)| (Rtype::CERT, format!("{kind} {tag} {a} {data}"))),
        (any::<u32>(), any::<u16>(), types())
            .prop_map(|(serial, flags, types)| (Rtype::CSYNC, format!("{serial} {flags} {types}"))),
        (any::<u32>(), any::<[u8; 2]>(), digits(12..65))
            .prop_map(|(serial, [s, h], hex)| (Rtype::ZONEMD, format!("{serial} {s} {h} {hex}"))),
        (any::<[u16; 2]>(), any::<u8>(), name()).prop_map(|([rtype, port], scheme, target)| {
            (Rtype::DSYNC, format!("{} {scheme} {port} {target}", Rtype(rtype)))
        }),
        (any::<[u8; 2]>(), any::<u16>(), digits(1..20)).prop_map(|([a, f], iterations, salt)| {
            (Rtype::NSEC3PARAM, format!("{a} {f} {iterations} {salt}"))
        }),
        (any::<u8>(), any::<bool>(), name()).prop_map(|(precedence, optional, relay)| {
            (Rtype::AMTRELAY, format!("{precedence} {} 3 {relay}", u8::from(optional)))
        }),
        pairs_of_hex(6).prop_map(|text| (Rtype::EUI48, text)),
        pairs_of_hex(8).prop_map(|text| (Rtype::EUI64, text)),
        (any::<u16>(), locator()).prop_map(|(n, l)| (Rtype::NID, format!("{n} {l}"))),
        (any::<u16>(), locator()).prop_map(|(n, l)| (Rtype::L64, format!("{n} {l}"))),
        (any::<u16>(), any::<[u8; 4]>()).prop_map(|(n, octets)| {
            (Rtype::L32, format!("{n} {}", std::net::Ipv4Addr::from(octets)))
        }),
        (string(), string()).prop_map(|(a, b)| (Rtype::ISDN, format!("{a} {b}"))),
        string().prop_map(|text| (Rtype::X25, text)),
        digits(1..20).prop_map(|hex| (Rtype::NSAP, format!("0x{hex}"))),
        ("-?[0-9]{1,3}\\.[0-9]{1,4}", "[0-9]{1,3}")
            .prop_map(|(a, b)| (Rtype::GPOS, format!("{a} {b} 10.0"))),
        (any::<[u32; 2]>(), any::<u8>(), string(), base64())
            .prop_map(|([a, b], c, s, d)| (Rtype::DOA, format!("{a} {b} {c} {s} {d}"))),
        any::<u32>().prop_map(|number| (Rtype::UID, number.to_string())),
        any::<u64>().prop_map(|number| (Rtype::IPN, number.to_string())),
    ]
}
