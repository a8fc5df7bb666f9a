//! Changes of a query on the way in, and the original for the way out.
//!
//! A plugin that changes the question saves the message first and restores it in its `on_reply`, so
//! that the plugins before it and the server see the message of the client. Saved messages form a
//! stack, because several plugins may do so inside each other.

use super::Request;
use super::original::Original;
use crate::edns::EdnsOption;
use crate::name::{self, NameBuf};
use crate::record::{Records, Section};
use crate::{Class, HEADER, MAX_MESSAGE, Malformed, Rtype, rdata};

/// What an OPT record of our own offers; CoreDNS's size.
const OWN_UDP_SIZE: u16 = 4096;

/// What [`Request::parse`] takes; a copy of this query must pass it too.
const MAX_ADDITIONALS: u16 = 2;

/// A flag of the header that plugins may change before the rest of the chain sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// AA.
    Authoritative,
    /// RD.
    RecursionDesired,
    /// RA.
    RecursionAvailable,
}

impl Request {
    /// Saves the message as it is now, for [`Request::pop_original`].
    pub fn push_original(&mut self) {
        self.originals.push(Original { start: self.saved.len(), zone_at: self.zone_at });
        self.saved.extend_from_slice(&self.buf);
    }

    /// The number of saved messages.
    pub fn originals(&self) -> usize {
        self.originals.len()
    }

    /// Restores the message that was saved last.
    pub fn pop_original(&mut self) {
        let Some(last) = self.originals.pop() else { return };
        self.buf.clear();
        self.buf.extend_from_slice(&self.saved[last.start..]);
        self.saved.truncate(last.start);
        self.read_again();
        self.zone_at = last.zone_at;
    }

    /// Restores the message as it was when there were `depth` saved ones: plugins whose way in was cut
    /// off do not restore it themselves.
    pub fn pop_originals_to(&mut self, depth: usize) {
        while self.originals.len() > depth {
            self.pop_original();
        }
    }

    /// Makes this the message that `from` is now, with memory of its own.
    pub fn copy_from(&mut self, from: &Self) {
        self.buf.clear();
        self.buf.extend_from_slice(&from.buf);
        self.parse_known();
        self.zone_at = from.zone_at;
    }

    /// Makes this the message that `from` was when it was received, before any plugin changed it.
    pub fn copy_original_from(&mut self, from: &Self) {
        let Some(first) = from.originals.first() else { return self.copy_from(from) };
        let end = from.originals.get(1).map_or(from.saved.len(), |next| next.start);
        self.buf.clear();
        self.buf.extend_from_slice(&from.saved[first.start..end]);
        self.parse_known();
        self.zone_at = first.zone_at;
    }

    /// Makes this a question of our own: RD, one question in class IN, and an OPT record.
    pub fn ask(&mut self, qname: &[u8], qtype: Rtype, dnssec_ok: bool) {
        self.buf.clear();
        self.buf.extend_from_slice(&[0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        self.buf.extend_from_slice(qname);
        self.buf.extend_from_slice(&qtype.0.to_be_bytes());
        self.buf.extend_from_slice(&Class::IN.0.to_be_bytes());
        let flags = if dnssec_ok { 0x80 } else { 0 };
        self.buf.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, flags, 0, 0, 0]);
        self.parse_known();
    }

    /// Parses a message that was parsed before or is our own.
    fn parse_known(&mut self) {
        let parsed = self.parse();
        debug_assert!(parsed.is_ok(), "a known message parses");
    }

    /// Removes the TSIG record, once it was verified: it is for this hop (RFC 8945 section 5.5).
    pub fn strip_tsig(&mut self) {
        let Some(at) = self.tsig_at.take() else { return };
        let additionals = self.record_counts()[2].saturating_sub(1);
        self.buf.truncate(at);
        self.buf[10..HEADER].copy_from_slice(&additionals.to_be_bytes());
    }

    /// Gives the query another name (uncompressed); everything else stays. The reply must be begun
    /// anew, its question is another one now.
    ///
    /// # Errors
    /// The message would be longer than any may be.
    pub fn rename(&mut self, name: &[u8]) -> Result<(), Malformed> {
        let mut zone = NameBuf::new();
        zone.set_folded(self.zone());
        self.write_anew(Some(name), None)?;
        // Outside the zone it was routed to a query is in the root's.
        let inside = name::is_under(self.name(), zone.as_wire());
        let zone_labels = if inside { name::label_count(zone.as_wire()) } else { 0 };
        self.zone_at = (self.labels() - zone_labels) as u8;
        Ok(())
    }

