//! Statements: who writes them for one owner, and who reads them again.

use wire::Rtype;
use wire::name::NameBuf;

use super::names::{Label, Written, checked, number, push_number, read_name, skip_name};
use super::suffixes::Suffixes;

const LAST: u8 = 0x80;
/// The TTL follows.
const WRITTEN_TTL: u8 = 15;
/// The types that have a number, which is their place here.
const TYPES: [Rtype; 7] =
    [Rtype::A, Rtype::AAAA, Rtype::SRV, Rtype::PTR, Rtype::CNAME, Rtype::TXT, Rtype::NS];
const OTHER: u8 = 7;

/// What packed statements refer to.
#[derive(Default)]
pub(crate) struct Dictionary {
    pub(crate) suffixes: Suffixes,
    /// The first TTLs that came have numbers.
    ttls: Vec<u32>,
}

impl Dictionary {
    fn ttl_number(&mut self, ttl: u32) -> u8 {
        if let Some(number) = self.ttls.iter().position(|&known| known == ttl) {
            return number as u8;
        }
        if self.ttls.len() < usize::from(WRITTEN_TTL) {
            self.ttls.push(ttl);
            return self.ttls.len() as u8 - 1;
        }
        WRITTEN_TTL
    }
}

/// Writes the statements of one owner.
#[derive(Default)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    names: Written,
    /// The owner name of the current group.
    owner: NameBuf,
    /// Where the last statement begins.
    last: usize,
}

impl Packer {
    /// Adds a record. `owner` is in lower case; names in `rdata` are valid and uncompressed.
    pub(crate) fn push(
        &mut self,
        dictionary: &mut Dictionary,
        owner: &[u8],
        (rtype, ttl): (Rtype, u32),
        rdata: &[u8],
    ) {
        if self.bytes.is_empty() || self.owner.as_wire() != owner {
            self.owner.clear();
            checked(self.owner.push_name(owner));
            self.names.push(&mut dictionary.suffixes, &mut self.bytes, owner);
        } else {
            self.bytes[self.last] &= !LAST;
        }
        self.last = self.bytes.len();
        let number = TYPES.iter().position(|&known| known == rtype).map_or(OTHER, |at| at as u8);
        let ttl_number = dictionary.ttl_number(ttl);
        self.bytes.push(LAST | number << 4 | ttl_number);
        if ttl_number == WRITTEN_TTL {
            self.bytes.extend_from_slice(&ttl.to_le_bytes());
        }
        match rtype {
            Rtype::A | Rtype::AAAA => self.bytes.extend_from_slice(rdata),
            Rtype::SRV => {
                self.bytes.extend_from_slice(&rdata[..6]);
                self.names.push(&mut dictionary.suffixes, &mut self.bytes, &rdata[6..]);
            }
            Rtype::PTR | Rtype::CNAME | Rtype::NS => {
                self.names.push(&mut dictionary.suffixes, &mut self.bytes, rdata);
            }
            _ => {
                if rtype != Rtype::TXT {
                    self.bytes.extend_from_slice(&rtype.0.to_le_bytes());
                }
                push_number(&mut self.bytes, rdata.len() as u32);
                self.bytes.extend_from_slice(rdata);
            }
        }
    }

    /// The statements so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins again. Whoever keeps the bytes keeps their uses of suffixes, too.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        // A large owner must not leave its buffer behind.
        self.bytes.shrink_to(64 << 10);
    }
}

/// Takes back the uses of suffixes that statements have.
pub(crate) fn release(suffixes: &mut Suffixes, groups: &[u8]) {
    let mut at = 0;
    let mut name = |mut at: usize| {
        while let Some(label) = Label::read(groups, at) {
            match label.suffix {
                Some(suffix) => {
                    suffixes.release(suffix);
                    return label.end;
                }
                None => at = label.end,
            }
        }
        skip_name(groups, at)
    };
    while at < groups.len() {
        at = name(at);
        loop {
            let head = Head::read(groups, at);
            at = match head.rtype {
                Rtype::SRV => name(head.rdata + 6),
                Rtype::PTR | Rtype::CNAME | Rtype::NS => name(head.rdata),
                _ => head.end(groups),
            };
            if head.last {
                break;
            }
        }
    }
}

/// The places of the groups.
pub(crate) fn groups(groups: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let group = (at < groups.len()).then_some(at)?;
        at = skip_name(groups, at);
        loop {
            let head = Head::read(groups, at);
            at = head.end(groups);
            if head.last {
                return Some(group);
            }
        }
    })
}

/// One statement of a group, without its RDATA.
pub(crate) struct Head {
    pub(crate) rtype: Rtype,
    ttl: u8,
    ttl_at: usize,
    /// Where the RDATA begins; of types without a form of their own, the length before it.
    rdata: usize,
    /// Whether it is the last one of its group.
    pub(crate) last: bool,
}

impl Head {
    /// Reads the statement at a place.
    pub(crate) fn read(bytes: &[u8], at: usize) -> Self {
        let head = bytes[at];
        let ttl = head & 15;
        let ttl_at = at + 1;
        let mut rdata = if ttl == WRITTEN_TTL { ttl_at + 4 } else { ttl_at };
        let number = usize::from(head >> 4 & 7);
        let rtype = TYPES.get(number).copied().unwrap_or_else(|| {
            rdata += 2;
            Rtype(u16::from_le_bytes([bytes[rdata - 2], bytes[rdata - 1]]))
        });
        Self { rtype, ttl, ttl_at, rdata, last: head & LAST != 0 }
    }

