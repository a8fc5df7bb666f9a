//! Go's `fmt`: `print`, `println` and `printf`.

use std::fmt::Write;

use super::quote;
use crate::error::MAX_OUTPUT;
use crate::value::Value;

/// The largest width and precision; Go's bound.
const MAX_NUMBER: usize = 1_000_000;
/// The largest precision that Rust's formatter takes. A text with more digits exceeds [`MAX_OUTPUT`].
const MAX_DIGITS: usize = u16::MAX as usize;

/// How a verb wants its value.
#[derive(Clone, Copy, Default)]
struct Flags {
    sharp: bool,
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    /// `%#v`
    syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Writes the values, with a space between two that are not texts.
pub(crate) fn print(out: &mut String, values: &[Value<'_>]) {
    let is_text = |value: &Value<'_>| matches!(value, Value::Text(_));
    for (index, value) in values.iter().enumerate() {
        if index > 0 && !is_text(value) && !is_text(&values[index - 1]) {
            out.push(' ');
        }
        plain(out, value);
        // The caller reports the excess.
        if out.len() > MAX_OUTPUT {
            return;
        }
    }
}

/// Writes the values with spaces between them and a line break behind them.
pub(crate) fn println(out: &mut String, values: &[Value<'_>]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        plain(out, value);
        // The caller reports the excess.
        if out.len() > MAX_OUTPUT {
            return;
        }
    }
    out.push('\n');
}

/// Writes a value as `%v` does.
pub(crate) fn plain(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Text(text) => out.push_str(text),
        _ => Flags::default().value(out, 'v', value),
    }
}

/// Writes the values as `format` says. As in Go, what is wrong shows in the text.
pub(crate) fn printf(out: &mut String, format: &str, values: &[Value<'_>]) {
    let mut printer = Printf { rest: format, values, next: 0, good: true, reordered: false };
    while let Some(at) = printer.rest.find('%') {
        out.push_str(&printer.rest[..at]);
        printer.rest = &printer.rest[at + 1..];
        printer.verb(out);
        // The caller reports the excess.
        if out.len() > MAX_OUTPUT {
            return;
        }
    }
    out.push_str(printer.rest);
    if !printer.reordered && printer.next < values.len() {
        out.push_str("%!(EXTRA ");
        for (index, value) in values[printer.next..].iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            typed(out, Flags::default(), value);
        }
        out.push(')');
    }
}

/// The value with its type before it.
fn typed(out: &mut String, flags: Flags, value: &Value<'_>) {
    match value {
        Value::None => out.push_str("<nil>"),
        _ => {
            out.push_str(&value.type_name());
            out.push('=');
            flags.value(out, 'v', value);
        }
    }
}

struct Printf<'f, 'v, 'a> {
    rest: &'f str,
    values: &'v [Value<'a>],
    /// The argument that comes next.
    next: usize,
    /// Whether the indexes in this verb, `[n]`, were right.
    good: bool,
    reordered: bool,
}

