//! Functions of texts.

use std::fmt::Write;
use std::sync::LazyLock;

use data_encoding::{BASE64, Encoding};

use crate::Value;
use crate::value::{Held, Key, Map, not_for, whole};

/// The longest text that a function makes.
const MAX_TEXT: usize = 1_000_000;

type Result<'v> = std::result::Result<Value<'v>, String>;
type Held_<'v> = Held<'v, str>;

/// The text that argument number `index` is.
fn text<'a, 'v>(
    name: &str,
    arguments: &'a [Value<'v>],
    index: usize,
) -> std::result::Result<&'a Held_<'v>, String> {
    match arguments.get(index) {
        Some(Value::Text(text)) => Ok(text),
        Some(other) => Err(format!("`{name}` does not accept {}", other.kind())),
        None => Err(format!("`{name}` is missing an argument")),
    }
}

/// A part of a text that stays where it is if it can.
pub(crate) fn part<'v>(text: &Held_<'v>, from: usize, to: usize) -> Value<'v> {
    match text {
        Held::Lent(text) => Value::lent(&text[from..to]),
        Held::Shared(shared) if from == 0 && to == shared.len() => Value::Text(text.clone()),
        Held::Shared(shared) => Value::text(&shared[from..to]),
    }
}

/// The part that is left when something was cut off.
fn rest<'v>(text: &Held_<'v>, left: &str) -> Value<'v> {
    let from = left.as_ptr().addr() - text.as_ptr().addr();
    part(text, from, from + left.len())
}

fn bounded<'v>(length: usize, make: impl FnOnce() -> String) -> Result<'v> {
    if length > MAX_TEXT {
        return Err("the string would be too long".to_owned());
    }
    Ok(Value::text(make()))
}

pub(crate) fn trim<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("trim", arguments, 0)?;
    if arguments.len() == 1 {
        return Ok(rest(subject, subject.trim()));
    }
    let letters = text("trim", arguments, 1)?;
    Ok(rest(subject, subject.trim_matches(|letter| letters.contains(letter))))
}

/// The prefix or suffix to take off: a blank, if none is given.
fn fix<'a>(name: &str, arguments: &'a [Value<'_>]) -> std::result::Result<&'a str, String> {
    if arguments.len() > 1 { text(name, arguments, 1).map(|text| &**text) } else { Ok(" ") }
}

pub(crate) fn trim_prefix<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("trimPrefix", arguments, 0)?;
    let fix = fix("trimPrefix", arguments)?;
    Ok(rest(subject, subject.strip_prefix(fix).unwrap_or(subject)))
}

pub(crate) fn trim_suffix<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("trimSuffix", arguments, 0)?;
    let fix = fix("trimSuffix", arguments)?;
    Ok(rest(subject, subject.strip_suffix(fix).unwrap_or(subject)))
}

pub(crate) fn upper<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("upper", arguments, 0)?;
    if subject.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase()) {
        return Ok(Value::Text(subject.clone()));
    }
    Ok(Value::text(subject.to_uppercase()))
}

pub(crate) fn lower<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("lower", arguments, 0)?;
    if subject.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Ok(Value::Text(subject.clone()));
    }
    Ok(Value::text(subject.to_lowercase()))
}

pub(crate) fn split<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    pieces("split", arguments, 0)
}

pub(crate) fn split_after<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    pieces("splitAfter", arguments, 1)
}

/// The pieces between separators, of which each keeps `kept` separators behind it; at most as many
/// as the third argument says.
fn pieces<'v>(name: &str, arguments: &[Value<'v>], kept: usize) -> Result<'v> {
    let (subject, separator) = (text(name, arguments, 0)?, text(name, arguments, 1)?);
    let most = arguments.get(2).and_then(whole).unwrap_or(-1);
    let most = if most < 0 { usize::MAX } else { most as usize };
    let mut found = Vec::new();
    let mut from = 0;
    // Without a separator the pieces are the letters.
    let width = |at: usize| subject[at..].chars().next().map_or(0, char::len_utf8);
    while found.len() + 1 < most {
        let ends = if separator.is_empty() {
            let end = from + width(from);
            (end < subject.len()).then_some((end, end))
        } else {
            let at = subject[from..].find(&**separator).map(|at| from + at);
            at.map(|at| (at + kept * separator.len(), at + separator.len()))
        };
        let Some((end, next)) = ends else { break };
        found.push(part(subject, from, end));
        from = next;
    }
    if most > 0 && !(separator.is_empty() && subject.is_empty()) {
        found.push(part(subject, from, subject.len()));
    }
    Ok(Value::list(found))
}

pub(crate) fn replace<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("replace", arguments, 0)?;
    let (from, to) = (text("replace", arguments, 1)?, text("replace", arguments, 2)?);
    let most = arguments.get(3).and_then(whole).unwrap_or(-1);
    let count = subject.matches(&**from).count();
    let count = usize::try_from(most).map_or(count, |most| count.min(most));
    let length = subject.len() + count.saturating_mul(to.len());
    bounded(length, || subject.replacen(&**from, to, count))
}

