//! Reads the times of annotations.

/// Microseconds since 1970 of an RFC 3339 time, as `2026-11-30T12:00:00.5Z`. `None` if it is none, or before.
pub(super) fn unix_micros(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-');
    let mut number = |most: u64| {
        date.next().filter(|part| part.len() <= 4)?.parse::<u64>().ok().filter(|it| *it <= most)
    };
    let (year, month, day) = (number(9999)?, number(12)?, number(31)?);
    let zone = rest.rfind(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let (second, fraction) = match parts.next()?.split_once('.') {
        Some((second, fraction)) => (second.parse::<u64>().ok()?, fraction),
        None => (clock.rsplit(':').next()?.parse::<u64>().ok()?, ""),
    };
    if month == 0 || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut micros = 0;
    for at in 0..6 {
        let digit =
            fraction.as_bytes().get(at).map_or(Some(0), |digit| (*digit as char).to_digit(10));
        micros = micros * 10 + u64::from(digit?);
    }
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, shift) => {
            let (hours, minutes) = shift.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days since 1970: years begin in March, so that the leap day ends one.
    let (year, month) =
        if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = i64::try_from(seconds).ok()? - offset * 60;
    Some(u64::try_from(seconds).ok()? * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::unix_micros;

    #[test]
    fn times_are_read_in_any_zone() {
        assert_eq!(unix_micros("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_micros("2026-11-30T12:34:56Z"), Some(1_796_042_096_000_000));
        assert_eq!(unix_micros("2026-11-30T12:34:56.25Z"), Some(1_796_042_096_250_000));
        assert_eq!(unix_micros("2026-11-30T14:34:56+02:00"), Some(1_796_042_096_000_000));
        assert_eq!(unix_micros("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000));
        for wrong in ["", "now", "2026-11-30", "2026-13-30T00:00:00Z", "2026-11-30T00:00:00"] {
            assert_eq!(unix_micros(wrong), None, "{wrong}");
        }
    }
}
