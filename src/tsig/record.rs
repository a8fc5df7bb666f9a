//! The TSIG record (RFC 8945 section 4), and the octets that its MAC is computed over.

use wire::name;
use wire::{Class, HEADER, Malformed, Message, NameBuf, Record, Rtype, Section};

use crate::TsigError;
use crate::mac::Mac;

/// Seconds by which two clocks may differ, as RFC 8945 section 10 recommends.
pub const FUDGE: u16 = 300;

/// The TSIG record at the end of a message.
#[derive(Clone, Debug)]
pub struct Tsig<'a> {
    /// Offset of the record.
    pub start: usize,
    /// The name of the key, as it was written.
    pub name: NameBuf,
    /// The name of the algorithm, as it was written.
    pub algorithm: NameBuf,
    /// The time of the signature, in seconds of Unix time.
    pub time: u64,
    /// The number of seconds by which the time may differ.
    pub fudge: u16,
    /// The MAC.
    pub mac: &'a [u8],
    /// The id of the message when it was signed.
    pub original_id: u16,
    /// The error; none in requests.
    pub error: TsigError,
    /// Other data: the server's time in a BADTIME error.
    pub other: &'a [u8],
}

impl<'a> Tsig<'a> {
    /// Reads the TSIG record that begins at `start` and ends the message.
    ///
    /// # Errors
    /// It is malformed, of another class than ANY, has a TTL, or something follows it.
    pub fn read(message: &'a [u8], start: usize) -> Result<Self, Malformed> {
        let record = Record::read(message, start, Section::Additional)?;
        // RFC 8945 section 4.2: the class must be ANY, and the TTL 0.
        if record.rtype != Rtype::TSIG || record.class != Class::ANY || record.ttl != 0 {
            return Err(Malformed);
        }
        if record.end != message.len() {
            return Err(Malformed);
        }
        let (mut name, mut algorithm) = (NameBuf::new(), NameBuf::new());
        record.owner(&mut name)?;
        let at = name::read(message, record.rdata_at, &mut algorithm)?;
        let mut rest = message.get(at..).ok_or(Malformed)?;
        let [t0, t1, t2, t3, t4, t5, f0, f1, m0, m1] = take(&mut rest)?;
        let mac = take_slice(&mut rest, u16::from_be_bytes([m0, m1]))?;
        let [i0, i1, e0, e1, o0, o1] = take(&mut rest)?;
        let other = take_slice(&mut rest, u16::from_be_bytes([o0, o1]))?;
        if !rest.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            start,
            name,
            algorithm,
            time: u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]),
            fudge: u16::from_be_bytes([f0, f1]),
            mac,
            original_id: u16::from_be_bytes([i0, i1]),
            error: TsigError(u16::from_be_bytes([e0, e1])),
            other,
        })
    }

    /// The TSIG record of a message, if it has one.
    ///
    /// # Errors
    /// A record is malformed, or a TSIG record is not the last of the additional section.
    pub fn find(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut found = None;
        for record in Message::new(message)?.records() {
            let record = record?;
            // RFC 8945 section 5.1: several TSIG records, or one in another place than the last, are FORMERR.
            if found.is_some() {
                return Err(Malformed);
            }
            if record.rtype == Rtype::TSIG {
                if record.section != Section::Additional {
                    return Err(Malformed);
                }
                found = Some(record.start);
            }
        }
        found.map(|start| Self::read(message, start)).transpose()
    }

    /// Whether `now` is as near to the time of the signature as the record says.
    pub(crate) fn is_timely(&self, now: u64) -> bool {
        self.time.abs_diff(now) <= u64::from(self.fudge)
    }

    /// The TSIG variables (RFC 8945 section 4.3.3).
    pub(crate) fn variables(&self) -> Variables<'_> {
        Variables {
            name: self.name.as_wire(),
            algorithm: self.algorithm.as_wire(),
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other: self.other,
        }
    }

    /// Digests the message as it was before the record was added (RFC 8945 section 4.3.2).
    pub(crate) fn digest_message(&self, message: &[u8], mac: &mut Mac) -> Result<(), Malformed> {
        let mut header = *message.first_chunk::<HEADER>().ok_or(Malformed)?;
        let additionals =
            u16::from_be_bytes([header[10], header[11]]).checked_sub(1).ok_or(Malformed)?;
        header[..2].copy_from_slice(&self.original_id.to_be_bytes());
        header[10..].copy_from_slice(&additionals.to_be_bytes());
        mac.update(&header);
        mac.update(message.get(HEADER..self.start).ok_or(Malformed)?);
        Ok(())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    *rest = tail;
    Ok(*head)
}

