//! The types of expressions, known before evaluation.

use std::fmt;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Not known before the text is evaluated.
    Any,
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Another number.
    Float,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// An array of such values.
    List(Box<Self>),
    /// A map of such keys to such values.
    Map(Box<(Self, Self)>),
}

/// A set of types: one bit for each.
pub(crate) type Set = u16;

pub(crate) const NIL: Set = 1;
pub(crate) const BOOL: Set = 1 << 1;
pub(crate) const INT: Set = 1 << 2;
pub(crate) const FLOAT: Set = 1 << 3;
pub(crate) const TEXT: Set = 1 << 4;
pub(crate) const BYTES: Set = 1 << 5;
pub(crate) const LIST: Set = 1 << 6;
pub(crate) const MAP: Set = 1 << 7;
pub(crate) const NUMBER: Set = INT | FLOAT;
pub(crate) const ANY: Set = Set::MAX;

impl Type {
    /// An array.
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// A map.
    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map(Box::new((keys, values)))
    }

    /// The set that it is alone in; all types for [`Type::Any`].
    fn set(&self) -> Set {
        match self {
            Self::Any => ANY,
            Self::Nil => NIL,
            Self::Bool => BOOL,
            Self::Int => INT,
            Self::Float => FLOAT,
            Self::Text => TEXT,
            Self::Bytes => BYTES,
            Self::List(_) => LIST,
            Self::Map(_) => MAP,
        }
    }

    /// Whether a value of this type may be in the set.
    pub(crate) fn may_be(&self, set: Set) -> bool {
        self.set() & set != 0
    }

    /// Whether the type is known, and in the set.
    pub(crate) fn is(&self, set: Set) -> bool {
        *self != Self::Any && self.may_be(set)
    }

    /// The type of an array's elements.
    pub(crate) fn element(&self) -> Self {
        match self {
            Self::List(of) => (**of).clone(),
            Self::Bytes => Self::Int,
            _ => Self::Any,
        }
    }

    /// Whether `==` between them makes sense.
    pub(crate) fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Nil, _) | (_, Self::Any | Self::Nil) => true,
            _ if self.is(NUMBER) && other.is(NUMBER) => true,
            _ => self.set() == other.set(),
        }
    }

    /// The type of a value that is one or the other.
    pub(crate) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nil, other) => other,
            (one, Self::Nil) => one,
            (one, other) if one == other => one,
            (Self::List(_), Self::List(_)) => Self::list(Self::Any),
            _ => Self::Any,
        }
    }
}

/// As in messages.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Nil => "nil",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List(_) => "array",
            Self::Map(_) => "map",
        })
    }
}

/// The type of `base[key]`.
pub(crate) fn element(base: &Type, key: &Type) -> Result<Type, String> {
    match base {
        Type::Any => Ok(Type::Any),
        Type::List(_) | Type::Bytes if key.may_be(INT) => Ok(base.element()),
        Type::List(_) | Type::Bytes => Err(format!("an index must be int, found {key}")),
        Type::Map(types) if *key == Type::Any || types.0 == Type::Any || types.0 == *key => {
            Ok(types.1.clone())
        }
        Type::Map(types) => Err(format!("the keys of this map are {}, found {key}", types.0)),
        _ => Err(format!("{base} cannot be indexed")),
    }
}
