//! Whether RDATA is what its type asks for, of the types that answering a query reads: addresses, names, and
//! proofs. Other types pass as they came (RFC 3597 section 3): their primary serves the same bytes.

use wire::{Rtype, name};

/// Whether zones have records of the type: neither a question nor an addition to messages (RFC 6895 section
/// 3.1).
#[inline]
pub(crate) fn is_data(rtype: Rtype) -> bool {
    !matches!(rtype.0, 0 | 41 | 128..=255)
}

/// Whether the bytes are RDATA of the type. Names are written out.
#[inline]
pub(crate) fn is_sound(rtype: Rtype, rdata: &[u8]) -> bool {
    match rtype {
        Rtype::A => rdata.len() == 4,
        Rtype::AAAA => rdata.len() == 16,
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME => is_name(rdata, 0),
        Rtype::MX => is_name(rdata, 2),
        Rtype::SVCB | Rtype::HTTPS => rdata.get(2..).and_then(after_name).is_some(),
        Rtype::SRV => is_name(rdata, 6),
        Rtype::TXT => is_strings(rdata),
        Rtype::SOA => name::wire_len(rdata)
            .and_then(|len| rdata.get(len..))
            .and_then(|rest| rest.get(name::wire_len(rest)?..))
            .is_some_and(|numbers| numbers.len() == 20),
        Rtype::DS | Rtype::DNSKEY => rdata.len() > 4,
        Rtype::RRSIG => rdata.get(18..).and_then(after_name).is_some_and(|key| !key.is_empty()),
        Rtype::NSEC => after_name(rdata).is_some_and(is_bitmap),
        Rtype::NSEC3 => is_nsec3(rdata),
        Rtype::NSEC3PARAM => counted(rdata, 4) == Some(rdata.len()),
        _ => true,
    }
}

fn after_name(rdata: &[u8]) -> Option<&[u8]> {
    rdata.get(name::wire_len(rdata)?..)
}

/// Whether a name fills the RDATA from `at` on.
#[inline]
fn is_name(rdata: &[u8], at: usize) -> bool {
    rdata.get(at..).and_then(after_name).is_some_and(<[u8]>::is_empty)
}

/// One or more character strings (RFC 1035 section 3.3).
#[inline]
fn is_strings(rdata: &[u8]) -> bool {
    let mut at = 0;
    while let Some(len) = rdata.get(at) {
        at += 1 + usize::from(*len);
    }
    at == rdata.len() && at > 0
}

/// A type bitmap (RFC 4034 section 4.1.2): blocks in ascending order, of 1 to 32 octets.
fn is_bitmap(bitmap: &[u8]) -> bool {
    let mut rest = bitmap;
    let mut last = None;
    while let Some((&[block, len], after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(len);
        if last.is_some_and(|last| block <= last) || !(1..=32).contains(&len) || after.len() < len {
            return false;
        }
        last = Some(block);
        rest = &after[len..];
    }
    rest.is_empty()
}

/// Where the octets that a length octet at `at` counts end.
fn counted(rdata: &[u8], at: usize) -> Option<usize> {
    let end = at + 1 + usize::from(*rdata.get(at)?);
    (end <= rdata.len()).then_some(end)
}

/// RFC 5155 section 3.2: numbers, salt, hash, bitmap.
fn is_nsec3(rdata: &[u8]) -> bool {
    let Some(hash_at) = counted(rdata, 4) else { return false };
    let Some(bitmap_at) = counted(rdata, hash_at) else { return false };
    bitmap_at > hash_at + 1 && is_bitmap(&rdata[bitmap_at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zone::master::rdata_is_valid;

    const CHECKED: [Rtype; 17] = [
        Rtype::A,
        Rtype::AAAA,
        Rtype::NS,
        Rtype::CNAME,
        Rtype::PTR,
        Rtype::DNAME,
        Rtype::MX,
        Rtype::SRV,
        Rtype::TXT,
        Rtype::SOA,
        Rtype::DS,
        Rtype::DNSKEY,
        Rtype::RRSIG,
        Rtype::NSEC,
        Rtype::NSEC3,
        Rtype::NSEC3PARAM,
        Rtype::HTTPS,
    ];

    /// Octets that are RDATA of some type now and then: short labels and counts.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        let small = prop_oneof![4 => 0..3u8, 1 => any::<u8>()];
        prop_oneof![
            proptest::collection::vec(small, 0..40),
            (proptest::collection::vec(any::<u8>(), 0..20), 0..4u8).prop_map(|(mut head, tail)| {
                head.extend_from_slice(b"\x01a\x00");
                head.extend(std::iter::repeat_n(1, usize::from(tail)));
                head
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_a_master_file_may_have_is_sound(rdata in octets(), of in 0..CHECKED.len()) {
            let rtype = CHECKED[of];
            let (ours, theirs) = (is_sound(rtype, &rdata), rdata_is_valid(rtype, &rdata));
            prop_assert!(ours || !theirs, "{rtype} {rdata:?}");
            // Of these the table of master files asks for more: values, not only places.
            let looser = matches!(
                rtype,
                Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::HTTPS
            );
            prop_assert!(looser || ours == theirs, "{rtype} {rdata:?}");
        }
    }

    #[test]
    fn types_of_messages_are_no_data() {
        for rtype in [Rtype::OPT, Rtype::TSIG, Rtype::AXFR, Rtype::ANY, Rtype(0)] {
            assert!(!is_data(rtype), "{rtype}");
        }
        assert!(is_data(Rtype::A) && is_data(Rtype(65280)) && is_data(Rtype::CAA));
    }
}
