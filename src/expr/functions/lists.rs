//! Functions of arrays and maps, and their elements.

use std::cmp::Ordering;

use crate::Value;
use crate::functions::strings;
use crate::value::{Held, Key, Map, not_for, whole};

type Result<'v> = std::result::Result<Value<'v>, String>;
type Items<'v> = Held<'v, [Value<'v>]>;

fn list<'a, 'v>(
    name: &str,
    arguments: &'a [Value<'v>],
) -> std::result::Result<&'a Items<'v>, String> {
    match arguments.first() {
        Some(Value::List(items)) => Ok(items),
        other => {
            let kind = other.unwrap_or(&Value::Nil).kind();
            Err(format!("`{name}` does not accept {kind}"))
        }
    }
}

fn map<'a, 'v>(
    name: &str,
    arguments: &'a [Value<'v>],
) -> std::result::Result<&'a Held<'v, Map<'v>>, String> {
    match arguments.first() {
        Some(Value::Map(map)) => Ok(map),
        other => {
            let kind = other.unwrap_or(&Value::Nil).kind();
            Err(format!("`{name}` does not accept {kind}"))
        }
    }
}

/// An element, lent if the array is.
#[inline]
pub(crate) fn item<'v>(items: &Items<'v>, index: usize) -> Option<Value<'v>> {
    match items {
        Held::Lent(items) => items.get(index).map(Value::lend),
        Held::Shared(items) => items.get(index).cloned(),
    }
}

/// Where an index points to: a negative one counts from the end.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// `base[key]`; `None` if there is no such element.
pub(crate) fn fetch<'v>(
    base: &Value<'v>,
    key: &Value<'v>,
) -> std::result::Result<Option<Value<'v>>, String> {
    let index = || whole(key).ok_or_else(|| format!("an index must be int, found {}", key.kind()));
    Ok(match base {
        Value::List(items) => position(index()?, items.len()).and_then(|at| item(items, at)),
        Value::Bytes(bytes) => {
            position(index()?, bytes.len()).map(|at| Value::Int(bytes[at].into()))
        }
        Value::Text(text) => {
            position(index()?, text.len()).map(|at| Value::Int(text.as_bytes()[at].into()))
        }
        Value::Map(map) => {
            let key = Key::new(key.clone());
            key.and_then(|key| match map {
                Held::Lent(map) => map.get(&key).map(Value::lend),
                Held::Shared(map) => map.get(&key).cloned(),
            })
        }
        other => return Err(format!("{} cannot be indexed", other.kind())),
    })
}

/// `base[from:to]`.
pub(crate) fn slice<'v>(
    base: &Value<'v>,
    from: Option<&Value<'v>>,
    to: Option<&Value<'v>>,
) -> Result<'v> {
    let len = match base {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("{} cannot be sliced with `[:]`", other.kind())),
    };
    let bound = |value: Option<&Value<'v>>, default: usize| match value.map(whole) {
        None => Ok(default),
        Some(Some(index)) if index < 0 => Ok(usize::try_from(index + len as i64).unwrap_or(0)),
        Some(Some(index)) => Ok(usize::try_from(index).unwrap_or(len)),
        Some(None) => Err("`[:]` expects int".to_owned()),
    };
    let to = bound(to, len)?.min(len);
    let from = bound(from, 0)?.min(to);
    match base {
        Value::Text(text) if text.is_char_boundary(from) && text.is_char_boundary(to) => {
            Ok(strings::part(text, from, to))
        }
        Value::Text(_) => Err("`[:]` would split a UTF-8 character".to_owned()),
        Value::Bytes(Held::Lent(bytes)) => Ok(Value::Bytes(Held::Lent(&bytes[from..to]))),
        Value::Bytes(Held::Shared(bytes)) => Ok(Value::Bytes(Held::Shared(bytes[from..to].into()))),
        Value::List(Held::Lent(items)) => Ok(Value::List(Held::Lent(&items[from..to]))),
        Value::List(Held::Shared(items)) => Ok(Value::list(items[from..to].to_vec())),
        other => not_for("[:]", other),
    }
}

pub(crate) fn len<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let count = match arguments.first() {
        Some(Value::Text(text)) => text.chars().count(),
        Some(Value::Bytes(bytes)) => bytes.len(),
        Some(Value::List(items)) => items.len(),
        Some(Value::Map(map)) => map.len(),
        other => return not_for("len", other.unwrap_or(&Value::Nil)),
    };
    Ok(Value::Int(count as i64))
}

pub(crate) fn first<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    Ok(item(list("first", arguments)?, 0).unwrap_or(Value::Nil))
}

