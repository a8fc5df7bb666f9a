//! Numbers as Go writes them.

/// A number of a body: an integer, a float, or both, as in `1e3`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) written: String,
    /// Its value where an integer is wanted.
    pub(crate) integer: Option<i64>,
    float: f64,
    /// Whether it is a float where nothing special is wanted.
    is_float: bool,
}

/// The value of a number where nothing special is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Integer(i64),
    Float(f64),
    /// Larger than an integer can be.
    Overflow,
}

impl Number {
    /// A character's number.
    pub(crate) fn rune(written: &str, rune: char) -> Self {
        let value = u32::from(rune);
        Self {
            written: written.to_owned(),
            integer: Some(i64::from(value)),
            float: f64::from(value),
            is_float: false,
        }
    }

    /// Reads a number. Errors: why it is none.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        let (negative, magnitude) = match written.as_bytes().first() {
            Some(b'-') => (true, &written[1..]),
            Some(b'+') => (false, &written[1..]),
            _ => (false, written),
        };
        let hex = magnitude.starts_with("0x") || magnitude.starts_with("0X");
        let whole = parse_uint(magnitude, 0);
        let looks_float = written.contains('.')
            || (if hex { written.contains(['p', 'P']) } else { written.contains(['e', 'E']) });
        if looks_float {
            let float = (!hex).then(|| float(magnitude)).flatten();
            let Some(float) = float else {
                return Err(format!("`{written}` is not a number"));
            };
            let float = if negative { -float } else { float };
            // The range in which every integral float is an integer without loss.
            let integral = float.fract() == 0.0 && float.abs() < 9.2e18;
            let integer = integral.then_some(float as i64);
            return Ok(Self { written: written.to_owned(), integer, float, is_float: true });
        }
        match whole {
            Ok(value) => {
                let signed = i128::from(value) * if negative { -1 } else { 1 };
                let integer = i64::try_from(signed).ok();
                if negative && integer.is_none() {
                    return Err(format!("`{written}` is too small for an integer"));
                }
                let float = signed as f64;
                Ok(Self { written: written.to_owned(), integer, float, is_float: false })
            }
            Err(NotUint::Range) => Err(format!("`{written}` is too large for an integer")),
            Err(NotUint::Syntax) => Err(format!("`{written}` is not a number")),
        }
    }

    /// The value where nothing special is wanted.
    pub(crate) fn plain(&self) -> Plain {
        match self.integer {
            _ if self.is_float => Plain::Float(self.float),
            Some(integer) => Plain::Integer(integer),
            None => Plain::Overflow,
        }
    }
}

fn float(text: &str) -> Option<f64> {
    let fits = text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    text.parse().ok().filter(|value: &f64| fits && value.is_finite())
}

/// Why a text is not an unsigned integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUint {
    Syntax,
    Range,
}

/// Reads digits of `base`; base 0 means that a prefix tells it, and allows `_` between digits.
pub(crate) fn parse_uint(text: &str, base: u32) -> Result<u64, NotUint> {
    let free = base == 0;
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match (base, lower.as_deref()) {
        (0, Some("0x")) => (16, &text[2..]),
        (0, Some("0b")) => (2, &text[2..]),
        (0, Some("0o")) => (8, &text[2..]),
        (0, _) if text.len() > 1 && text.starts_with('0') => (8, &text[1..]),
        (0, _) => (10, text),
        (base, _) => (base, text),
    };
    let prefixed = digits.len() < text.len();
    let mut value = 0u64;
    let mut before_digit = prefixed;
    let mut any = false;
    let mut overflow = false;
    for byte in digits.bytes() {
        if byte == b'_' && free {
            if !before_digit {
                return Err(NotUint::Syntax);
            }
            before_digit = false;
            continue;
        }
        let digit = char::from(byte).to_digit(base.min(36)).ok_or(NotUint::Syntax)?;
        match value.checked_mul(u64::from(base)).and_then(|v| v.checked_add(u64::from(digit))) {
            Some(next) => value = next,
            None => overflow = true,
        }
        before_digit = true;
        any = true;
    }
    match (any && before_digit, overflow) {
        (false, _) => Err(NotUint::Syntax),
        (true, true) => Err(NotUint::Range),
        (true, false) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        let plain = |text: &str| Number::parse(text).map(|number| number.plain());
        assert_eq!(plain("12"), Ok(Plain::Integer(12)));
        assert_eq!(plain("-0x1F"), Ok(Plain::Integer(-31)));
        assert_eq!(plain("0b11_0"), Ok(Plain::Integer(6)));
        assert_eq!(plain("017"), Ok(Plain::Integer(15)));
        assert_eq!(plain("1_000"), Ok(Plain::Integer(1000)));
        assert_eq!(plain("1e3"), Ok(Plain::Float(1000.0)));
        assert_eq!(Number::parse("1e3").unwrap().integer, Some(1000));
        assert_eq!(plain("-.5"), Ok(Plain::Float(-0.5)));
        assert_eq!(plain("18446744073709551615"), Ok(Plain::Overflow));
        for bad in ["08", "1__0", "_1", "1_", "0x", "1.2.3", "18446744073709551616", "1i", "-"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_uint("ff", 16), Ok(255));
        assert_eq!(parse_uint("f_f", 16), Err(NotUint::Syntax));
        assert_eq!(parse_uint("zz", 36), Ok(1295));
        assert_eq!(parse_uint("-1", 10), Err(NotUint::Syntax));
        assert_eq!(parse_uint("", 10), Err(NotUint::Syntax));
    }
}