    /// Where the statement ends.
    pub(crate) fn end(&self, bytes: &[u8]) -> usize {
        match self.rtype {
            Rtype::A => self.rdata + 4,
            Rtype::AAAA => self.rdata + 16,
            Rtype::SRV => skip_name(bytes, self.rdata + 6),
            Rtype::PTR | Rtype::CNAME | Rtype::NS => skip_name(bytes, self.rdata),
            _ => {
                let (len, start) = number(bytes, self.rdata);
                start + len as usize
            }
        }
    }

    /// The TTL in seconds.
    pub(crate) fn ttl(&self, dictionary: &Dictionary, bytes: &[u8]) -> u32 {
        match dictionary.ttls.get(usize::from(self.ttl)) {
            Some(&ttl) => ttl,
            None => {
                let four = bytes[self.ttl_at..].first_chunk();
                four.map_or(0, |four| u32::from_le_bytes(*four))
            }
        }
    }

    /// Appends the uncompressed RDATA. Returns where the statement ends.
    pub(crate) fn read_rdata(
        &self,
        suffixes: &Suffixes,
        bytes: &[u8],
        into: &mut Vec<u8>,
    ) -> usize {
        let (fixed, named) = match self.rtype {
            Rtype::A => (4, false),
            Rtype::AAAA => (16, false),
            Rtype::SRV => (6, true),
            Rtype::PTR | Rtype::CNAME | Rtype::NS => (0, true),
            _ => {
                let (len, start) = number(bytes, self.rdata);
                let end = start + len as usize;
                into.extend_from_slice(&bytes[start..end]);
                return end;
            }
        };
        let end = self.rdata + fixed;
        into.extend_from_slice(&bytes[self.rdata..end]);
        if !named {
            return end;
        }
        let mut name = NameBuf::new();
        let end = read_name(suffixes, bytes, end, &mut name);
        into.extend_from_slice(name.as_wire());
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Name, hash};

    use super::super::names::name_hash;
    use super::*;

    /// What is packed and what is read again: names and statements.
    type Said = Vec<(Name, Rtype, u32, Vec<u8>)>;

    fn read(dictionary: &Dictionary, bytes: &[u8]) -> Said {
        let mut said = Said::new();
        let mut name = NameBuf::new();
        for group in groups(bytes) {
            let mut at = read_name(&dictionary.suffixes, bytes, group, &mut name);
            assert_eq!(at, skip_name(bytes, group));
            let hash = name_hash(&dictionary.suffixes, bytes, group);
            assert_eq!(hash, hash::name(name.as_wire()));
            loop {
                let head = Head::read(bytes, at);
                let mut rdata = Vec::new();
                let end = head.read_rdata(&dictionary.suffixes, bytes, &mut rdata);
                assert_eq!(end, head.end(bytes));
                said.push((name.to_name(), head.rtype, head.ttl(dictionary, bytes), rdata));
                at = end;
                if head.last {
                    break;
                }
            }
        }
        said
    }

    fn some_name() -> impl Strategy<Value = Name> {
        let label = prop_oneof![
            Just("a"),
            Just("B"),
            Just("_http"),
            Just("_tcp"),
            Just("10-0-255-1"),
            Just("1-2-3-256"),
            Just("01-2-3-4"),
            Just("255"),
            Just("256"),
            Just("0"),
            Just("00"),
            Just("f"),
            Just("-"),
        ];
        let end = prop_oneof![
            Just("."),
            Just(".test."),
            Just(".1.2.3.in-addr.arpa."),
            Just(".IN-ADDR.arpa."),
            Just(".0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."),
        ];
        (prop::collection::vec(label, 0..4), end).prop_map(|(labels, end)| {
            let text = format!("{}{end}", labels.join("."));
            let text = if labels.is_empty() { &end[end.len().min(1)..] } else { &text };
            Name::from_text(if text.is_empty() { "." } else { text }).unwrap()
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_again(
            records in prop::collection::vec((some_name(), some_name(), 0u8..5, 0u32..40), 0..60),
            filler in 0usize..3,
        ) {
            let (mut dictionary, mut packer) = (Dictionary::default(), Packer::default());
            let mut said = Said::new();
            for (number, (owner, target, kind, ttl)) in records.into_iter().enumerate() {
                let target = target.as_wire();
                let (rtype, rdata) = match kind {
                    0 => (Rtype::A, vec![1, 2, 3, number as u8]),
                    1 => (Rtype::AAAA, vec![number as u8; 16]),
                    2 => (Rtype::SRV, [&[1, 2, 3, 4, 5, 6], target].concat()),
                    3 => (Rtype::PTR, target.to_vec()),
                    // Enough to make names too far away to refer to.
                    _ => (Rtype(700), vec![7; filler * 6_000]),
                };
                packer.push(&mut dictionary, owner.to_lower().as_wire(), (rtype, ttl), &rdata);
                said.push((owner.to_lower(), rtype, ttl, rdata));
            }
            prop_assert_eq!(read(&dictionary, packer.bytes()), said);
            release(&mut dictionary.suffixes, packer.bytes());
            prop_assert_eq!(dictionary.suffixes.len(), 0);
        }
    }

    #[test]
    fn an_endpoint_takes_few_octets() {
        let (mut dictionary, mut packer) = (Dictionary::default(), Packer::default());
        let host = wire::name!("10-128-1-23.svc-1.ns-1.svc.cluster.local.");
        packer.push(&mut dictionary, host, (Rtype::A, 5), &[10, 128, 1, 23]);
        packer.push(
            &mut dictionary,
            wire::name!("23.1.128.10.in-addr.arpa."),
            (Rtype::PTR, 5),
            host,
        );
        // 6 for the name and 5 for its address; 5 for the reverse name and 3 for its pointer.
        assert_eq!(packer.bytes().len(), 6 + 5 + 5 + 3);
    }
}
