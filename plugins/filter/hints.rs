//! Removes address hints from SVCB and HTTPS records (RFC 9460).

use wire::typed::{self, RData, SvcParamKey, SvcParamValue};
use wire::{Rtype, name};

const MANDATORY: u16 = 0;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// The key of the hints with addresses of this type.
fn key_of(rtype: Rtype) -> u16 {
    if rtype == Rtype::A { IPV4_HINT } else { IPV6_HINT }
}

/// Whether this RDATA (names uncompressed) has hints with addresses of this type.
pub(super) fn has(rdata: &[u8], rtype: Rtype) -> bool {
    parameters(rdata).any(|(key, _)| key == key_of(rtype))
}

/// Removes the hints with addresses of this type from the RDATA, and from its mandatory keys.
///
/// Malformed RDATA stays: a client rejects the whole RRset (RFC 9460 section 2.2).
pub(super) fn strip(rdata: &mut Vec<u8>, rtype: Rtype) {
    let hint = key_of(rtype);
    let names_hint = |(key, value): (u16, &[u8])| {
        key == MANDATORY && value.chunks(2).any(|named| named == hint.to_be_bytes())
    };
    if parameters(rdata).any(names_hint) {
        return strip_mandatory(rdata, hint);
    }
    let Some(mut from) = parameters_at(rdata) else { return };
    let mut to = from;
    while let Some((key, value)) = Parameters(&rdata[from..]).next() {
        let end = from + 4 + value.len();
        if key != hint {
            rdata.copy_within(from..end, to);
            to += end - from;
        }
        from = end;
    }
    rdata.truncate(to);
}

/// The same where the list of mandatory keys changes too: rare, and easier with typed parameters.
#[cold]
fn strip_mandatory(rdata: &mut Vec<u8>, hint: u16) {
    let hint = SvcParamKey::from(hint);
    // HTTPS records have the format of SVCB records.
    let _ = typed::edit(Rtype::SVCB, rdata, |data| {
        let RData::SVCB(service) = data else { return };
        service.svc_params.retain_mut(|(key, value)| match value {
            SvcParamValue::Mandatory(mandatory) => {
                mandatory.0.retain(|named| *named != hint);
                // An empty list is malformed (RFC 9460 section 8).
                !mandatory.0.is_empty()
            }
            _ => *key != hint,
        });
    });
}

/// Where the parameters start: behind the priority and the target name.
fn parameters_at(rdata: &[u8]) -> Option<usize> {
    let target = rdata.get(2..)?;
    let at = 2 + name::wire_len(target)?;
    // Malformed parameters are left unchanged.
    let whole: usize = Parameters(&rdata[at..]).map(|(_, value)| 4 + value.len()).sum();
    (at + whole == rdata.len()).then_some(at)
}

fn parameters(rdata: &[u8]) -> Parameters<'_> {
    Parameters(parameters_at(rdata).map_or(&[], |at| &rdata[at..]))
}

/// Keys and values.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &[a, b, c, d, ref rest @ ..] = self.0 else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
        self.0 = rest;
        Some((u16::from_be_bytes([a, b]), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;
    use zone::master::{rdata_from_text, rdata_to_text};

    fn stripped(text: &str, rtype: Rtype) -> String {
        let mut rdata = rdata_from_text(Rtype::HTTPS, text, &Name::root()).unwrap();
        strip(&mut rdata, rtype);
        assert!(!has(&rdata, rtype));
        rdata_to_text(Rtype::HTTPS, &rdata).replace('"', "")
    }

    #[test]
    fn hints_are_removed_and_the_rest_stays() {
        let both = "1 a. alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1";
        assert_eq!(stripped(both, Rtype::AAAA), "1 a. alpn=h2 ipv4hint=192.0.2.1");
        assert_eq!(stripped(both, Rtype::A), "1 a. alpn=h2 ipv6hint=2001:db8::1");
        let only = "1 . mandatory=ipv6hint ipv6hint=2001:db8::1";
        assert_eq!(stripped(only, Rtype::AAAA), "1 .");
        let more = "1 . mandatory=alpn,ipv6hint alpn=h3 ipv6hint=2001:db8::1";
        assert_eq!(stripped(more, Rtype::AAAA), "1 . mandatory=alpn alpn=h3");
        let unknown = "1 Web.Example. port=8443 ipv6hint=2001:db8::1 key7=x key65300=y";
        let left = "1 Web.Example. port=8443 key7=x key65300=y";
        assert_eq!(stripped(unknown, Rtype::AAAA), left);
        assert_eq!(stripped("0 a.", Rtype::AAAA), "0 a.");
    }

    #[test]
    fn malformed_rdata_stays() {
        for odd in [&b""[..], b"\0\x01", b"\0\x01\x05a", b"\0\x01\0\0\x06\0\x10x", b"\0\x01\0\0"] {
            let mut rdata = odd.to_vec();
            strip(&mut rdata, Rtype::AAAA);
            assert_eq!(rdata, odd);
        }
    }
}
