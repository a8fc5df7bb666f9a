//! Functions of numbers.

use crate::Value;
use crate::value::not_for;

type Result<'v> = std::result::Result<Value<'v>, String>;

fn only<'a, 'v>(arguments: &'a [Value<'v>]) -> &'a Value<'v> {
    arguments.first().unwrap_or(&Value::Nil)
}

pub(crate) fn abs<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    match only(arguments) {
        Value::Int(number) => Ok(Value::Int(number.wrapping_abs())),
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => not_for("abs", other),
    }
}

fn rounded<'v>(name: &str, arguments: &[Value<'v>], round: fn(f64) -> f64) -> Result<'v> {
    let value = only(arguments);
    value.number().map_or_else(|| not_for(name, value), |number| Ok(Value::Float(round(number))))
}

pub(crate) fn ceil<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    rounded("ceil", arguments, f64::ceil)
}

pub(crate) fn floor<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    rounded("floor", arguments, f64::floor)
}

pub(crate) fn round<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    rounded("round", arguments, f64::round)
}

pub(crate) fn int<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    match only(arguments) {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::Float(number) => Ok(Value::Int(*number as i64)),
        Value::Text(text) => {
            text.parse().map(Value::Int).map_err(|_| format!("`{}` is not a number", &**text))
        }
        other => not_for("int", other),
    }
}

pub(crate) fn float<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    match only(arguments) {
        Value::Text(text) => {
            text.parse().map(Value::Float).map_err(|_| format!("`{}` is not a number", &**text))
        }
        other => other
            .number()
            .map_or_else(|| not_for("float", other), |number| Ok(Value::Float(number))),
    }
}

/// Calls `each` with every number, those in arrays among them.
fn numbers<'v>(
    name: &str,
    values: &[Value<'v>],
    each: &mut impl FnMut(&Value<'v>),
) -> std::result::Result<(), String> {
    for value in values {
        match value {
            Value::List(items) => numbers(name, items, each)?,
            Value::Int(_) | Value::Float(_) => each(value),
            other => return Err(format!("`{name}` does not accept {}", other.kind())),
        }
    }
    Ok(())
}

/// The number that no other comes before in the order; `nil` if there is none.
fn extreme<'v>(name: &str, arguments: &[Value<'v>], want: std::cmp::Ordering) -> Result<'v> {
    let mut found = Value::Nil;
    numbers(name, arguments, &mut |value| {
        if matches!(found, Value::Nil) || value.compare(&found) == Some(want) {
            found = value.clone();
        }
    })?;
    Ok(found)
}

pub(crate) fn max<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    extreme("max", arguments, std::cmp::Ordering::Greater)
}

pub(crate) fn min<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    extreme("min", arguments, std::cmp::Ordering::Less)
}

fn floats(name: &str, arguments: &[Value<'_>]) -> std::result::Result<Vec<f64>, String> {
    let mut found = Vec::new();
    numbers(name, arguments, &mut |value| found.extend(value.number()))?;
    Ok(found)
}

pub(crate) fn mean<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let all = floats("mean", arguments)?;
    let sum: f64 = all.iter().sum();
    Ok(Value::Float(if all.is_empty() { 0.0 } else { sum / all.len() as f64 }))
}

pub(crate) fn median<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut all = floats("median", arguments)?;
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    Ok(Value::Float(match all.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => all[middle],
        _ => f64::midpoint(all[middle - 1], all[middle]),
    }))
}

// --- bits

fn bits<'v>(name: &str, arguments: &[Value<'v>], make: fn(i64, i64) -> i64) -> Result<'v> {
    match arguments {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(make(*a, *b))),
        _ => Err(format!("`{name}` expects two ints")),
    }
}

fn shift<'v>(name: &str, arguments: &[Value<'v>], make: fn(i64, i64) -> i64) -> Result<'v> {
    match arguments {
        [_, Value::Int(count)] if *count < 0 => Err(format!("`{name}` cannot shift by {count}")),
        _ => bits(name, arguments, make),
    }
}

pub(crate) fn bitand<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    bits("bitand", arguments, |a, b| a & b)
}

pub(crate) fn bitor<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    bits("bitor", arguments, |a, b| a | b)
}

pub(crate) fn bitxor<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    bits("bitxor", arguments, |a, b| a ^ b)
}

pub(crate) fn bitnand<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    bits("bitnand", arguments, |a, b| a & !b)
}

pub(crate) fn bitnot<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    match only(arguments) {
        Value::Int(number) => Ok(Value::Int(!number)),
        other => not_for("bitnot", other),
    }
}

/// Bits that are shifted out are lost; from 64 on, all of them.
pub(crate) fn bitshl<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    shift("bitshl", arguments, |a, b| if b < 64 { a << b } else { 0 })
}

pub(crate) fn bitshr<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    shift("bitshr", arguments, |a, b| a >> b.min(63))
}

pub(crate) fn bitushr<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    shift("bitushr", arguments, |a, b| if b < 64 { (a as u64 >> b) as i64 } else { 0 })
}
