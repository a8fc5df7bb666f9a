//! The end of a certificate's validity (RFC 5280 section 4.1.2.5).

/// Tags of DER (X.690 section 8).
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version [0] EXPLICIT`, which certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// When the certificate expires, in seconds since 1970; `None` if it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = content(certificate, SEQUENCE)?;
    let (mut signed, _) = content(certificate, SEQUENCE)?;
    if signed.first() == Some(&VERSION) {
        (_, signed) = content(signed, VERSION)?;
    }
    // serialNumber, signature, issuer, validity
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, signed) = content(signed, tag)?;
    }
    let (validity, _) = content(signed, SEQUENCE)?;
    let (_, _, end) = value(validity)?;
    let (tag, text, _) = value(end)?;
    seconds(tag, text)
}

/// The content of a value with this tag, and what follows it.
fn content(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The tag and content of the value at the start, and what follows it.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count > 3 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms of RFC 5280 section 4.1.2.5.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY"
        UTC_TIME => {
            let (year, rest) = (number(text.get(..2)?)?, text.get(2..)?);
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        GENERALIZED_TIME => (number(text.get(..4)?)?, text.get(4..)?),
        _ => return None,
    };
    let parts: Vec<u64> = rest.chunks(2).map(number).collect::<Option<_>>()?;
    let [month, day, hour, minute, second] = parts[..] else { return None };
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    // Days since 1970 of a civil date (Howard Hinnant's algorithm, for years from 1970 on).
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_forms() {
        let utc = |text: &str| seconds(UTC_TIME, text.as_bytes());
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("000229120000Z"), Some(951_825_600));
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        let general = |text: &str| seconds(GENERALIZED_TIME, text.as_bytes());
        assert_eq!(general("20500101000000Z"), Some(2_524_608_000));
        assert_eq!(general("20261130120000Z"), Some(1_796_040_000));
        for wrong in
            ["", "Z", "20261330120000Z", "2026113012000Z", "20261130120000", "2026113012xx00Z"]
        {
            assert_eq!(general(wrong), None, "{wrong}");
        }
        assert_eq!(seconds(SEQUENCE, b"20261130120000Z"), None);
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        for (year, end) in [(2030, 1_898_553_600), (2077, 3_381_782_400)] {
            let mut wanted = rcgen::CertificateParams::new(["dns.example".to_owned()]).unwrap();
            wanted.not_after = rcgen::date_time_ymd(year, 3, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let made = wanted.self_signed(&key).unwrap();
            assert_eq!(not_after(made.der()), Some(end));
            for len in 0..made.der().len().min(200) {
                // What is cut off is never read beyond its end.
                assert_eq!(not_after(&made.der()[..len]), None);
            }
        }
    }
}
