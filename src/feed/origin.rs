//! A zone of a feed: its name, its SOA record and its serial number.

use wire::rdata::StandInSoa;
use wire::{Name, Rdata};

/// Serial numbers of a zone, which always grow (RFC 1982).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// The Unix time of the change in seconds, or one more than the last serial number if that is more. A
    /// zone that changes more than once a second on average runs ahead of the time.
    UnixTime,
    /// A counter that starts with this number.
    From(u32),
}

impl Serial {
    /// The number after `last`; `now` is the Unix time.
    pub(crate) fn next(self, last: Option<u32>, now: u32) -> u32 {
        match (self, last) {
            (Self::UnixTime, None) => now,
            (Self::From(first), None) => first,
            (Self::UnixTime, Some(last)) if zone::is_newer(now, last) => now,
            (Self::UnixTime | Self::From(_), Some(last)) => last.wrapping_add(1),
        }
    }
}

/// A zone that a program feeds.
#[derive(Clone, Debug)]
pub struct Origin {
    pub(crate) name: Name,
    pub(crate) serial: Serial,
    /// TTL and RDATA of the SOA record; its serial number means nothing.
    pub(crate) soa: (u32, Vec<u8>),
}

/// Octets of the numbers in the RDATA of a SOA record, of which the serial is the first.
const NUMBERS: usize = 20;

impl Origin {
    /// A zone with CoreDNS's SOA record for zones that have none: see [`StandInSoa`]. Its TTL and the TTL of
    /// negative answers is `ttl` seconds. The serial is the Unix time.
    pub fn new(name: &Name, ttl: u32) -> Self {
        let name = name.to_lower();
        let mut rdata = Vec::new();
        StandInSoa::new(name.as_wire()).rdata(ttl).write(&mut rdata);
        Self { name, serial: Serial::UnixTime, soa: (ttl, rdata) }
    }

    /// The same zone with these serial numbers.
    #[must_use]
    pub fn serial(self, serial: Serial) -> Self {
        Self { serial, ..self }
    }

    /// The same zone with a SOA record of these fields and this TTL in seconds. The serial in it means
    /// nothing. RDATA of another type changes nothing.
    ///
    /// An owner that states a SOA record at the apex replaces this one as long as it does.
    #[must_use]
    pub fn soa(mut self, ttl: u32, soa: &Rdata<'_>) -> Self {
        if matches!(soa, Rdata::Soa { .. }) {
            let mut rdata = Vec::new();
            soa.write(&mut rdata);
            self.soa = (ttl, rdata);
        }
        self
    }
}

/// The RDATA of a SOA record with this serial.
pub(crate) fn with_serial(rdata: &[u8], serial: u32) -> Vec<u8> {
    let mut rdata = rdata.to_vec();
    if let Some(at) = rdata.len().checked_sub(NUMBERS) {
        rdata[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    }
    rdata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_grow_whatever_the_clock_does() {
        assert_eq!(Serial::UnixTime.next(None, 1_700), 1_700);
        assert_eq!(Serial::UnixTime.next(Some(1_700), 1_800), 1_800);
        assert_eq!(Serial::UnixTime.next(Some(1_700), 1_700), 1_701);
        assert_eq!(Serial::UnixTime.next(Some(1_700), 9), 1_701);
        assert_eq!(Serial::UnixTime.next(Some(u32::MAX), 5), 5);
        assert_eq!(Serial::From(7).next(None, 1_700), 7);
        assert_eq!(Serial::From(7).next(Some(u32::MAX), 1_700), 0);
    }
}
