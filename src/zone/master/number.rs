//! Numbers, times and addresses in text.

/// Decimal digits and nothing else, up to `max`.
#[inline]
pub(super) fn decimal(raw: &[u8], max: u64) -> Option<u64> {
    if raw.is_empty() || raw.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    for &byte in raw {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (value <= max).then_some(value)
}

/// Whether this is a number with or without a sign and a fraction (RFC 1712 section 3: "the real
/// number … encoded as a printable string").
pub(super) fn is_decimal(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").or_else(|| raw.strip_prefix(b"+")).unwrap_or(raw);
    let all = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    match memchr::memchr(b'.', digits) {
        Some(dot) => all(&digits[..dot]) && all(&digits[dot + 1..]) && digits.len() > 1,
        None => all(digits) && !digits.is_empty(),
    }
}

/// Seconds, or a sum of units such as `1w2d3h4m5s`.
pub(super) fn ttl(raw: &[u8]) -> Option<u32> {
    if let Some(seconds) = decimal(raw, u64::from(u32::MAX)) {
        return u32::try_from(seconds).ok();
    }
    let (mut total, mut value, mut digits) = (0u64, 0u64, false);
    for &byte in raw {
        if byte.is_ascii_digit() {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            digits = true;
            continue;
        }
        let unit = match byte.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        if !digits {
            return None;
        }
        total = total.checked_add(value.checked_mul(unit)?)?;
        value = 0;
        digits = false;
    }
    // As in CoreDNS, digits after the last unit are seconds.
    u32::try_from(total.checked_add(value)?).ok().filter(|_| !raw.is_empty())
}

/// Four decimal octets without leading zeros.
#[inline]
pub(super) fn ipv4(raw: &[u8]) -> Option<[u8; 4]> {
    let mut out = [0u8; 4];
    let (mut at, mut value, mut digits) = (0usize, 0u32, 0u32);
    for &byte in raw {
        if byte == b'.' {
            if digits == 0 || at == 3 {
                return None;
            }
            out[at] = value as u8;
            at += 1;
            value = 0;
            digits = 0;
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || (digits > 0 && value == 0) {
            return None;
        }
        value = value * 10 + u32::from(digit);
        digits += 1;
        if value > 255 {
            return None;
        }
    }
    if at != 3 || digits == 0 {
        return None;
    }
    out[3] = value as u8;
    Some(out)
}

static NIBBLE: [u8; 256] = {
    let mut table = [255u8; 256];
    let mut at = 0;
    while at < 10 {
        table[b'0' as usize + at] = at as u8;
        at += 1;
    }
    at = 0;
    while at < 6 {
        table[b'a' as usize + at] = at as u8 + 10;
        table[b'A' as usize + at] = at as u8 + 10;
        at += 1;
    }
    table
};

/// The value of a hex digit; above 15 when it is none.
#[inline]
fn nibble(byte: u8) -> u8 {
    NIBBLE[usize::from(byte)]
}

/// The text forms of RFC 4291 section 2.2.
#[inline]
pub(super) fn ipv6(raw: &[u8]) -> Option<[u8; 16]> {
    let mut out = [0u8; 16];
    let mut at = 0; // next byte of `out`
    let mut gap = None;
    let mut pos = 0;
    if raw.starts_with(b"::") {
        gap = Some(0);
        pos = 2;
    }
    while pos < raw.len() {
        let group = pos;
        let mut value = 0u32;
        while let Some(&byte) = raw.get(pos) {
            let nibble = nibble(byte);
            if nibble > 15 {
                break;
            }
            value = value << 4 | u32::from(nibble);
            pos += 1;
            if pos - group > 4 {
                return None;
            }
        }
        match raw.get(pos) {
            Some(b'.') => {
                let tail = ipv4(&raw[group..])?;
                out.get_mut(at..at + 4)?.copy_from_slice(&tail);
                at += 4;
                break;
            }
            _ if pos == group => return None,
            end => {
                out.get_mut(at..at + 2)?.copy_from_slice(&(value as u16).to_be_bytes());
                at += 2;
                match end {
                    None => break,
                    Some(b':') if raw.get(pos + 1) == Some(&b':') => {
                        if gap.is_some() {
                            return None;
                        }
                        gap = Some(at);
                        pos += 2;
                    }
                    Some(b':') if pos + 1 < raw.len() => pos += 1,
                    Some(_) => return None,
                }
            }
        }
    }
    match gap {
        Some(gap) if at <= 14 => {
            out.copy_within(gap..at, 16 - (at - gap));
            out[gap..16 - (at - gap)].fill(0);
            Some(out)
        }
        None if at == 16 => Some(out),
        _ => None,
    }
}

/// `YYYYMMDDHHmmSS` (RFC 4034 section 3.2) or seconds since 1970, in 32 bits that wrap.
pub(super) fn timestamp(raw: &[u8]) -> Option<u32> {
    if raw.len() != 14 {
        return decimal(raw, u64::from(u32::MAX)).and_then(|value| u32::try_from(value).ok());
    }
    let part = |from: usize, to: usize| decimal(&raw[from..to], 9999);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds & 0xFFFF_FFFF) as u32)
}

/// The inverse of `timestamp`, for the years up to 2106.
pub(super) fn show_timestamp(seconds: u32) -> String {
    let (mut days, rest) = (u64::from(seconds / 86_400), seconds % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1)
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before(year: u64, month: u64) -> u64 {
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    (year - 1970) * 365 + leaps + (1..month).map(|month| days_in(year, month)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(ttl(b"1h30m"), Some(5400));
        assert_eq!(ttl(b"1W2d"), Some(604_800 + 2 * 86_400));
        assert_eq!(ttl(b"1h5"), Some(3605));
        for bad in ["", "h", "1x", "4294967296", "1hh", "-1", "+1"] {
            assert_eq!(ttl(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn times_are_those_of_the_rfc() {
        assert_eq!(timestamp(b"20030322173103"), Some(1_048_354_263));
        assert_eq!(show_timestamp(1_048_354_263), "20030322173103");
        assert_eq!(timestamp(b"20030229000000"), None);
        for seconds in (0..u32::MAX - 99_999_999).step_by(99_999_999) {
            assert_eq!(timestamp(show_timestamp(seconds).as_bytes()), Some(seconds));
        }
    }

    #[test]
    fn addresses_agree_with_the_standard_library() {
        let samples = [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1::8",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1::2::3",
            ":1",
            "1:",
            ":::",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::12345",
            "::g",
            "1.2.3.4",
            "",
            "::1.2.3",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "::1.2.3.4:5",
            "::ffff:1.2.3.04",
            "1:2:3:4:5:6:7::8",
            "fe80::1%1",
            "::.",
            "::1.2.3.4 ",
            "0:0:0:0:0:0:0:0",
        ];
        for text in samples {
            let expect = text.parse::<std::net::Ipv6Addr>().ok().map(|addr| addr.octets());
            assert_eq!(ipv6(text.as_bytes()), expect, "{text}");
        }
        for text in [
            "1.2.3.4",
            "01.2.3.4",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.",
            ".1.2.3",
            "0.0.0.0",
            "1..2.3",
            "255.255.255.255",
            "1.2.3.4.5",
            "00.1.1.1",
            "1.2.3.1000",
        ] {
            let expect = text.parse::<std::net::Ipv4Addr>().ok().map(|addr| addr.octets());
            assert_eq!(ipv4(text.as_bytes()), expect, "{text}");
        }
    }
}