impl Printf<'_, '_, '_> {
    /// One verb, whose `%` is read.
    fn verb(&mut self, out: &mut String) {
        let mut flags = Flags::default();
        self.good = true;
        loop {
            match self.rest.as_bytes().first() {
                Some(b'#') => flags.sharp = true,
                Some(b'0') => flags.zero = true,
                Some(b'+') => flags.plus = true,
                Some(b'-') => flags.minus = true,
                Some(b' ') => flags.space = true,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        let mut indexed = self.index();
        if self.eat('*') {
            let width = self.number_argument();
            if width.is_none() {
                out.push_str("%!(BADWIDTH)");
            }
            if width.is_some_and(|width| width < 0) {
                flags.minus = true;
                flags.zero = false;
            }
            flags.width = width.map(|width| width.unsigned_abs() as usize);
            indexed = false;
        } else {
            flags.width = self.number();
            self.good &= !(indexed && flags.width.is_some());
        }
        if self.rest.len() > 1 && self.eat('.') {
            self.good &= !indexed;
            indexed = self.index();
            if self.eat('*') {
                let precision = self.number_argument();
                flags.precision = precision.and_then(|number| usize::try_from(number).ok());
                if flags.precision.is_none() {
                    out.push_str("%!(BADPREC)");
                }
                indexed = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        let Some(verb) = self.rest.chars().next() else {
            return out.push_str("%!(NOVERB)");
        };
        self.rest = &self.rest[verb.len_utf8()..];
        let _ = match (verb, self.values.get(self.next)) {
            ('%', _) => write!(out, "%"),
            _ if !self.good => write!(out, "%!{verb}(BADINDEX)"),
            (_, None) => write!(out, "%!{verb}(MISSING)"),
            (_, Some(value)) => {
                self.next += 1;
                if verb == 'v' {
                    flags.syntax = std::mem::take(&mut flags.sharp);
                    flags.plus = false;
                }
                flags.value(out, verb, value);
                Ok(())
            }
        };
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `[n]`: the number of the argument that comes next.
    fn index(&mut self) -> bool {
        let Some(rest) = self.rest.strip_prefix('[') else { return false };
        self.reordered = true;
        let Some(end) = rest.find(']') else {
            self.good = false;
            self.rest = rest;
            return false;
        };
        self.rest = &rest[end + 1..];
        match rest[..end].parse::<usize>() {
            Ok(number) if (1..=self.values.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            _ => {
                self.good = false;
                true
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest[..digits].parse().ok().filter(|&number| number <= MAX_NUMBER);
        // Go reads on behind a number that is too large, and so finds no verb.
        self.rest = &self.rest[digits..];
        number
    }

    /// The argument for a `*`.
    fn number_argument(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Uint(number, _) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (number.unsigned_abs() as usize <= MAX_NUMBER).then_some(number)
    }
}

impl Flags {
    fn value(&self, out: &mut String, verb: char, value: &Value<'_>) {
        match value {
            _ if verb == 'T' => match value {
                Value::None => self.text(out, "<nil>"),
                _ => self.text(out, &value.type_name()),
            },
            Value::None if verb == 'v' => self.pad(out, "<nil>"),
            Value::Bool(yes) if matches!(verb, 't' | 'v') => {
                self.pad(out, if *yes { "true" } else { "false" });
            }
            Value::Int(number) => {
                self.integer(out, verb, number.unsigned_abs(), *number < 0, true, value);
            }
            Value::Uint(number, _) => self.integer(out, verb, *number, false, false, value),
            Value::Float(number) if "veEfFgG".contains(verb) => self.float(out, verb, *number),
            Value::Text(text) if "vsxXq".contains(verb) => self.string(out, verb, text),
            Value::Object(object) if "vsxXq".contains(verb) => {
                self.string(out, verb, &object.text().unwrap_or_default());
            }
            Value::List(list) => {
                let (open, between, close) = self.brackets(value, "[", "]");
                out.push_str(&open);
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(between);
                    }
                    self.value(out, verb, item);
                }
                out.push_str(close);
            }
            Value::Map(map) => {
                let (open, between, close) = self.brackets(value, "map[", "]");
                out.push_str(&open);
                for (index, (key, item)) in map.entries.iter().enumerate() {
                    if index > 0 {
                        out.push_str(between);
                    }
                    self.value(out, verb, &Value::text(key));
                    out.push(':');
                    self.value(out, verb, item);
                }
                out.push_str(close);
            }
            _ => bad_verb(out, *self, verb, value),
        }
    }

    fn brackets<'b>(
        &self,
        value: &Value<'_>,
        open: &str,
        close: &'b str,
    ) -> (String, &'static str, &'b str) {
        if self.syntax {
            return (value.type_name() + "{", ", ", "}");
        }
        (open.to_owned(), " ", close)
    }

    fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if self.zero && !self.minus { '0' } else { ' ' };
        if !self.minus {
            out.extend(std::iter::repeat_n(fill, missing));
        }
        out.push_str(text);
        if self.minus {
            out.extend(std::iter::repeat_n(fill, missing));
        }
    }

    fn cut<'t>(&self, text: &'t str) -> &'t str {
        match self.precision.and_then(|most| text.char_indices().nth(most)) {
            Some((end, _)) => &text[..end],
            None => text,
        }
    }

    fn text(&self, out: &mut String, text: &str) {
        self.pad(out, self.cut(text));
    }

    fn string(&self, out: &mut String, verb: char, text: &str) {
        match verb {
            'x' | 'X' => self.hex(out, verb, text),
            'q' => self.quoted(out, text),
            'v' if self.syntax => self.quoted(out, text),
            _ => self.text(out, text),
        }
    }

    fn quoted(&self, out: &mut String, text: &str) {
        let text = self.cut(text);
        let mut quoted = String::new();
        let can_be_raw = |next: char| {
            next != '`' && next != '\u{feff}' && (next == '\t' || next >= ' ') && next != '\u{7f}'
        };
        if self.sharp && text.chars().all(can_be_raw) {
            quoted = format!("`{text}`");
        } else {
            quote::string(&mut quoted, text, self.plus);
        }
        self.pad(out, &quoted);
    }

    fn hex(&self, out: &mut String, verb: char, text: &str) {
        let bytes = &text.as_bytes()[..self.precision.unwrap_or(text.len()).min(text.len())];
        let prefix = match (self.sharp, verb) {
            (false, _) => "",
            (true, 'x') => "0x",
            (true, _) => "0X",
        };
        let mut shown = String::new();
        for (index, byte) in bytes.iter().enumerate() {
            if index == 0 || self.space {
                shown.push_str(if index > 0 { " " } else { "" });
                shown.push_str(prefix);
            }
            let _ =
                if verb == 'x' { write!(shown, "{byte:02x}") } else { write!(shown, "{byte:02X}") };
        }
        self.pad(out, &shown);
    }

    fn integer(
        &self,
        out: &mut String,
        verb: char,
        magnitude: u64,
        negative: bool,
        signed: bool,
        value: &Value<'_>,
    ) {
        let mut prefix = "";
        let mut digits = match verb {
            'v' if self.syntax && !signed => {
                prefix = "0x";
                format!("{magnitude:x}")
            }
            'v' | 'd' => magnitude.to_string(),
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'c' | 'q' | 'U' => return self.rune(out, verb, magnitude, negative),
            _ => return bad_verb(out, *self, verb, value),
        };
        let padded = self.zero && !self.minus;
        let signs = negative || self.plus || self.space;
        let least = match (self.precision, self.width) {
            (Some(0), _) if magnitude == 0 => return Self { zero: false, ..*self }.pad(out, ""),
            (Some(precision), _) => precision,
            (None, Some(width)) if padded => width.saturating_sub(usize::from(signs)),
            _ => 0,
        };
        let missing = least.saturating_sub(digits.len());
        digits.insert_str(0, &"0".repeat(missing));
        match verb {
            'b' if self.sharp => prefix = "0b",
            'o' if self.sharp && !digits.starts_with('0') => prefix = "0",
            'O' => prefix = "0o",
            'x' if self.sharp => prefix = "0x",
            'X' if self.sharp => prefix = "0X",
            _ => {}
        }
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        Self { zero: false, ..*self }.pad(out, &format!("{sign}{prefix}{digits}"));
    }

    fn rune(&self, out: &mut String, verb: char, magnitude: u64, negative: bool) {
        let found = u32::try_from(magnitude).ok().filter(|_| !negative).and_then(char::from_u32);
        let rune = found.unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut shown = String::new();
        match verb {
            'c' => shown.push(rune),
            'q' => quote::rune(&mut shown, rune, self.plus),
            _ => {
                let number = if negative { magnitude.wrapping_neg() } else { magnitude };
                let digits = self.precision.unwrap_or(4).clamp(4, MAX_DIGITS);
                let _ = write!(shown, "U+{number:0digits$X}");
                if self.sharp && found.is_some_and(quote::is_print) {
                    let _ = write!(shown, " '{rune}'");
                }
                return Self { zero: false, ..*self }.pad(out, &shown);
            }
        }
        self.pad(out, &shown);
    }

    fn float(&self, out: &mut String, verb: char, number: f64) {
        let magnitude = number.abs();
        let precision = self.precision.map(|precision| precision.min(MAX_DIGITS));
        let digits = match verb {
            'f' | 'F' => format!("{magnitude:.*}", precision.unwrap_or(6)),
            // The digit before the point counts too.
            'e' | 'E' => {
                let behind = precision.map_or(6, |precision| precision.min(MAX_DIGITS - 1));
                exponent(&format!("{magnitude:.behind$e}"))
            }
            _ => general(magnitude, precision),
        };
        let digits = if matches!(verb, 'E' | 'G') { digits.to_uppercase() } else { digits };
        let sign = match (number.is_sign_negative(), self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let width = self.width.unwrap_or(0);
        if self.zero && !self.minus && width > sign.len() + digits.len() {
            let zeros = width - sign.len() - digits.len();
            let _ = write!(out, "{sign}{}{digits}", "0".repeat(zeros));
            return;
        }
        self.pad(out, &format!("{sign}{digits}"));
    }
}

/// Rust's exponents as Go writes them: a sign and at least two digits.
fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

/// `%g`: an exponent only where the number is very small or large.
fn general(number: f64, precision: Option<usize>) -> String {
    let shown = match precision {
        Some(precision) => format!("{number:.*e}", precision.max(1) - 1),
        None => format!("{number:e}"),
    };
    let Some((digits, power)) = shown.split_once('e') else { return shown };
    let power: i32 = power.parse().unwrap_or(0);
    let digits = match precision {
        Some(_) if digits.contains('.') => digits.trim_end_matches('0').trim_end_matches('.'),
        _ => digits,
    };
    let count = digits.len() as i32 - i32::from(digits.contains('.'));
    let most = match precision {
        None => 6,
        Some(precision) => {
            let most = precision.max(1) as i32;
            if most > count && count > power { count } else { most }
        }
    };
    if power < -4 || power >= most {
        return exponent(&format!("{digits}e{power}"));
    }
    let decimals = (count - 1 - power).max(0) as usize;
    format!("{number:.decimals$}")
}

/// A verb that does not fit its value, which is shown; flags and width hold for it.
fn bad_verb(out: &mut String, flags: Flags, verb: char, value: &Value<'_>) {
    let _ = write!(out, "%!{verb}(");
    typed(out, flags, value);
    out.push(')');
}
