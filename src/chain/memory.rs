//! How much memory stores may grow to, where an operator has set a bound for the process.
//!
//! It is a service of the world. It counts what was promised, not what is used.

use std::sync::atomic::{AtomicU64, Ordering};

/// Octets that are not promised to any store yet.
#[derive(Debug)]
pub struct Memory(AtomicU64);

impl Memory {
    /// Stores may take half of what the process may: the rest is for zones, buffers and code.
    pub fn of_process(limit: u64) -> Self {
        Self(AtomicU64::new(limit / 2))
    }

    /// Promises `octets`, or what is left of them.
    pub fn take(&self, octets: u64) -> u64 {
        let left = self.0.load(Ordering::Relaxed);
        let granted = octets.min(left);
        // Configurations are set up by one thread.
        self.0.store(left - granted, Ordering::Relaxed);
        granted
    }
}

/// The limit in `GOMEMLIMIT`'s notation: octets, with a unit or without, or `off`.
///
/// # Errors
/// The text is nothing of that.
pub fn parse_limit(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        unit => return Err(format!("`{unit}` is no unit: B, KiB, MiB, GiB or TiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
    number.checked_mul(1 << shift).map(Some).ok_or_else(|| format!("`{text}` is too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_go_reads_them() {
        assert_eq!(parse_limit("off"), Ok(None));
        assert_eq!(parse_limit("178257920"), Ok(Some(170 << 20)));
        assert_eq!(parse_limit("170MiB"), Ok(Some(170 << 20)));
        assert_eq!(parse_limit("2GiB"), Ok(Some(2 << 30)));
        for wrong in ["170M", "MiB", "1.5GiB", "-1", "99999999TiB"] {
            assert!(parse_limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_more_is_promised_than_there_is() {
        let memory = Memory::of_process(200);
        assert_eq!([memory.take(70), memory.take(70), memory.take(70)], [70, 30, 0]);
    }
}