    /// Asks for another type.
    pub fn set_qtype(&mut self, qtype: Rtype) {
        self.qtype = qtype;
        let at = self.question_end - 4;
        self.buf[at..at + 2].copy_from_slice(&qtype.0.to_be_bytes());
    }

    /// Asks in another class.
    pub fn set_qclass(&mut self, class: Class) {
        self.qclass = class;
        let at = self.question_end - 2;
        self.buf[at..at + 2].copy_from_slice(&class.0.to_be_bytes());
    }

    /// Sets or clears a flag of the header.
    pub fn set_flag(&mut self, flag: Flag, on: bool) {
        let (at, bit) = match flag {
            Flag::Authoritative => (2, 0x04),
            Flag::RecursionDesired => (2, 0x01),
            Flag::RecursionAvailable => (3, 0x80),
        };
        if let Some(byte) = self.buf.get_mut(at) {
            *byte = if on { *byte | bit } else { *byte & !bit };
        }
    }

    /// Gives the query these EDNS options (wire form) in place of its own, in an OPT record of ours
    /// if it has none.
    ///
    /// # Errors
    /// The message would be longer than any may be, or have too many records.
    pub fn set_options(&mut self, options: &[u8]) -> Result<(), Malformed> {
        let zone_at = self.zone_at;
        self.write_anew(None, Some(options))?;
        self.zone_at = zone_at;
        Ok(())
    }

    /// Changes the EDNS options: `edit` gets those there are and writes those there will be.
    ///
    /// # Errors
    /// The message would be longer than any may be, or have too many records.
    pub fn edit_options(
        &mut self,
        edit: impl FnOnce(&mut dyn Iterator<Item = EdnsOption<'_>>, &mut Vec<u8>),
    ) -> Result<(), Malformed> {
        let mut options = Vec::new();
        edit(&mut self.options(), &mut options);
        self.set_options(&options)
    }

    /// Writes the message again with another name or other options. Names in records may point
    /// anywhere before them, so they are written out.
    fn write_anew(&mut self, name: Option<&[u8]>, options: Option<&[u8]>) -> Result<(), Malformed> {
        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        let written = self.write_into(name, options, &mut out);
        self.spare = out;
        written?;
        std::mem::swap(&mut self.buf, &mut self.spare);
        self.read_again();
        Ok(())
    }

    fn write_into(
        &self,
        name: Option<&[u8]>,
        options: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        out.extend_from_slice(&self.buf[..HEADER]);
        out.extend_from_slice(name.unwrap_or_else(|| self.original_name()));
        out.extend_from_slice(&self.buf[self.question_end - 4..self.question_end]);
        let mut pending = options;
        let mut owner = NameBuf::new();
        for record in self.own_records() {
            let record = record?;
            // TSIG is the last record (RFC 8945 section 5.1): an OPT record goes before it.
            if record.rtype == Rtype::TSIG
                && self.edns.is_none()
                && let Some(options) = pending.take()
            {
                push_opt(out, options);
            }
            match (record.rtype, options) {
                (Rtype::OPT, Some(options)) => {
                    pending = None;
                    out.extend_from_slice(&self.buf[record.start..record.rdata_at - 2]);
                    out.extend_from_slice(&(options.len() as u16).to_be_bytes());
                    out.extend_from_slice(options);
                }
                _ => {
                    record.owner(&mut owner)?;
                    out.extend_from_slice(owner.as_wire());
                    out.extend_from_slice(&self.buf[record.ttl_at - 4..record.rdata_at]);
                    let start = out.len();
                    rdata::expand(record.rtype, &self.buf, record.rdata_at, record.end, out)?;
                    let len = (out.len() - start) as u16;
                    out[start - 2..start].copy_from_slice(&len.to_be_bytes());
                }
            }
        }
        if let Some(options) = pending {
            push_opt(out, options);
        }
        if options.is_some() && self.edns.is_none() {
            let additionals = u16::from_be_bytes([out[10], out[11]]) + 1;
            if additionals > MAX_ADDITIONALS {
                return Err(Malformed);
            }
            out[10..12].copy_from_slice(&additionals.to_be_bytes());
        }
        if out.len() > MAX_MESSAGE { Err(Malformed) } else { Ok(()) }
    }

    /// The records behind the question.
    fn own_records(&self) -> Records<'_> {
        Records::new(&self.buf, self.question_end, self.record_counts())
    }

