//! The functions: Go's own, and CoreDNS's `parseInt`.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::MAX_OUTPUT;
use crate::text::number::{NotUint, parse_uint};
use crate::text::{escape, print, quote};
use crate::value::{List, Value};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    ParseInt,
    Print,
    Printf,
    Println,
    Slice,
    UrlQuery,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    Text,
    Int,
}

const ALL: [(&str, Function); 20] = [
    ("and", Function::And),
    ("call", Function::Call),
    ("eq", Function::Eq),
    ("ge", Function::Ge),
    ("gt", Function::Gt),
    ("html", Function::Html),
    ("index", Function::Index),
    ("js", Function::Js),
    ("le", Function::Le),
    ("len", Function::Len),
    ("lt", Function::Lt),
    ("ne", Function::Ne),
    ("not", Function::Not),
    ("or", Function::Or),
    ("parseInt", Function::ParseInt),
    ("print", Function::Print),
    ("printf", Function::Printf),
    ("println", Function::Println),
    ("slice", Function::Slice),
    ("urlquery", Function::UrlQuery),
];

/// The names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The function of this name.
pub(crate) fn named(name: &str) -> Option<Function> {
    ALL.iter().find(|(known, _)| *known == name).map(|&(_, function)| function)
}

type Outcome<'a> = Result<Value<'a>, String>;

impl Function {
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    /// The least and the largest number of arguments.
    pub(crate) fn arity(self) -> (usize, usize) {
        match self {
            Self::Len | Self::Not => (1, 1),
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => (2, 2),
            Self::ParseInt => (3, 3),
            Self::Html | Self::Js | Self::Print | Self::Println | Self::UrlQuery => (0, usize::MAX),
            _ => (1, usize::MAX),
        }
    }

    /// What argument `index` must be.
    pub(crate) fn wants(self, index: usize) -> Wanted {
        match (self, index) {
            (Self::ParseInt | Self::Printf, 0) => Wanted::Text,
            (Self::ParseInt, _) => Wanted::Int,
            _ => Wanted::Any,
        }
    }

    /// The result for arguments that are as `arity` and `wants` say. `and` and `or`, which do not
    /// evaluate all their arguments, are the evaluator's.
    pub(crate) fn call<'a>(self, arguments: &[Value<'a>]) -> Outcome<'a> {
        let truth = |yes: bool| Ok(Value::Bool(yes));
        match (self, arguments) {
            (Self::Eq, [first, others @ ..]) => equal(first, others).map(Value::Bool),
            (Self::Ne, [first, others @ ..]) => equal(first, others).map(|yes| Value::Bool(!yes)),
            (Self::Lt, [a, b]) => less(a, b).map(Value::Bool),
            (Self::Le, [a, b]) => less_or_equal(a, b).map(Value::Bool),
            (Self::Gt, [a, b]) => less_or_equal(a, b).map(|yes| Value::Bool(!yes)),
            (Self::Ge, [a, b]) => less(a, b).map(|yes| Value::Bool(!yes)),
            (Self::Not, [value]) => truth(!value.is_true()),
            (Self::Len, [value]) => len(value),
            (Self::Index, [item, indexes @ ..]) => index(item, indexes),
            (Self::Slice, [item, indexes @ ..]) => slice(item, indexes),
            (Self::ParseInt, [Value::Text(text), Value::Int(base), Value::Int(bits)]) => {
                parse_int(text, *base, *bits)
            }
            (Self::Print, values) => written(values, print::print),
            (Self::Println, values) => written(values, print::println),
            (Self::Printf, [Value::Text(format), values @ ..]) => {
                written(values, |out, values| print::printf(out, format, values))
            }
            (Self::Html, values) => bounded(escape::html(&joined(values)?)),
            (Self::Js, values) => bounded(escape::js(&joined(values)?)),
            (Self::UrlQuery, values) => bounded(escape::url_query(&joined(values)?)),
            (Self::Call, [Value::None, ..]) => Err("call of nil".to_owned()),
            (Self::Call, [value, ..]) => Err(format!("non-function of type {}", value.type_name())),
            _ => Err("the arguments do not match".to_owned()),
        }
    }
}

fn owned<'a>(text: String) -> Value<'a> {
    Value::Text(Cow::Owned(text))
}

/// What `write` makes of the values.
fn written<'a>(values: &[Value<'a>], write: impl FnOnce(&mut String, &[Value<'a>])) -> Outcome<'a> {
    for value in values {
        value.check_shown().map_err(|kind| format!("can't print a value of type {kind}"))?;
    }
    let mut out = String::new();
    write(&mut out, values);
    bounded(out)
}

fn bounded<'a>(text: String) -> Outcome<'a> {
    if text.len() > MAX_OUTPUT {
        return Err(format!("the text is longer than {MAX_OUTPUT} bytes"));
    }
    Ok(owned(text))
}

/// The values as one text, for the escapes: nothing is `<no value>` here.
fn joined<'a>(values: &[Value<'a>]) -> Result<Cow<'a, str>, String> {
    if let [Value::Text(text)] = values {
        return Ok(text.clone());
    }
    let values: Vec<Value<'a>> = values
        .iter()
        .map(|value| match value {
            Value::None => Value::text("<no value>"),
            value => value.clone(),
        })
        .collect();
    match written(&values, print::print)? {
        Value::Text(text) => Ok(text),
        _ => Ok(Cow::Borrowed("")),
    }
}

