//! The SOA record of a zone that has none.

use super::Rdata;
use crate::{NameBuf, name};

/// CoreDNS's SOA record for zones whose data has none: server `ns.dns.` and mailbox `hostmaster.` in the zone,
/// and timers that have no effect without zone transfers.
pub struct StandInSoa<'a> {
    zone: &'a [u8],
    server: Option<NameBuf>,
    mailbox: Option<NameBuf>,
}

impl<'a> StandInSoa<'a> {
    /// The record for `zone`, in wire form.
    pub fn new(zone: &'a [u8]) -> Self {
        let server = NameBuf::joined(name!("ns.dns."), zone).ok();
        let mailbox = NameBuf::joined(name!("hostmaster."), zone).ok();
        Self { zone, server, mailbox }
    }

    /// Its RDATA; negative answers may be cached for `minimum` seconds (RFC 2308 section 4).
    pub fn rdata(&self, minimum: u32) -> Rdata<'_> {
        // A zone that is too long for another label names itself.
        Rdata::Soa {
            mname: self.server.as_ref().map_or(self.zone, NameBuf::as_wire),
            rname: self.mailbox.as_ref().map_or(self.zone, NameBuf::as_wire),
            serial: 1,
            refresh: 7200,
            retry: 1800,
            expire: 86_400,
            minimum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    #[test]
    fn a_zone_without_room_for_a_label_names_itself() {
        let long = Name::from_text(&format!("{0}.{0}.{0}.{0}.", "a".repeat(62))).unwrap();
        for (zone, mname) in
            [(name!("a.test."), name!("ns.dns.a.test.")), (long.as_wire(), long.as_wire())]
        {
            let soa = StandInSoa::new(zone);
            let Rdata::Soa { mname: found, minimum, .. } = soa.rdata(60) else { unreachable!() };
            assert_eq!((found, minimum), (mname, 60));
        }
    }
}