    pub(super) fn record_counts(&self) -> [u16; 3] {
        Section::ALL.map(|section| {
            let at = 6 + 2 * section as usize;
            u16::from_be_bytes([self.buf[at], self.buf[at + 1]])
        })
    }

    /// Finds the offsets anew, for a message whose bytes are changed but which is the same query.
    fn read_again(&mut self) {
        self.edns = None;
        self.tsig_at = None;
        let [answers, authorities, additionals] = self.record_counts();
        let read = self.parse_body(answers, authorities, additionals);
        debug_assert!(read.is_ok(), "what was written here parses");
    }
}

fn push_opt(out: &mut Vec<u8>, options: &[u8]) {
    out.extend_from_slice(&[0, 0, 41]);
    out.extend_from_slice(&OWN_UDP_SIZE.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(options.len() as u16).to_be_bytes());
    out.extend_from_slice(options);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use crate::request::tests::question;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    /// A query with OPT and, as secondaries send it, an SOA record whose names are pointers.
    fn query() -> Request {
        let mut bytes = question("WWW.Example.org.", Rtype::IXFR);
        (bytes[9], bytes[11]) = (1, 1);
        bytes.extend_from_slice(&[0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 24, 0xC0, 16, 0xC0, 24]);
        bytes.extend_from_slice(&[7; 20]);
        bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 5, 0xFF, 0xEE, 0, 1, 9]);
        let mut query = Request::new();
        query.receive(&bytes).unwrap();
        query.set_zone(1);
        query
    }

    #[test]
    fn a_new_name_leaves_everything_else() {
        let mut query = query();
        let before = query.bytes().to_vec();
        query.push_original();
        query.rename(&wire("a-longer.name.example.org.")).unwrap();
        assert_eq!(query.name(), wire("a-longer.name.example.org."));
        assert_eq!((query.qtype(), query.udp_size()), (Rtype::IXFR, 1232));
        assert_eq!(query.options().next().unwrap().data, [9]);
        assert_eq!(query.zone(), wire("example.org."));
        let soa = query.own_records().next().unwrap().unwrap();
        let mut owner = NameBuf::new();
        soa.owner(&mut owner).unwrap();
        assert_eq!(owner.as_wire(), wire("WWW.Example.org."));
        assert_eq!(&soa.rdata()[..13], wire("Example.org."));

        query.push_original();
        query.rename(&wire("elsewhere.net.")).unwrap();
        assert_eq!(query.zone(), [0]);
        query.pop_original();
        assert_eq!(query.zone(), wire("example.org."));
        query.pop_originals_to(0);
        assert_eq!(query.bytes(), before);
        assert_eq!(query.original_name(), wire("WWW.Example.org."));
        assert_eq!(query.zone(), wire("example.org."));
    }

    #[test]
    fn options_are_changed_and_an_opt_record_made() {
        let mut query = query();
        query.set_options(&[0, 3, 0, 0]).unwrap();
        assert_eq!(query.options().map(|option| option.code).collect::<Vec<_>>(), [3]);
        assert!(query.wants_dnssec());
        query.receive(&question("a.", Rtype::A)).unwrap();
        query.set_options(&[]).unwrap();
        assert_eq!(query.edns().unwrap().udp_size, 4096);
        let mut copy = Request::new();
        copy.receive(query.bytes()).unwrap();
        assert_eq!(copy.edns(), query.edns());
    }

    #[test]
    fn a_signature_is_removed() {
        let mut query = query();
        let bare = query.bytes().to_vec();
        let mut bytes = bare.clone();
        bytes[11] += 1;
        bytes.extend_from_slice(b"\x01k\0\0\xfa\0\xff\0\0\0\0\0\0");
        query.receive(&bytes).unwrap();
        query.strip_tsig();
        assert_eq!((query.bytes(), query.tsig_at()), (&*bare, None));
        query.strip_tsig();
        assert_eq!(query.bytes(), bare);
        assert_eq!(query.options().next().unwrap().data, [9]);
    }

    #[test]
    fn type_class_and_flags_are_changed_in_place() {
        let mut query = query();
        query.set_qtype(Rtype::A);
        query.set_qclass(Class::CH);
        query.set_flag(Flag::RecursionDesired, false);
        query.set_flag(Flag::RecursionAvailable, true);
        let mut copy = Request::new();
        copy.receive(query.bytes()).unwrap();
        assert_eq!((copy.qtype(), copy.qclass()), (Rtype::A, Class::CH));
        assert!(!copy.recursion_desired());
        assert_eq!(copy.bytes()[3] & 0x80, 0x80);
    }
}
