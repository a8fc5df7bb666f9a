//! A small JSON writer for log lines: no tree, no allocation but the line's own.
//!
//! Lines have the form of Go's `slog`, as CoreDNS after 1.14 writes them: `time`, `level`, `msg`, and
//! then the other members.

use std::fmt;
use std::io::Write;

use crate::level::Level;

/// Starts an object with the time, the level and the message. The next member starts with a comma.
pub fn start(line: &mut Vec<u8>, unix: u64, level: Level, message: impl fmt::Display) {
    line.extend_from_slice(b"{\"time\":\"");
    time(line, unix);
    let _ = write!(line, "\",\"level\":\"{}\",\"msg\":", level.json());
    string(line, message);
}

/// Writes a string (RFC 8259 section 7).
pub fn string(line: &mut Vec<u8>, value: impl fmt::Display) {
    line.push(b'"');
    let _ = fmt::write(&mut Escape(line), format_args!("{value}"));
    line.push(b'"');
}

struct Escape<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let _ = write!(self.0, "\\u{byte:04x}");
                }
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }
}

/// Seconds since 1970 as a date and time in UTC (RFC 3339).
fn time(line: &mut Vec<u8>, unix: u64) {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years that start in March have their leap day last; 719,468 days lie before 1970.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(line, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut line = Vec::new();
        string(&mut line, "a\"b\\c\nd\u{e9}");
        assert_eq!(line, "\"a\\\"b\\\\c\\u000ad\u{e9}\"".as_bytes());
    }

    #[test]
    fn times_are_dates() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_764_000_000, "2025-11-24T16:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let mut line = Vec::new();
            time(&mut line, unix);
            assert_eq!(String::from_utf8(line).unwrap(), text, "{unix}");
        }
    }
}
