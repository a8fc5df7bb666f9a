//! Values: the subset of Go's types that the data of a template can have.

use std::borrow::Cow;
use std::rc::Rc;

/// A value.
#[derive(Clone)]
pub enum Value<'a> {
    /// `nil`, or the value of a key that a map lacks.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// An unsigned number, and the width of its type in bits.
    Uint(u64, u8),
    /// `float64`.
    Float(f64),
    /// `string`.
    Text(Cow<'a, str>),
    /// A slice.
    List(List<'a>),
    /// A map with text keys.
    Map(Map<'a>),
    /// A value with fields and methods.
    Object(&'a dyn Object<'a>),
}

/// The element type of a list or a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Texts.
    Text,
    /// Values of any type.
    Any,
    /// Objects, all of this type.
    Objects(&'static str),
}

/// A list.
#[derive(Clone)]
pub struct List<'a> {
    /// The elements.
    pub items: Rc<[Value<'a>]>,
    /// Their type.
    pub of: Of,
}

/// A map with text keys.
#[derive(Clone)]
pub struct Map<'a> {
    /// Keys and values, in the keys' order.
    pub entries: Rc<[(Cow<'a, str>, Value<'a>)]>,
    /// The values' type.
    pub of: Of,
}

/// A field or a method.
pub enum Member<'a> {
    /// A field's value.
    Field(Value<'a>),
    /// A method without arguments, and its result.
    Getter(Value<'a>),
    /// A method with one text argument: [`Object::look_up`].
    LookUp,
}

/// A value with fields and methods.
pub trait Object<'a> {
    /// The name of its type in messages.
    fn type_name(&self) -> &'static str;

    /// The field or method of this name, if there is one.
    fn member(&'a self, name: &str) -> Option<Member<'a>>;

    /// The result of the method for which `member` says [`Member::LookUp`].
    fn look_up(&'a self, name: &str, argument: &str) -> Value<'a> {
        let _ = (name, argument);
        Value::None
    }

    /// The output for this value, if it has one.
    fn text(&'a self) -> Option<String> {
        None
    }
}

impl<'a> Value<'a> {
    /// A borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The name of the type, as in Go's messages.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::None => "nil".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Uint(_, bits) => format!("uint{bits}"),
            Self::Float(_) => "float64".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.of.name()),
            Self::Map(map) => format!("map[string]{}", map.of.name()),
            Self::Object(object) => object.type_name().to_owned(),
        }
    }

    /// Whether it counts as true: it is neither zero nor empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(yes) => *yes,
            Self::Int(number) => *number != 0,
            Self::Uint(number, _) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Object(_) => true,
        }
    }

    /// Whether the value and all its elements have an output. Errors: the type that has none.
    pub(crate) fn check_shown(&self) -> Result<(), &'static str> {
        match self {
            Self::Object(object) if object.text().is_none() => Err(object.type_name()),
            Self::List(list) => list.items.iter().try_for_each(Value::check_shown),
            Self::Map(map) => map.entries.iter().try_for_each(|(_, value)| value.check_shown()),
            _ => Ok(()),
        }
    }
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Any => "interface {}",
            Self::Objects(name) => name,
        }
    }

    /// The result of an index that the map lacks.
    pub(crate) fn zero<'a>(self) -> Value<'a> {
        match self {
            Self::Text => Value::Text(Cow::Borrowed("")),
            Self::Any | Self::Objects(_) => Value::None,
        }
    }
}

impl<'a> List<'a> {
    /// A list of texts.
    pub fn of_texts(texts: impl Iterator<Item = Cow<'a, str>>) -> Self {
        Self { items: texts.map(Value::Text).collect(), of: Of::Text }
    }
}

impl<'a> Map<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let at = self.entries.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.entries[at].1)
    }
}