// --- comparison

/// Whether `first` equals any of the others.
fn equal(first: &Value<'_>, others: &[Value<'_>]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::None, Value::None) => true,
        (Value::None, _) | (_, Value::None) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => std::ptr::addr_eq(*a, *b),
        (Value::List(_) | Value::Map(_), Value::List(_) | Value::Map(_)) => {
            return Err(format!("can't compare values of type {}", b.type_name()));
        }
        _ => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a == b,
            _ => return Err(incompatible(a, b)),
        },
    })
}

fn less(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let order = match (a, b) {
        (Value::Float(a), Value::Float(b)) => return Ok(a < b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ if is_basic(a) && is_basic(b) && a.type_name() != b.type_name() => {
                return Err(incompatible(a, b));
            }
            _ => return Err("invalid type for comparison".to_owned()),
        },
    };
    Ok(order == Ordering::Less)
}

fn less_or_equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    Ok(less(a, b)? || equals(a, b)?)
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number, _) => Some(i128::from(*number)),
        _ => None,
    }
}

fn is_basic(value: &Value<'_>) -> bool {
    !matches!(value, Value::None | Value::List(_) | Value::Map(_) | Value::Object(_))
}

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> String {
    let (a, b) = (a.type_name(), b.type_name());
    format!("incompatible types for comparison: {a} and {b}")
}

// --- parts

fn len<'a>(value: &Value<'a>) -> Outcome<'a> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        _ => return Err(format!("len of type {}", value.type_name())),
    };
    Ok(Value::Int(len as i64))
}

fn index<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Outcome<'a> {
    let mut item = item.clone();
    if matches!(item, Value::None) {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        item = match &item {
            Value::Text(text) => {
                let at = position(index, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(|| out_of_range(at as i64))?;
                Value::Uint(u64::from(*byte), 8)
            }
            Value::List(list) => {
                let at = position(index, list.items.len())?;
                list.items.get(at).cloned().ok_or_else(|| out_of_range(at as i64))?
            }
            Value::Map(map) => match index {
                Value::Text(key) => map.get(key).cloned().unwrap_or_else(|| map.of.zero()),
                Value::None => return Err("value is nil; should be of type string".to_owned()),
                _ => {
                    let kind = index.type_name();
                    return Err(format!("value has type {kind}; should be string"));
                }
            },
            Value::None => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Outcome<'a> {
    let len = match item {
        Value::Text(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::None => return Err("slice of untyped nil".to_owned()),
        _ => return Err(format!("can't slice item of type {}", item.type_name())),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len)?;
    }
    for pair in bounds.windows(2) {
        if pair[0] > pair[1] {
            return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]));
        }
    }
    let range = bounds[0]..bounds[1];
    Ok(match item {
        Value::List(list) => Value::List(List { items: list.items[range].into(), of: list.of }),
        Value::Text(text) => {
            let whole = || "the slice splits a UTF-8 character".to_owned();
            match text {
                Cow::Borrowed(text) => Value::text(text.get(range).ok_or_else(whole)?),
                Cow::Owned(text) => owned(text.get(range).ok_or_else(whole)?.to_owned()),
            }
        }
        _ => Value::None,
    })
}

fn position(index: &Value<'_>, most: usize) -> Result<usize, String> {
    let at = match index {
        Value::Int(at) => *at,
        Value::Uint(at, _) => i64::try_from(*at).unwrap_or(i64::MAX),
        Value::None => return Err("cannot index slice/array with nil".to_owned()),
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name())),
    };
    usize::try_from(at).ok().filter(|&at| at <= most).ok_or_else(|| out_of_range(at))
}

fn out_of_range(at: i64) -> String {
    format!("index out of range: {at}")
}

/// Go's `strconv.ParseUint`.
fn parse_int<'a>(text: &str, base: i64, bits: i64) -> Outcome<'a> {
    let wrong = |why: &str| {
        let mut quoted = String::new();
        quote::string(&mut quoted, text, false);
        format!("strconv.ParseUint: parsing {quoted}: {why}")
    };
    if text.is_empty() {
        return Err(wrong("invalid syntax"));
    }
    let Ok(base @ (0 | 2..=36)) = u32::try_from(base) else {
        return Err(wrong(&format!("invalid base {base}")));
    };
    let bits = match bits {
        0 => 64,
        1..=64 => bits,
        _ => return Err(wrong(&format!("invalid bit size {bits}"))),
    };
    match parse_uint(text, base) {
        Ok(value) if bits == 64 || value >> bits == 0 => Ok(Value::Uint(value, 64)),
        Ok(_) | Err(NotUint::Range) => Err(wrong("value out of range")),
        Err(NotUint::Syntax) => Err(wrong("invalid syntax")),
    }
}
