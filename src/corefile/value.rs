//! Values that arguments stand for: their range and unit checks live here, once.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{FromToken, Token};

impl FromToken for String {
    fn from_token(token: &Token) -> Result<Self, String> {
        Ok(token.text.clone())
    }
}

impl FromToken for bool {
    fn from_token(token: &Token) -> Result<Self, String> {
        match token.as_str() {
            "on" | "true" | "yes" => Ok(true),
            "off" | "false" | "no" => Ok(false),
            _ => Err("expected `on` or `off`".to_owned()),
        }
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl FromToken for $number {
            fn from_token(token: &Token) -> Result<Self, String> {
                token.text.parse().map_err(|_| {
                    format!("expected a whole number from {} to {}", Self::MIN, Self::MAX)
                })
            }
        }
    )*};
}

whole_number!(u8, u16, u32, u64, usize, i64);

impl FromToken for f64 {
    fn from_token(token: &Token) -> Result<Self, String> {
        match token.text.parse::<Self>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err("expected a number".to_owned()),
        }
    }
}

impl FromToken for IpAddr {
    fn from_token(token: &Token) -> Result<Self, String> {
        token.text.parse().map_err(|_| "expected an IP address".to_owned())
    }
}

impl FromToken for SocketAddr {
    fn from_token(token: &Token) -> Result<Self, String> {
        token.text.parse().map_err(|_| "expected an address with a port, `192.0.2.1:53`".to_owned())
    }
}

/// In Go's syntax: `300ms`, `1.5h`, `2h45m`, `0`.
impl FromToken for Duration {
    fn from_token(token: &Token) -> Result<Self, String> {
        let expected = || "expected a duration such as `30s`, `1h` or `500ms`".to_owned();
        let text = token.as_str();
        if let Some(rest) = text.strip_prefix('-') {
            go_duration(rest).ok_or_else(expected)?;
            return Err("expected a duration that is not negative".to_owned());
        }
        go_duration(text.strip_prefix('+').unwrap_or(text)).ok_or_else(expected)
    }
}

/// A duration as Go prints it: `30s`, `5m0s`, `1h0m0s`, `1.5s`, `100ms`.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128| {
        let text = format!("{}.{:0width$}", nanos / unit, nanos % unit, width = digits(unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(1_000_000)),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = Duration::new(seconds % 60, duration.subsec_nanos()).as_secs_f64();
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// A count with its noun: `1 error`, `2 errors`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How many digits a fraction of `unit`, a power of ten, has.
fn digits(unit: u128) -> usize {
    unit.ilog10() as usize
}

fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0u128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(number_len);
        let unit_len =
            behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos = nanos.checked_add(whole.checked_mul(scale)?)?;
        // Digits below a nanosecond do not count.
        let mut part = scale;
        for digit in fraction.bytes() {
            part /= 10;
            nanos = nanos.checked_add(u128::from(digit - b'0') * part)?;
        }
        rest = behind;
    }
    // Go's durations end at 292 years.
    (nanos <= i64::MAX as u128).then(|| Duration::from_nanos(nanos as u64))
}

/// A duration whose bare number means seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl FromToken for Seconds {
    fn from_token(token: &Token) -> Result<Self, String> {
        if let Ok(seconds) = token.text.parse::<u32>() {
            return Ok(Self(Duration::from_secs(u64::from(seconds))));
        }
        Duration::from_token(token).map(Self)
    }
}

/// A share: `10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(pub u8);

impl FromToken for Percent {
    fn from_token(token: &Token) -> Result<Self, String> {
        let number = token.text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
        number
            .filter(|&percent| percent <= 100)
            .map(Self)
            .ok_or_else(|| "expected a percentage such as `10%`".to_owned())
    }
}

/// A range of addresses; a bare address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as written.
    pub addr: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `ip` is in the range; IPv4 inside IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let shift = |bits: u32| bits - u32::from(self.prefix).min(bits);
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let different = u32::from(own) ^ u32::from(other);
                different.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let different = u128::from(own) ^ u128::from(other);
                different.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromToken for Cidr {
    fn from_token(token: &Token) -> Result<Self, String> {
        let expected = || "expected an IP address or a range such as `10.0.0.0/8`".to_owned();
        let (address, prefix) = match token.text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (token.as_str(), None),
        };
        let addr: IpAddr = address.parse().map_err(|_| expected())?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|&prefix| prefix <= most)
                .ok_or_else(|| format!("expected a prefix length up to {most}"))?,
        };
        Ok(Self { addr, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: FromToken>(text: &str) -> Result<T, String> {
        T::from_token(&Token { text: text.to_owned(), span: crate::Span::default(), quoted: false })
    }

    #[test]
    fn durations_are_gos() {
        let ms = |text: &str| parse::<Duration>(text).map(|duration| duration.as_millis());
        assert_eq!(ms("300ms"), Ok(300));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("2h45m"), Ok(9_900_000));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(ms(".5s"), Ok(500));
        for bad in ["", "5", "s", "1x", "1.2.3s", "99999999999h", "-5s", "-x", "1s2"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
        assert_eq!(parse::<Seconds>("7"), Ok(Seconds(Duration::from_secs(7))));
        assert_eq!(parse::<Seconds>("1m"), Ok(Seconds(Duration::from_secs(60))));
    }

    #[test]
    fn ranges_contain_their_addresses() {
        let contains =
            |range: &str, ip: &str| parse::<Cidr>(range).unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.1.2.3"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(contains("2001:db8::/32", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "192.0.2.1"));
        assert!(parse::<Cidr>("10.0.0.0/33").is_err());
    }

    #[test]
    fn other_values() {
        assert_eq!(parse::<Percent>("10%"), Ok(Percent(10)));
        assert!(parse::<Percent>("101%").is_err());
        assert!(parse::<Percent>("10").is_err());
        assert_eq!(parse::<bool>("off"), Ok(false));
        assert_eq!(parse::<u16>("70000").unwrap_err(), "expected a whole number from 0 to 65535");
    }

    #[test]
    fn durations_are_shown_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (300_000_000_000, "5m0s"),
            (3_661_500_000_000, "1h1m1.5s"),
            (7_200_000_000_000, "2h0m0s"),
        ] {
            assert_eq!(show_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
