//! How much memory stores may grow to, where an operator has set a bound for the process.
//!
//! It is a service of the world. It counts what was promised, not what is used.

/// Octets that stores may hold.
#[derive(Debug)]
pub struct Memory(u64);

impl Memory {
    /// Stores may take half of what the process may: the rest is for zones, buffers and code.
    pub fn of_process(limit: u64) -> Self {
        Self(limit / 2)
    }

    /// How much all stores together may hold.
    pub fn for_stores(&self) -> u64 {
        self.0
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
}
