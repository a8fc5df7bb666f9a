//! The labels of uncompressed names: walking, comparing and ordering them.

use std::cmp::Ordering;

/// The longest name, its root byte included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label.
pub const MAX_LABEL: usize = 63;

/// The labels of an uncompressed wire name, from the left, the root excluded.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    label_starts(wire).map(move |(at, len)| &wire[at + 1..at + 1 + len])
}

/// Where each label starts (its length byte) and how long it is.
pub fn label_starts(wire: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let len = usize::from(*wire.get(at)?);
        if len == 0 || len > MAX_LABEL || at + 1 + len > wire.len() {
            return None;
        }
        let found = (at, len);
        at += 1 + len;
        Some(found)
    })
}

/// How many labels a wire name has, the root excluded.
pub fn label_count(wire: &[u8]) -> usize {
    label_starts(wire).count()
}

/// The name without its first label; `None` for the root.
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*wire.first()?);
    if len == 0 { None } else { wire.get(1 + len..) }
}

/// Whether two wire names are equal, ignoring case.
#[inline]
pub fn eq(a: &[u8], b: &[u8]) -> bool {
    // Nearly always the case is the same, too, and that is quicker to see.
    a == b || a.eq_ignore_ascii_case(b)
}

/// Whether `name` is `zone` or below it, label by label, ignoring case.
#[inline]
pub fn is_under(name: &[u8], zone: &[u8]) -> bool {
    let Some(skip) = name.len().checked_sub(zone.len()) else { return false };
    if !eq(&name[skip..], zone) {
        return false;
    }
    let mut at = 0;
    while at < skip {
        at += 1 + usize::from(name[at]);
    }
    at == skip
}

/// Canonical order of names (RFC 4034 section 6.1).
pub fn canonical_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let mut a_starts = [0u8; 128];
    let mut b_starts = [0u8; 128];
    let starts = |wire: &[u8], into: &mut [u8; 128]| {
        let mut count = 0;
        for (at, _) in label_starts(wire) {
            into[count] = at as u8;
            count += 1;
        }
        count
    };
    let a_count = starts(a, &mut a_starts);
    let b_count = starts(b, &mut b_starts);
    let label = |wire: &'_ [u8], at: u8| {
        let at = usize::from(at);
        at + 1..at + 1 + usize::from(wire[at])
    };
    for back in 1..=a_count.min(b_count) {
        let x = a[label(a, a_starts[a_count - back])].iter().map(u8::to_ascii_lowercase);
        let y = b[label(b, b_starts[b_count - back])].iter().map(u8::to_ascii_lowercase);
        match x.cmp(y) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    a_count.cmp(&b_count)
}

/// Length of the uncompressed name at the start of `bytes`, root byte included.
#[inline]
pub fn wire_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len == 0 {
            return (at <= MAX_NAME).then_some(at);
        }
        if len > MAX_LABEL || at > MAX_NAME {
            return None;
        }
    }
}