pub(crate) fn last<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let items = list("last", arguments)?;
    Ok(item(items, items.len().wrapping_sub(1)).unwrap_or(Value::Nil))
}

pub(crate) fn take<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    list("take", arguments)?;
    match arguments {
        [_, Value::Int(count)] if *count < 0 => {
            Err(format!("`take` expects a count of at least 0, found {count}"))
        }
        [base, count] => slice(base, None, Some(count)),
        _ => Err("`take` expects an array and a count".to_owned()),
    }
}

pub(crate) fn get<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    match arguments {
        [Value::Nil, _] => Ok(Value::Nil),
        [base, key] => Ok(fetch(base, key)?.unwrap_or(Value::Nil)),
        _ => Err("`get` expects an array or a map, and an index".to_owned()),
    }
}

pub(crate) fn concat<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        all.extend_from_slice(list("concat", &arguments[index..])?);
    }
    Ok(Value::list(all))
}

pub(crate) fn flatten<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut all = Vec::new();
    flatten_into(&mut all, list("flatten", arguments)?);
    Ok(Value::list(all))
}

fn flatten_into<'v>(all: &mut Vec<Value<'v>>, items: &[Value<'v>]) {
    for item in items {
        match item {
            Value::List(items) => flatten_into(all, items),
            other => all.push(other.clone()),
        }
    }
}

/// How many different elements `uniq` looks at.
const MAX_UNIQUE: usize = 1_000;

pub(crate) fn uniq<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut all: Vec<Value<'v>> = Vec::new();
    for item in list("uniq", arguments)?.iter() {
        if !all.contains(item) {
            all.push(item.clone());
        }
        if all.len() > MAX_UNIQUE {
            return Err(format!("`uniq` accepts at most {MAX_UNIQUE} different elements"));
        }
    }
    Ok(Value::list(all))
}

pub(crate) fn reverse<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    Ok(Value::list(list("reverse", arguments)?.iter().rev().cloned().collect()))
}

/// Whether the order is descending.
pub(crate) fn is_descending(order: Option<&Value<'_>>) -> std::result::Result<bool, String> {
    match order {
        None => Ok(false),
        Some(Value::Text(text)) if **text == *"asc" => Ok(false),
        Some(Value::Text(text)) if **text == *"desc" => Ok(true),
        Some(other) => Err(format!("the order must be `asc` or `desc`, found `{other}`")),
    }
}

/// Puts values in order by their keys, which must all be numbers or all be texts.
pub(crate) fn sort_by<'v>(mut pairs: Vec<(Value<'v>, Value<'v>)>, descending: bool) -> Result<'v> {
    let all = |fits: fn(&Value<'v>) -> bool| pairs.iter().all(|(key, _)| fits(key));
    let exact = all(|key| matches!(key, Value::Int(_))) || all(|key| matches!(key, Value::Text(_)));
    if !exact && !all(|key| key.number().is_some()) {
        return Err(
            "cannot sort mixed types: all must be numbers, or all must be strings".to_owned()
        );
    }
    pairs.sort_by(|(a, _), (b, _)| {
        // Whole numbers among others are compared as they are: an order is needed that is one.
        let order = if exact {
            a.compare(b).unwrap_or(Ordering::Equal)
        } else {
            a.number().unwrap_or(0.0).total_cmp(&b.number().unwrap_or(0.0))
        };
        if descending { order.reverse() } else { order }
    });
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}

pub(crate) fn sort<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let items = list("sort", arguments)?;
    let pairs = items.iter().map(|item| (item.clone(), item.clone())).collect();
    sort_by(pairs, is_descending(arguments.get(1))?)
}

pub(crate) fn keys<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    Ok(Value::list(map("keys", arguments)?.keys().map(Key::value).collect()))
}

pub(crate) fn values<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    Ok(Value::list(map("values", arguments)?.values().cloned().collect()))
}

pub(crate) fn to_pairs<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let pairs = map("toPairs", arguments)?.iter();
    Ok(Value::list(
        pairs.map(|(key, value)| Value::list(vec![key.value(), value.clone()])).collect(),
    ))
}

pub(crate) fn from_pairs<'v>(arguments: &[Value<'v>]) -> Result<'v> {
    let mut all = Map::new();
    for pair in list("fromPairs", arguments)?.iter() {
        let Value::List(pair) = pair else {
            return Err(format!("a pair must be an array of two elements, found {}", pair.kind()));
        };
        let [key, value] = &**pair else {
            return Err(format!(
                "a pair must be an array of two elements, found an array of {}",
                pair.len()
            ));
        };
        let key = Key::new(key.clone());
        let key = key.ok_or("an array, a map or bytes cannot be a map key")?;
        all.insert(key, value.clone());
    }
    Ok(Value::map(all))
}
