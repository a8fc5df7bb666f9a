//! Writes replies from entries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chain::{Query, Reply};
use wire::rdata::StandInSoa;
use wire::{NewRecord, Rdata, Rtype, Section, name};

use super::table::Table;

/// The negative TTL (RFC 2308) is at most this: the file may have the name soon.
const MAX_NEGATIVE_TTL: u32 = 60;

const IN_ADDR_ARPA: &[u8] = name!("in-addr.arpa.");
const IP6_ARPA: &[u8] = name!("ip6.arpa.");

/// A reply that is being written.
pub(super) struct Answer<'a> {
    pub(super) query: &'a Query,
    pub(super) reply: &'a mut Reply,
    pub(super) ttl: u32,
}

impl Answer<'_> {
    /// Writes the addresses of the queried type. Returns `false` if there are none.
    #[inline]
    pub(super) fn addresses(&mut self, tables: [&Table; 2], found: Found) -> bool {
        let is_v4 = self.query.qtype() == Rtype::A;
        for (table, entry) in tables.into_iter().zip(found.0) {
            let Some(entry) = entry else { continue };
            for address in table.addresses(entry) {
                match address {
                    IpAddr::V4(_) if is_v4 => self.reply.answer(self.ttl, address.into()),
                    IpAddr::V6(_) if !is_v4 => self.reply.answer(self.ttl, address.into()),
                    _ => {}
                }
            }
        }
        let any = self.reply.count(Section::Answer) > 0;
        if any {
            self.reply.set_authoritative(true);
        }
        any
    }

    /// Writes the names of the address in the queried name. Returns `false` if there are none.
    pub(super) fn names(&mut self, tables: [&Table; 2]) -> bool {
        let Some(address) = reverse_address(self.query) else { return false };
        for table in tables {
            for name in table.names(address) {
                self.reply.answer(self.ttl, Rdata::Ptr(name));
                // A blocklist has one address with a million names, which fit into no message.
                if self.reply.truncated {
                    break;
                }
            }
        }
        let any = self.reply.count(Section::Answer) > 0;
        if any {
            self.reply.set_authoritative(true);
        }
        any
    }

    /// The name exists, the type does not.
    pub(super) fn no_data(&mut self, apex: usize) {
        self.negative(apex, wire::Rcode::NOERROR);
    }

    /// The name does not exist.
    pub(super) fn name_error(&mut self, apex: usize) {
        self.negative(apex, wire::Rcode::NXDOMAIN);
    }

    /// Writes the SOA record for a query at the zone's apex.
    pub(super) fn soa(&mut self) {
        self.reply.set_rcode(wire::Rcode::NOERROR);
        self.reply.set_authoritative(true);
        self.push_soa(Section::Answer, 0);
    }

    /// RFC 2308 section 3: a negative answer has the zone's SOA record.
    fn negative(&mut self, apex: usize, rcode: wire::Rcode) {
        self.reply.set_rcode(rcode);
        self.reply.set_authoritative(true);
        self.push_soa(Section::Authority, apex);
    }

    /// A SOA record for the zone at label `apex`; a hosts file has none.
    fn push_soa(&mut self, section: Section, apex: usize) {
        let zone = self.query.suffix(apex);
        let ttl = self.ttl.min(MAX_NEGATIVE_TTL);
        let soa = StandInSoa::new(zone);
        self.reply.push(section, NewRecord::new(zone, ttl, soa.rdata(ttl)));
    }
}

/// The entries that answer a name: of the name itself, or of the wildcard that covers it.
#[derive(Clone, Copy)]
pub(super) struct Found([Option<u32>; 2]);

impl Found {
    #[inline]
    pub(super) fn of(query: &Query, tables: [&Table; 2]) -> Option<Self> {
        let exact = tables.map(|table| table.find(query.suffix_hash(0), query.name()));
        if exact.iter().any(Option::is_some) {
            return Some(Self(exact));
        }
        if query.labels() == 0 {
            return None;
        }
        let parent = query.suffix(1);
        let wild = tables.map(|table| table.find_wildcard(query.suffix_hash(1), parent));
        debug_assert!(name::wire_len(parent).is_some(), "a suffix of a name is a name");
        wild.iter().any(Option::is_some).then_some(Self(wild))
    }
}

/// The address in a name below `in-addr.arpa` or `ip6.arpa`.
fn reverse_address(query: &Query) -> Option<IpAddr> {
    let labels = query.labels().checked_sub(2)?;
    let name = query.name();
    let label = |index: usize| {
        let at = query.label_at(index);
        &name[at + 1..at + 1 + usize::from(name[at])]
    };
    match (labels, query.suffix(labels)) {
        (4, IN_ADDR_ARPA) => {
            let mut octets = [0; 4];
            for (octet, index) in octets.iter_mut().zip((0..4).rev()) {
                let text = std::str::from_utf8(label(index)).ok()?;
                // Each number has one spelling: no sign and no leading zeros.
                if !text.bytes().all(|byte| byte.is_ascii_digit())
                    || (text.len() > 1 && text.starts_with('0'))
                {
                    return None;
                }
                *octet = text.parse().ok()?;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        (32, IP6_ARPA) => {
            let mut bits = 0u128;
            for index in (0..32).rev() {
                let [digit] = label(index) else { return None };
                bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
            }
            Some(IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical())
        }
        _ => None,
    }
}
