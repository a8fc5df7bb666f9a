//! Names of which the zone does not tell all that is said: something is said by two owners, with two
//! TTLs, or left out. There are few, so that only these names are held with all that is said.
//!
//! At every other name each record of the zone is said by exactly one owner, with the TTL that it has
//! there.

use std::collections::HashMap;

use wire::Rtype;

use crate::union::Records;

/// Octets before RDATA: type, TTL, count, length.
const HEAD: usize = 12;
/// Octets of memory that an entry takes beside its name and its records, about.
const ENTRY: usize = 64;

/// What is said of the disputed names.
#[derive(Default)]
pub(crate) struct Disputed {
    names: HashMap<Box<[u8]>, Said>,
    left_out: usize,
    bytes: usize,
}

/// What is said of one name, and how many of its records are left out.
pub(crate) struct Said {
    bytes: Box<[u8]>,
    left_out: usize,
}

impl Said {
    pub(crate) fn new(records: &Records, left_out: usize) -> Self {
        let mut bytes = Vec::new();
        for item in records.items() {
            let rdata = records.rdata(item);
            bytes.extend_from_slice(&item.rtype.0.to_le_bytes());
            bytes.extend_from_slice(&item.ttl.to_le_bytes());
            bytes.extend_from_slice(&(item.count.min(i64::from(u32::MAX)) as u32).to_le_bytes());
            bytes.extend_from_slice(&(rdata.len() as u16).to_le_bytes());
            bytes.extend_from_slice(rdata);
        }
        Self { bytes: bytes.into(), left_out }
    }

    /// Octets of memory, about.
    pub(crate) fn size(&self) -> usize {
        ENTRY + self.bytes.len()
    }

    fn read(&self, into: &mut Records) {
        let mut rest = &*self.bytes;
        while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
            let four = |at: usize| {
                u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let len = usize::from(u16::from_le_bytes([head[10], head[11]]));
            let (rdata, after) = after.split_at(len);
            let rtype = Rtype(u16::from_le_bytes([head[0], head[1]]));
            into.push(rtype, four(2), i64::from(four(6)), |bytes| bytes.extend_from_slice(rdata));
            rest = after;
        }
    }
}

impl Disputed {
    /// Reads what is said of a name. `false` if it is not disputed.
    pub(crate) fn read(&self, name: &[u8], into: &mut Records) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let said = self.names.get(name);
        if let Some(said) = said {
            said.read(into);
        }
        said.is_some()
    }

    /// Notes what is said of a name, or that the zone tells it.
    pub(crate) fn set(&mut self, name: Box<[u8]>, said: Option<Said>) {
        let (key, before) = match said {
            Some(said) => {
                let key = name.len();
                self.bytes += ENTRY + key + said.bytes.len();
                self.left_out += said.left_out;
                (key, self.names.insert(name, said))
            }
            None => (name.len(), self.names.remove(&name)),
        };
        if let Some(before) = before {
            self.bytes -= ENTRY + key + before.bytes.len();
            self.left_out -= before.left_out;
        }
        // After a wave of disputes the table is not kept.
        if self.names.is_empty() {
            self.names = HashMap::default();
        }
    }

    /// How many records are left out.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }
}
