//! Records of a message with all names written out, without an allocation for each.

use wire::name::{self, NameBuf};
use wire::{Class, Name, Record, Rtype};
use zone::RecordRef;
use zone::Soa;

use crate::{Fault, rdata};

/// Reads one record after the other into the same buffers.
#[derive(Default)]
pub(crate) struct Reader {
    owner: NameBuf,
    /// Where in the message the owner stands; zero: nowhere.
    owner_at: usize,
    /// Where the owner points to, if it is a pointer and nothing else; zero: it is not.
    owner_to: usize,
    rdata: Vec<u8>,
}

impl Reader {
    /// Forgets places in the last message.
    pub(crate) fn begin(&mut self) {
        (self.owner_at, self.owner_to) = (0, 0);
    }

    /// Reads a record and checks that a zone can have it.
    #[inline]
    pub(crate) fn read<'a>(&'a mut self, record: &Record<'a>) -> Result<RecordRef<'a>, Fault> {
        let to = pointer(record.message, record.start);
        // Most records have the owner of the one before, and most servers write it as a pointer to that.
        let same = to != 0 && (to == self.owner_at || to == self.owner_to);
        if !same {
            record.owner(&mut self.owner)?;
            (self.owner_at, self.owner_to) = (record.start, to);
        }
        let Record { rtype, class, .. } = *record;
        let owner = self.owner.as_wire();
        if class != Class::IN {
            return Err(Fault::of(Fault::OtherClass, owner, rtype));
        }
        if !rdata::is_data(rtype) {
            return Err(Fault::of(Fault::NoData, owner, rtype));
        }
        let rdata = match wire::rdata::layout(rtype) {
            None => record.rdata(),
            Some(_) => {
                self.rdata.clear();
                let Record { message, rdata_at, end, .. } = *record;
                wire::rdata::expand(rtype, message, rdata_at, end, &mut self.rdata)
                    .map_err(|_| Fault::of(Fault::Rdata, owner, rtype))?;
                &self.rdata
            }
        };
        if !rdata::is_sound(rtype, rdata) {
            return Err(Fault::of(Fault::Rdata, owner, rtype));
        }
        // RFC 2181 section 8: a TTL with the highest bit set counts as zero.
        let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
        Ok(RecordRef { owner, rtype, class, ttl, rdata })
    }
}

/// Where the name at `at` points to, if it is nothing but a pointer; zero if it is not.
#[inline]
fn pointer(message: &[u8], at: usize) -> usize {
    match message.get(at..) {
        Some(&[high, low, ..]) if high >= 0xC0 => usize::from(high & 0x3F) << 8 | usize::from(low),
        _ => 0,
    }
}

/// The fields of an SOA record. `None`: it is none, or malformed.
pub fn read_soa(record: RecordRef<'_>) -> Option<Soa> {
    if record.rtype != Rtype::SOA {
        return None;
    }
    let (mname, rest) = record.rdata.split_at_checked(name::wire_len(record.rdata)?)?;
    let (rname, rest) = rest.split_at_checked(name::wire_len(rest)?)?;
    let numbers: &[u8; 20] = rest.try_into().ok()?;
    let number = |at: usize| {
        let [a, b, c, d] = [numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]];
        u32::from_be_bytes([a, b, c, d])
    };
    Some(Soa {
        mname: Name::from_wire(mname).ok()?,
        rname: Name::from_wire(rname).ok()?,
        serial: number(0),
        refresh: number(4),
        retry: number(8),
        expire: number(12),
        minimum: number(16),
        ttl: record.ttl,
    })
}
