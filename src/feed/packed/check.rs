//! What is asked of names and RDATA before they are packed.

use wire::name;
use wire::{Name, Rtype};

/// Whether RDATA has the form of its type, as far as packing and answering depend on it.
pub(crate) fn is_valid(rtype: Rtype, rdata: &[u8]) -> bool {
    if rdata.len() > usize::from(u16::MAX) {
        return false;
    }
    match rtype {
        Rtype::A => return rdata.len() == 4,
        Rtype::AAAA => return rdata.len() == 16,
        Rtype::TXT => return is_strings(rdata),
        _ => {}
    }
    let Some(layout) = wire::rdata::layout(rtype) else {
        return true;
    };
    let Ok(mut at) = layout.first_name(rdata, 0, rdata.len()) else {
        return false;
    };
    for _ in 0..layout.names {
        match rdata.get(at..).and_then(name::wire_len) {
            Some(len) => at += len,
            None => return false,
        }
    }
    let left = rdata.len() - at;
    match rtype {
        Rtype::SOA => left == 20,
        Rtype::SVCB | Rtype::HTTPS => true,
        _ => left == 0,
    }
}

/// Whether these are character strings, at least one (RFC 1035 section 3.3.14).
fn is_strings(mut rdata: &[u8]) -> bool {
    loop {
        let Some((&len, rest)) = rdata.split_first() else {
            return false;
        };
        match rest.get(usize::from(len)..) {
            Some([]) => return true,
            Some(rest) => rdata = rest,
            None => return false,
        }
    }
}

/// Lower-cases the names in RDATA, so that equal RDATA has equal octets.
pub(crate) fn fold(rtype: Rtype, rdata: &mut [u8]) {
    let Some(layout) = wire::rdata::layout(rtype) else {
        return;
    };
    let Ok(mut at) = layout.first_name(rdata, 0, rdata.len()) else {
        return;
    };
    for _ in 0..layout.names {
        let Some(len) = rdata.get(at..).and_then(name::wire_len) else {
            return;
        };
        rdata[at..at + len].make_ascii_lowercase();
        at += len;
    }
}

/// The owned form of a name that was checked.
pub(crate) fn to_name(wire: &[u8]) -> Name {
    Name::from_wire(wire).unwrap_or_else(|_| Name::root())
}
