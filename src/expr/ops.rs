//! The binary operators' results.

use std::cmp::Ordering;
use std::net::IpAddr;

use regex::{Regex, RegexBuilder};

use crate::Value;
use crate::tree::network::Network;
use crate::tree::operator::Op;
use crate::value::{Key, whole};

/// The longest regular expression, in bytes, as elsewhere in CoreDNS.
const MAX_PATTERN: usize = 10_000;
/// The memory that a regular expression may take.
const MAX_PROGRAM: usize = 1 << 20;
/// The longest array that a range may make.
const MAX_RANGE: i64 = 1_000_000;

/// The regular expression.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > MAX_PATTERN {
        return Err(format!("regex pattern too long: {} > {MAX_PATTERN}", text.len()));
    }
    RegexBuilder::new(text).size_limit(MAX_PROGRAM).build().map_err(|problem| match problem {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        other => {
            let told = other.to_string();
            let reason = told.lines().rev().find_map(|line| line.strip_prefix("error: "));
            format!("invalid regular expression: {}", reason.unwrap_or(&told))
        }
    })
}

/// What the operator makes of two values; arrays and texts that it makes are counted by `Run`.
pub(crate) fn apply<'v>(op: Op, left: Value<'v>, right: Value<'v>) -> Result<Value<'v>, String> {
    let wrong = |left: &Value<'v>, right: &Value<'v>| {
        Err(format!("`{}` does not accept {} and {}", op.sign(), left.kind(), right.kind()))
    };
    let order = |fits: fn(Ordering) -> bool| match (&left, &right) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_))
        | (Value::Text(_), Value::Text(_)) => {
            Ok(Value::Bool(left.compare(&right).is_some_and(fits)))
        }
        _ => wrong(&left, &right),
    };
    match op {
        Op::Equal => Ok(Value::Bool(left == right)),
        Op::Unequal => Ok(Value::Bool(left != right)),
        Op::Less => order(Ordering::is_lt),
        Op::LessOrEqual => order(Ordering::is_le),
        Op::More => order(Ordering::is_gt),
        Op::MoreOrEqual => order(Ordering::is_ge),
        Op::Add => match (&left, &right) {
            (Value::Text(a), Value::Text(b)) => Ok(Value::text([&**a, &**b].concat())),
            _ => arithmetic(&left, &right, i64::wrapping_add, |a, b| a + b)
                .map_or_else(|| wrong(&left, &right), Ok),
        },
        Op::Subtract => arithmetic(&left, &right, i64::wrapping_sub, |a, b| a - b)
            .map_or_else(|| wrong(&left, &right), Ok),
        Op::Multiply => arithmetic(&left, &right, i64::wrapping_mul, |a, b| a * b)
            .map_or_else(|| wrong(&left, &right), Ok),
        Op::Divide => floats(&left, &right, |a, b| a / b).map_or_else(|| wrong(&left, &right), Ok),
        Op::Power => floats(&left, &right, f64::powf).map_or_else(|| wrong(&left, &right), Ok),
        Op::Modulo => match (&left, &right) {
            (Value::Int(_), Value::Int(0)) => Err("division by zero".to_owned()),
            (Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_rem(*b))),
            _ => wrong(&left, &right),
        },
        Op::Range => match (whole(&left), whole(&right)) {
            (Some(from), Some(to)) => range(from, to),
            _ => wrong(&left, &right),
        },
        Op::In => is_in(&left, &right),
        Op::Matches => match (&left, &right) {
            (Value::Nil, _) | (_, Value::Nil) => Ok(Value::Bool(false)),
            (_, Value::Text(text)) => matches(&left, &pattern(text)?),
            _ => wrong(&left, &right),
        },
        Op::Contains | Op::StartsWith | Op::EndsWith => match (&left, &right) {
            (Value::Nil, _) | (_, Value::Nil) => Ok(Value::Bool(false)),
            (Value::Text(a), Value::Text(b)) => Ok(Value::Bool(match op {
                Op::Contains => a.contains(&**b),
                Op::StartsWith => a.starts_with(&**b),
                _ => a.ends_with(&**b),
            })),
            _ => wrong(&left, &right),
        },
        Op::Within => match &right {
            Value::Text(text) => {
                let network = Network::read(text)
                    .ok_or_else(|| format!("`{}` is not an address range", &**text))?;
                within(&left, &network)
            }
            _ => wrong(&left, &right),
        },
    }
}

/// Whole numbers give a whole number, wrapping round as Go's do.
fn arithmetic<'v>(
    left: &Value<'v>,
    right: &Value<'v>,
    whole: fn(i64, i64) -> i64,
    float: fn(f64, f64) -> f64,
) -> Option<Value<'v>> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(Value::Int(whole(*a, *b))),
        _ => floats(left, right, float),
    }
}

fn floats<'v>(
    left: &Value<'v>,
    right: &Value<'v>,
    float: fn(f64, f64) -> f64,
) -> Option<Value<'v>> {
    Some(Value::Float(float(left.number()?, right.number()?)))
}

fn range<'v>(from: i64, to: i64) -> Result<Value<'v>, String> {
    if to.saturating_sub(from) >= MAX_RANGE {
        return Err("the range is too long".to_owned());
    }
    Ok(Value::list((from..=to).map(Value::Int).collect()))
}

fn is_in<'v>(left: &Value<'v>, right: &Value<'v>) -> Result<Value<'v>, String> {
    let found = match right {
        Value::Nil => false,
        Value::List(items) => items.iter().any(|item| item == left),
        Value::Bytes(bytes) => bytes.iter().any(|byte| Value::Int((*byte).into()) == *left),
        Value::Map(map) => Key::new(left.clone()).is_some_and(|key| map.contains_key(&key)),
        _ => return Err(format!("`in` does not accept {} and {}", left.kind(), right.kind())),
    };
    Ok(Value::Bool(found))
}

/// Whether the text or the bytes match.
pub(crate) fn matches<'v>(value: &Value<'_>, pattern: &Regex) -> Result<Value<'v>, String> {
    match value {
        Value::Nil => Ok(Value::Bool(false)),
        Value::Text(text) => Ok(Value::Bool(pattern.is_match(text))),
        // The engine is one for texts; bytes that are none match nothing.
        Value::Bytes(bytes) => {
            Ok(Value::Bool(std::str::from_utf8(bytes).is_ok_and(|text| pattern.is_match(text))))
        }
        other => Err(format!("`matches` does not accept {}", other.kind())),
    }
}

/// Whether the text is an address of the network.
pub(crate) fn within<'v>(value: &Value<'_>, network: &Network) -> Result<Value<'v>, String> {
    let Value::Text(text) = value else {
        return Err(format!("`incidr` expects a string, found {}", value.kind()));
    };
    let address: IpAddr =
        text.parse().map_err(|_| format!("`{}` is not an IP address", &**text))?;
    Ok(Value::Bool(network.has(address)))
}
