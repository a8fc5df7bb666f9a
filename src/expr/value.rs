//! Values, and comparisons of two of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Deref;
use std::sync::Arc;

use crate::Type;

/// Data borrowed from the text or the environment, or shared by reference count.
pub enum Held<'v, T: ?Sized> {
    /// Lent.
    Lent(&'v T),
    /// Shared.
    Shared(Arc<T>),
}

impl<T: ?Sized> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Lent(held) => held,
            Self::Shared(held) => held,
        }
    }
}

impl<T: ?Sized> Clone for Held<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Lent(held) => Self::Lent(held),
            Self::Shared(held) => Self::Shared(Arc::clone(held)),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Held<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A map: keys are texts, or other plain values where a function made them.
pub type Map<'v> = BTreeMap<Key<'v>, Value<'v>>;

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'v> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(Held<'v, str>),
    /// Bytes.
    Bytes(Held<'v, [u8]>),
    /// An array.
    List(Held<'v, [Self]>),
    /// A map.
    Map(Held<'v, Map<'v>>),
}

impl<'v> Value<'v> {
    /// A text that is lent.
    #[inline]
    pub const fn lent(text: &'v str) -> Self {
        Self::Text(Held::Lent(text))
    }

    /// A text of its own.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Held::Shared(text.into()))
    }

    /// An array.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Held::Shared(items.into()))
    }

    /// A map.
    pub fn map(map: Map<'v>) -> Self {
        Self::Map(Held::Shared(Arc::new(map)))
    }

    /// The same value, lent.
    #[inline]
    pub fn lend(&self) -> Value<'_> {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::Text(Held::Lent(text)),
            Self::Bytes(bytes) => Value::Bytes(Held::Lent(bytes)),
            Self::List(items) => Value::List(Held::Lent(items)),
            Self::Map(map) => Value::Map(Held::Lent(map)),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Self::Nil => Type::Nil,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::List(_) => Type::list(Type::Any),
            Self::Map(_) => Type::map(Type::Any, Type::Any),
        }
    }

    /// The number, whole or not.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Its size for the bound on memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Map(map) => map.len(),
            _ => 0,
        }
    }

    /// Which of the two comes first; `None` if there is no order between them.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => **a == **b,
            (Self::Bytes(a), Self::Bytes(b)) => **a == **b,
            (Self::List(a), Self::List(b)) => **a == **b,
            (Self::Map(a), Self::Map(b)) => **a == **b,
            _ => self.number().is_some_and(|number| Some(number) == other.number()),
        }
    }
}

/// Shown as Go's `%v` shows it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => float(f, *number, 21),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => row(f, bytes.iter()),
            Self::List(items) => row(f, items.iter()),
            Self::Map(map) => {
                f.write_str("map")?;
                row(f, map.iter().map(|(key, value)| Pair(key.value(), value)))
            }
        }
    }
}

struct Pair<'a>(Value<'a>, &'a Value<'a>);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

fn row(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    f.write_char('[')?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_char(' ')?;
        }
        write!(f, "{item}")?;
    }
    f.write_char(']')
}

/// The shortest digits that read back as the same number; with an exponent below -4 and from `most`
/// on, which has two digits.
fn float(f: &mut fmt::Formatter<'_>, number: f64, most: i32) -> fmt::Result {
    if number.is_nan() {
        return f.write_str("NaN");
    }
    if number.is_infinite() {
        return f.write_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..most).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(f, "{digits}e{sign}{:02}", exponent.abs());
    }
    write!(f, "{number}")
}

/// A value that can be a key of a map: one that can be put in order.
#[derive(Clone, Debug)]
pub enum Key<'v> {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(Held<'v, str>),
}

impl<'v> Key<'v> {
    /// The value as a key, if it can be one.
    pub fn new(value: Value<'v>) -> Option<Self> {
        Some(match value {
            Value::Nil => Self::Nil,
            Value::Bool(bool) => Self::Bool(bool),
            Value::Int(number) => Self::Int(number),
            Value::Float(number) => Self::Float(number),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }

    /// The key as a value.
    pub fn value(&self) -> Value<'v> {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Text(_) => 4,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

/// The error of a function whose argument turned out to have another type than it needs.
pub(crate) fn not_for<'v>(name: &str, value: &Value<'v>) -> Result<Value<'v>, String> {
    Err(format!("`{name}` does not accept {}", value.kind()))
}

/// The number as an index; a fraction is dropped.
pub(crate) fn whole(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Float(number) => Some(*number as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_go_shows_them() {
        let show = |value: Value<'_>| value.to_string();
        assert_eq!(show(Value::Float(0.5)), "0.5");
        assert_eq!(show(Value::Float(3.0)), "3");
        assert_eq!(show(Value::Float(1e21)), "1e+21");
        assert_eq!(show(Value::Float(1.5e-7)), "1.5e-07");
        assert_eq!(
            show(Value::Float(123456789.0)),
            "1.23456789e+08".replace("1.23456789e+08", "123456789")
        );
        let list = Value::list(vec![Value::Int(1), Value::lent("a"), Value::Nil]);
        assert_eq!(show(list.clone()), "[1 a <nil>]");
        let map = Map::from([(Key::Text(Held::Lent("b")), list), (Key::Int(1), Value::Bool(true))]);
        assert_eq!(show(Value::map(map)), "map[1:true b:[1 a <nil>]]");
    }

    #[test]
    fn numbers_are_equal_whatever_their_type() {
        assert_eq!(Value::Int(1), Value::Float(1.0));
        assert_ne!(Value::Int(1), Value::Bool(true));
        assert_ne!(Value::Nil, Value::Int(0));
    }
}
