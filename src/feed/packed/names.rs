//! Names among packed statements.

use wire::hash;
use wire::name::{NameBuf, NameError};

use super::addresses::{self, HEX, IN_ADDR, IP6};
use super::suffixes::Suffixes;

const BACK: u8 = 0x80;
const DASHED: u8 = 0x40;
const REVERSE4: u8 = 0x41;
const REVERSE6: u8 = 0x42;
const MAX_BACK: usize = 0x7FFF;
/// The last of so many names are looked through for one that is equal.
const WINDOW: usize = 256;

/// The names that are written out among the statements of one owner.
#[derive(Default)]
pub(super) struct Written {
    /// A tag of each, and its place.
    tags: Vec<u32>,
    places: Vec<u32>,
}

impl Written {
    /// Appends a name.
    pub(super) fn push(&mut self, suffixes: &mut Suffixes, bytes: &mut Vec<u8>, name: &[u8]) {
        let here = bytes.len();
        let tag = tag(name);
        let from = self.tags.len().saturating_sub(WINDOW);
        if let Some(found) = self.tags[from..].iter().rposition(|&known| known == tag) {
            let place = self.places[from + found] as usize;
            let mut known = NameBuf::new();
            read_name(suffixes, bytes, place, &mut known);
            if here - place <= MAX_BACK && known.as_wire() == name {
                let back = (here - place) as u16 | u16::from(BACK) << 8;
                return bytes.extend_from_slice(&back.to_be_bytes());
            }
        }
        self.tags.push(tag);
        self.places.push(here as u32);
        if let Some(octets) = addresses::reverse4(name) {
            bytes.push(REVERSE4);
            bytes.extend_from_slice(&octets);
        } else if let Some(octets) = addresses::reverse6(name) {
            bytes.push(REVERSE6);
            bytes.extend_from_slice(&octets);
        } else {
            self.push_labels(suffixes, bytes, name);
        }
    }

    /// Appends a name as its first label and the rest.
    fn push_labels(&mut self, suffixes: &mut Suffixes, bytes: &mut Vec<u8>, name: &[u8]) {
        let (label, rest) = name.split_at(usize::from(name[0]) + 1);
        if let Some(octets) = addresses::dashed(&label[1..]) {
            bytes.push(DASHED);
            bytes.extend_from_slice(&octets);
        } else {
            bytes.extend_from_slice(label);
        }
        if label.get(1) == Some(&b'_') {
            // A port or protocol (RFC 2782) of a name that most likely stands here, too.
            bytes.push(0);
            self.push(suffixes, bytes, rest);
        } else if !rest.is_empty() {
            push_number(bytes, suffixes.intern(rest) + 1);
        }
    }

    pub(super) fn clear(&mut self) {
        self.tags.clear();
        self.places.clear();
        // A large owner must not leave its buffer behind.
        self.tags.shrink_to(16 << 10);
        self.places.shrink_to(16 << 10);
    }
}

/// The hash of the name at a place.
pub(crate) fn name_hash(suffixes: &Suffixes, groups: &[u8], at: usize) -> u64 {
    let code = groups[at];
    if code & BACK != 0 {
        return name_hash(suffixes, groups, at - back(groups, at));
    }
    if let Some(label) = Label::read(groups, at) {
        let rest = match label.suffix {
            Some(suffix) => suffixes.hash(suffix),
            None => name_hash(suffixes, groups, label.end),
        };
        return hash::child(rest, label.text(groups, at, &mut [0; 15]));
    }
    let mut name = NameBuf::new();
    read_name(suffixes, groups, at, &mut name);
    hash::name(name.as_wire())
}

/// Reads the name at a place. Returns where the octets behind it begin.
pub(crate) fn read_name(suffixes: &Suffixes, bytes: &[u8], at: usize, into: &mut NameBuf) -> usize {
    into.clear();
    let mut here = at;
    while let Some(label) = Label::read(bytes, here) {
        checked(into.push_label(label.text(bytes, here, &mut [0; 15])));
        if let Some(suffix) = label.suffix {
            checked(into.push_name(suffixes.name(suffix)));
            return label.end;
        }
        here = label.end;
    }
    match bytes[here] {
        BACK.. => {
            let mut rest = NameBuf::new();
            read_name(suffixes, bytes, here - back(bytes, here), &mut rest);
            checked(into.push_name(rest.as_wire()));
        }
        REVERSE4 => {
            let mut text = [0; 3];
            for &octet in &bytes[here + 1..here + 5] {
                checked(into.push_label(addresses::decimal(octet, &mut text)));
            }
            checked(into.push_name(IN_ADDR));
        }
        REVERSE6 => {
            for &octet in &bytes[here + 1..here + 17] {
                for nibble in [octet & 15, octet >> 4] {
                    checked(into.push_label(&[HEX[usize::from(nibble)]]));
                }
            }
            checked(into.push_name(IP6));
        }
        _ => checked(into.push_root()),
    }
    skip_name(bytes, here)
}

/// A label that is written out.
pub(super) struct Label {
    /// The number of the suffix behind it; without one, a name follows.
    pub(super) suffix: Option<u32>,
    /// Where the octets behind it begin.
    pub(super) end: usize,
}

impl Label {
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let text = match bytes[at] {
            len @ 1..DASHED => usize::from(len),
            DASHED => 4,
            _ => return None,
        };
        let (number, end) = number(bytes, at + 1 + text);
        Some(Self { suffix: number.checked_sub(1), end })
    }

    /// The label at a place.
    fn text<'b>(&self, bytes: &'b [u8], at: usize, buffer: &'b mut [u8; 15]) -> &'b [u8] {
        if bytes[at] != DASHED {
            return &bytes[at + 1..at + 1 + usize::from(bytes[at])];
        }
        let mut len = 0;
        let mut text = [0; 3];
        for &octet in &bytes[at + 1..at + 5] {
            let digits = addresses::decimal(octet, &mut text);
            buffer[len..len + digits.len()].copy_from_slice(digits);
            len += digits.len() + 1;
            if let Some(dash) = buffer.get_mut(len - 1) {
                *dash = b'-';
            }
        }
        &buffer[..len - 1]
    }
}

pub(crate) fn skip_name(bytes: &[u8], mut at: usize) -> usize {
    while let Some(label) = Label::read(bytes, at) {
        if label.suffix.is_some() {
            return label.end;
        }
        at = label.end;
    }
    match bytes[at] {
        BACK.. => at + 2,
        REVERSE4 => at + 5,
        REVERSE6 => at + 17,
        _ => at + 1,
    }
}

fn back(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at] & !BACK, bytes[at + 1]]))
}

pub(super) fn push_number(into: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// The number at a place, and where it ends.
pub(crate) fn number(bytes: &[u8], mut at: usize) -> (u32, usize) {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return (number, at);
        }
        shift += 7;
    }
}

/// Names are checked before they are packed.
pub(super) fn checked(pushed: Result<(), NameError>) {
    debug_assert!(pushed.is_ok(), "names are checked before they are packed");
}

/// Tells most names from each other.
fn tag(name: &[u8]) -> u32 {
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut tag = name.len() as u64;
    for word in words.iter().chain([&last]) {
        tag = hash::mix(tag, u64::from_le_bytes(*word));
    }
    tag as u32
}