fn take_slice<'a>(rest: &mut &'a [u8], len: u16) -> Result<&'a [u8], Malformed> {
    let (head, tail) = rest.split_at_checked(usize::from(len)).ok_or(Malformed)?;
    *rest = tail;
    Ok(head)
}

/// The parts of a TSIG record that its MAC covers.
pub(crate) struct Variables<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) time: u64,
    pub(crate) fudge: u16,
    pub(crate) error: TsigError,
    pub(crate) other: &'a [u8],
}

impl Variables<'_> {
    /// Digests all of them.
    pub(crate) fn digest(&self, mac: &mut Mac) {
        // RFC 8945 section 4.3.3: the names in lower case, class ANY, TTL 0.
        let mut folded = NameBuf::new();
        folded.set_folded(self.name);
        mac.update(folded.as_wire());
        mac.update(&Class::ANY.0.to_be_bytes());
        mac.update(&[0; 4]);
        folded.set_folded(self.algorithm);
        mac.update(folded.as_wire());
        self.digest_timers(mac);
        mac.update(&self.error.0.to_be_bytes());
        mac.update(&(self.other.len() as u16).to_be_bytes());
        mac.update(self.other);
    }

    /// Digests the times alone, as in the messages of a reply after the first.
    pub(crate) fn digest_timers(&self, mac: &mut Mac) {
        mac.update(&self.time.to_be_bytes()[2..]);
        mac.update(&self.fudge.to_be_bytes());
    }

    /// Octets of RDATA with a MAC of `mac_len`.
    pub(crate) fn rdata_len(&self, mac_len: usize) -> usize {
        self.algorithm.len() + 16 + mac_len + self.other.len()
    }

    /// Writes the RDATA.
    pub(crate) fn write_rdata(&self, original_id: u16, mac: &[u8], into: &mut Vec<u8>) {
        into.extend_from_slice(self.algorithm);
        into.extend_from_slice(&self.time.to_be_bytes()[2..]);
        into.extend_from_slice(&self.fudge.to_be_bytes());
        into.extend_from_slice(&(mac.len() as u16).to_be_bytes());
        into.extend_from_slice(mac);
        into.extend_from_slice(&original_id.to_be_bytes());
        into.extend_from_slice(&self.error.0.to_be_bytes());
        into.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        into.extend_from_slice(self.other);
    }
}

/// Digests a MAC that the next one builds on: the request's, or that of the message before.
pub(crate) fn digest_prior(prior: &[u8], mac: &mut Mac) {
    mac.update(&(prior.len() as u16).to_be_bytes());
    mac.update(prior);
}

/// Appends a TSIG record to a message, and counts it.
pub(crate) fn append(message: &mut Vec<u8>, name: &[u8], rdata: &[u8]) {
    // A count that is full is that of a message which nobody can read.
    let additionals = u16::from_be_bytes([message[10], message[11]]).saturating_add(1);
    message[10..HEADER].copy_from_slice(&additionals.to_be_bytes());
    message.extend_from_slice(name);
    message.extend_from_slice(&Rtype::TSIG.0.to_be_bytes());
    message.extend_from_slice(&Class::ANY.0.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(rdata);
}