pub(crate) fn repeat<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("repeat", arguments, 0)?;
    match arguments.get(1).and_then(whole).map(usize::try_from) {
        Some(Ok(count)) => {
            bounded(subject.len().saturating_mul(count).max(count), || subject.repeat(count))
        }
        _ => Err("`repeat` expects a count of at least 0".to_owned()),
    }
}

pub(crate) fn join<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let glue = if arguments.len() > 1 { &**text("join", arguments, 1)? } else { "" };
    let Some(Value::List(items)) = arguments.first() else {
        return not_for("join", arguments.first().unwrap_or(&Value::Nil));
    };
    let mut length = items.len().saturating_mul(glue.len());
    let mut texts = Vec::with_capacity(items.len());
    for index in 0..items.len() {
        let item = &**text("join", items, index)?;
        length += item.len();
        texts.push(item);
    }
    bounded(length, || texts.join(glue))
}

fn index(found: Option<usize>) -> Value<'static> {
    Value::Int(found.map_or(-1, |at| at as i64))
}

pub(crate) fn index_of<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let (subject, part) = (text("indexOf", arguments, 0)?, text("indexOf", arguments, 1)?);
    Ok(index(subject.find(&**part)))
}

pub(crate) fn last_index_of<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let (subject, part) = (text("lastIndexOf", arguments, 0)?, text("lastIndexOf", arguments, 1)?);
    Ok(index(subject.rfind(&**part)))
}

pub(crate) fn has_prefix<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let (subject, part) = (text("hasPrefix", arguments, 0)?, text("hasPrefix", arguments, 1)?);
    Ok(Value::Bool(subject.starts_with(&**part)))
}

pub(crate) fn has_suffix<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let (subject, part) = (text("hasSuffix", arguments, 0)?, text("hasSuffix", arguments, 1)?);
    Ok(Value::Bool(subject.ends_with(&**part)))
}

pub(crate) fn string<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    Ok(match arguments.first() {
        Some(Value::Text(text)) => Value::Text(text.clone()),
        Some(other) => Value::text(other.to_string()),
        None => Value::lent(""),
    })
}

// --- JSON and Base64

/// JSON as Go writes it, two blanks deeper with each level.
pub(crate) fn to_json<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut out = String::new();
    write_json(&mut out, arguments.first().unwrap_or(&Value::Nil), 0)?;
    Ok(Value::text(out))
}

fn write_json(
    out: &mut String,
    value: &Value<'_>,
    depth: usize,
) -> std::result::Result<(), String> {
    if out.len() > MAX_TEXT {
        return Err("the string would be too long".to_owned());
    }
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => {
            let Some(text) = json_float(*number) else {
                return Err(format!("JSON cannot represent the number {value}"));
            };
            out.push_str(&text);
        }
        Value::Text(text) => json_text(out, text),
        Value::Bytes(bytes) => json_text(out, &BASE64.encode(bytes)),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(out, depth + 1);
                write_json(out, item, depth + 1)?;
            }
            line(out, depth);
            out.push(']');
        }
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        Value::Map(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                line(out, depth + 1);
                let Key::Text(key) = key else {
                    return Err("a map key in JSON must be a string".to_owned());
                };
                json_text(out, key);
                out.push_str(": ");
                write_json(out, item, depth + 1)?;
            }
            line(out, depth);
            out.push('}');
        }
    }
    Ok(())
}

fn json_float(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e')?;
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        return Some(format!("{digits}e{sign}{exponent}"));
    }
    Some(number.to_string())
}

/// Letters that mean something in HTML are escaped, as Go does.
fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

pub(crate) fn from_json<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let json = serde_json::from_str(text("fromJSON", arguments, 0)?)
        .map_err(|problem| format!("invalid JSON: {problem}"))?;
    Ok(json_value(json))
}

fn json_value<'v>(json: serde_json::Value) -> Value<'v> {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(bool) => Value::Bool(bool),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(items) => Value::list(items.into_iter().map(json_value).collect()),
        serde_json::Value::Object(pairs) => {
            let key = |key: String| Key::Text(Held::Shared(key.into()));
            let pairs = pairs.into_iter().map(|(name, value)| (key(name), json_value(value)));
            Value::map(pairs.collect::<Map<'_>>())
        }
    }
}

pub(crate) fn to_base64<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("toBase64", arguments, 0)?;
    bounded(subject.len(), || BASE64.encode(subject.as_bytes()))
}

pub(crate) fn from_base64<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let subject = text("fromBase64", arguments, 0)?;
    let bytes = decode(subject).ok_or("invalid Base64")?;
    String::from_utf8(bytes)
        .map(Value::text)
        .map_err(|_| "the decoded Base64 is not valid UTF-8".to_owned())
}

/// Go's decoder: it skips line breaks, and takes any bits beyond the last byte.
fn decode(text: &str) -> Option<Vec<u8>> {
    static LENIENT: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification = BASE64.specification();
        specification.check_trailing_bits = false;
        specification.encoding().unwrap_or(BASE64)
    });
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    // Padding ends the text: the library also takes several padded texts in a row.
    let end = digits.iter().position(|&byte| byte == b'=').unwrap_or(digits.len());
    if digits[end..].iter().any(|&byte| byte != b'=') {
        return None;
    }
    LENIENT.decode(&digits).ok()
}
