//! Typed RDATA, for code that edits the inside of a record.
//!
//! The fast path reads RDATA as bytes ([`crate::rdata`]). Here the bytes become a value of
//! hickory-proto and come back; what is not edited stays the same to the byte. This is the only file
//! of the product that names hickory-proto.

use hickory_proto::serialize::binary::{
    BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict,
};

pub use hickory_proto::rr::RData;
pub use hickory_proto::rr::rdata::svcb::{SvcParamKey, SvcParamValue};

use crate::{Malformed, Rtype};

/// Reads RDATA without compressed names. RDATA of a type that hickory-proto does not know becomes
/// [`RData::Unknown`].
///
/// # Errors
/// The RDATA is not of the type's format, or has another form than the one that [`write`] gives it.
pub fn read(rtype: Rtype, rdata: &[u8]) -> Result<RData, Malformed> {
    let length = u16::try_from(rdata.len()).map_err(|_| Malformed)?;
    let mut decoder = BinDecoder::new(rdata);
    let data = RData::read(&mut decoder, rtype.0.into(), Restrict::new(length));
    let data = data.map_err(|_| Malformed)?;
    // What is left out or normalized by hickory-proto would be lost.
    if write(&data)? == rdata { Ok(data) } else { Err(Malformed) }
}

/// Writes RDATA without compressing names and without changing their case.
///
/// # Errors
/// The value has no wire format: a list that may not be empty is empty, or a length overflows.
pub fn write(data: &RData) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).map_err(|_| Malformed)?;
    Ok(bytes)
}

/// Edits RDATA without compressed names in place.
///
/// # Errors
/// As [`read`] and [`write`]; the RDATA stays as it is.
pub fn edit(
    rtype: Rtype,
    rdata: &mut Vec<u8>,
    change: impl FnOnce(&mut RData),
) -> Result<(), Malformed> {
    let mut data = read(rtype, rdata)?;
    change(&mut data);
    *rdata = write(&data)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SVCB: &[u8] = b"\0\x01\x03Web\0\0\x01\0\x03\x02h2\0\x03\0\x02\x01\xBB\xFF\x01\0\x01x";

    #[test]
    fn unedited_rdata_stays_the_same() {
        let soa =
            b"\x02Ns\x03org\0\x04Mail\x03org\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
        let cases: [(Rtype, &[u8]); 8] = [
            (Rtype::A, b"\xC0\0\x02\x01"),
            (Rtype::MX, b"\0\x0A\x04Mail\x03ORG\0"),
            (Rtype::SOA, soa),
            (Rtype::SRV, b"\0\x01\0\x02\0\x35\x01a\x03org\0"),
            (Rtype::NAPTR, b"\0\x01\0\x02\x01u\x03E2U\x04!a!b\x01a\0"),
            (Rtype::TXT, b"\x02ab\0\x01\xFF"),
            (Rtype::SVCB, SVCB),
            (Rtype::HTTPS, SVCB),
        ];
        for (rtype, bytes) in cases {
            let mut rdata = bytes.to_vec();
            assert_eq!(edit(rtype, &mut rdata, |_| {}), Ok(()), "{rtype}");
            assert_eq!(rdata, bytes, "{rtype}");
        }
    }

    #[test]
    fn edits_change_their_field_only() {
        let mut rdata = SVCB.to_vec();
        let port = |data: &mut RData| {
            let RData::HTTPS(https) = data else { return };
            https.0.svc_params.retain(|(key, _)| *key != SvcParamKey::Port);
        };
        assert_eq!(edit(Rtype::HTTPS, &mut rdata, port), Ok(()));
        assert_eq!(rdata, b"\0\x01\x03Web\0\0\x01\0\x03\x02h2\xFF\x01\0\x01x");
    }

    #[test]
    fn malformed_rdata_stays() {
        let empty = |data: &mut RData| {
            let RData::SVCB(svcb) = data else { return };
            svcb.svc_params.reverse();
        };
        let mut rdata = SVCB.to_vec();
        assert_eq!(edit(Rtype::SVCB, &mut rdata, empty), Err(Malformed), "out of order");
        assert_eq!(rdata, SVCB);
        for (rtype, bytes) in [
            (Rtype::A, &b"\xC0\0\x02"[..]),
            (Rtype::MX, b"\0\x0A\xC0\x02"),
            (Rtype::SVCB, b"\0\x01\0\0\x06\0\x10x"),
        ] {
            let mut rdata = bytes.to_vec();
            assert_eq!(edit(rtype, &mut rdata, |_| {}), Err(Malformed), "{rtype}");
            assert_eq!(rdata, bytes);
        }
    }

    proptest! {
        #[test]
        fn rdata_of_unknown_types_is_not_touched(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut rdata = bytes.clone();
            prop_assert_eq!(edit(Rtype(65_300), &mut rdata, |_| {}), Ok(()));
            prop_assert_eq!(rdata, bytes);
        }

        #[test]
        fn any_bytes_stay_or_are_refused(rtype: u16, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut rdata = bytes.clone();
            let _ = edit(Rtype(rtype), &mut rdata, |_| {});
            prop_assert_eq!(rdata, bytes);
        }
    }
}
