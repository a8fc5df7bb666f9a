//! Records between uncompressed wire form and the form in the arena, where names end in pointers to the apex.

use std::borrow::Cow;

use wire::name::{self, NameBuf};
use wire::{Class, Rtype, rdata};

use super::node::{Set, StoredRecord};

/// Writes one record as a reply will carry it if its owner is the name in the question. `base` is the offset
/// of its set in `out`; `fixes` receives the offsets of pointers to the apex.
pub(crate) fn write(
    out: &mut Vec<u8>,
    base: usize,
    fixes: &mut Vec<u16>,
    apex: &[u8],
    (rtype, class, ttl): (Rtype, Class, u32),
    rdata: &[u8],
) {
    out.extend_from_slice(&[0xC0, 12]);
    out.extend_from_slice(&rtype.0.to_be_bytes());
    out.extend_from_slice(&class.0.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    write_rdata(out, base, fixes, apex, rtype, rdata);
    let length = (out.len() - length_at - 2) as u16;
    out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
}

fn write_rdata(
    out: &mut Vec<u8>,
    base: usize,
    fixes: &mut Vec<u16>,
    apex: &[u8],
    rtype: Rtype,
    rdata: &[u8],
) {
    let names = rdata::layout(rtype).filter(|layout| layout.compress && apex.len() > 1);
    let Some((layout, mut at)) =
        names.and_then(|layout| Some((layout, layout.first_name(rdata, 0, rdata.len()).ok()?)))
    else {
        out.extend_from_slice(rdata);
        return;
    };
    out.extend_from_slice(&rdata[..at]);
    for _ in 0..layout.names {
        let Some(len) = rdata.get(at..).and_then(name::wire_len) else {
            break;
        };
        let full = &rdata[at..at + len];
        let own = len.saturating_sub(apex.len());
        match u16::try_from(out.len() + own - base) {
            Ok(place) if name::is_under(full, apex) => {
                out.extend_from_slice(&full[..own]);
                out.extend_from_slice(&[0xC0, 0]);
                fixes.push(place);
            }
            _ => out.extend_from_slice(full),
        }
        at += len;
    }
    out.extend_from_slice(&rdata[at..]);
}

/// Appends the uncompressed RDATA of a stored record to `into`.
pub(crate) fn expand(set: Set<'_>, record: StoredRecord<'_>, apex: &[u8], into: &mut Vec<u8>) {
    let start = record.start + super::node::FIXED;
    let end = start + record.rdata.len();
    let mut from = start;
    for fix in set.fixes_between(start, end) {
        into.extend_from_slice(&set.bytes[from..fix]);
        into.extend_from_slice(apex);
        from = fix + 2;
    }
    into.extend_from_slice(&set.bytes[from..end]);
}

/// RDATA with its names in lower case: equal for exactly those RDATA that [`same_rdata`] takes for equal.
pub(crate) fn folded(rtype: Rtype, rdata: &[u8]) -> Cow<'_, [u8]> {
    let Some(layout) = rdata::layout(rtype) else {
        return Cow::Borrowed(rdata);
    };
    let Ok(first) = layout.first_name(rdata, 0, rdata.len()) else {
        return Cow::Borrowed(rdata);
    };
    let mut out = rdata.to_vec();
    let mut at = first;
    for _ in 0..layout.names {
        let Some(len) = rdata.get(at..).and_then(name::wire_len) else {
            return Cow::Borrowed(rdata);
        };
        out[at..at + len].make_ascii_lowercase();
        at += len;
    }
    Cow::Owned(out)
}

/// Whether two RDATA are equal; only the case of names is ignored.
pub(crate) fn same_rdata(rtype: Rtype, a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let Some(layout) = rdata::layout(rtype) else {
        return false;
    };
    if a.len() != b.len() {
        return false;
    }
    let (Ok(mut at), Ok(other)) =
        (layout.first_name(a, 0, a.len()), layout.first_name(b, 0, b.len()))
    else {
        return false;
    };
    if at != other || a[..at] != b[..at] {
        return false;
    }
    for _ in 0..layout.names {
        let Some(len) = a.get(at..).and_then(name::wire_len) else {
            return false;
        };
        if b.get(at..).and_then(name::wire_len) != Some(len)
            || !name::eq(&a[at..at + len], &b[at..at + len])
        {
            return false;
        }
        at += len;
    }
    a[at..] == b[at..]
}

/// The name in stored RDATA at `at` of `rdata`, lower-cased and relative to the apex, if it is in
/// the zone.
#[inline]
pub(crate) fn target<'b>(
    rdata: &[u8],
    at: usize,
    apex: &[u8],
    buf: &'b mut [u8; name::MAX_NAME + 1],
) -> Option<&'b [u8]> {
    let mut end = at;
    loop {
        let len = usize::from(*rdata.get(end)?);
        if len >= 0xC0 {
            break;
        }
        if len == 0 {
            let full = rdata.get(at..=end)?;
            if !name::is_under(full, apex) {
                return None;
            }
            end = at + full.len() - apex.len();
            break;
        }
        end += 1 + len;
    }
    let own = rdata.get(at..end)?;
    let into = buf.get_mut(..own.len())?;
    for (to, from) in into.iter_mut().zip(own) {
        *to = from.to_ascii_lowercase();
    }
    Some(into)
}

/// The whole name in stored RDATA at `at`; a pointer there means the apex.
pub(crate) fn full_name(rdata: &[u8], at: usize, apex: &[u8], into: &mut NameBuf) {
    into.clear();
    let mut here = at;
    while let Some(&len) = rdata.get(here) {
        let end = here + 1 + usize::from(len);
        let fits = match len {
            0 => into.push_root().is_ok(),
            0xC0.. => into.push_name(apex).is_ok(),
            _ => rdata.get(here + 1..end).is_some_and(|label| into.push_label(label).is_ok()),
        };
        if !fits || len == 0 || len >= 0xC0 {
            return;
        }
        here = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;

    #[test]
    fn equal_rdata_ignores_case_in_names_only() {
        let mx = |pref: u8, text: &str| {
            let mut rdata = vec![0, pref];
            rdata.extend_from_slice(Name::from_text(text).unwrap().as_wire());
            rdata
        };
        assert!(same_rdata(Rtype::MX, &mx(65, "A.example."), &mx(65, "a.example.")));
        assert!(!same_rdata(Rtype::MX, &mx(65, "a.example."), &mx(97, "a.example.")));
        assert!(!same_rdata(Rtype::TXT, b"\x01a", b"\x01A"));
        assert_eq!(folded(Rtype::MX, &mx(65, "A.example.")), mx(65, "a.example."));
        assert_ne!(folded(Rtype::MX, &mx(65, "a.")), folded(Rtype::MX, &mx(97, "a.")));
        assert_eq!(
            folded(Rtype::MX, b"\0A\x05A"),
            &b"\0A\x05A"[..],
            "what is no name stays as it is"
        );
    }

    #[test]
    fn targets_are_relative_and_folded() {
        let apex = Name::from_text("example.").unwrap();
        let mut buf = [0; 256];
        let out = Name::from_text("a.other.").unwrap();
        assert_eq!(target(out.as_wire(), 0, apex.as_wire(), &mut buf), None);
        let plain = Name::from_text("Mail.Example.").unwrap();
        assert_eq!(target(plain.as_wire(), 0, apex.as_wire(), &mut buf), Some(&b"\x04mail"[..]));
        assert_eq!(
            target(b"\x00\x0A\x01B\xC0\x00", 2, apex.as_wire(), &mut buf),
            Some(&b"\x01b"[..])
        );
    }
}
