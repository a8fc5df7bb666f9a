//! The values of templates: the subset of Go's types that the data can have.

use std::borrow::Cow;
use std::rc::Rc;

/// A value.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    /// Nothing: what a map has not, or `nil`.
    None,
    Bool(bool),
    Int(i64),
    /// An unsigned number, and how many bits its type has.
    Uint(u64, u8),
    Float(f64),
    Text(Cow<'a, str>),
    List(List<'a>),
    Map(Map<'a>),
    Object(&'a dyn Object<'a>),
}

/// What lists and maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Text,
    /// Values of any type.
    Any,
    /// Objects, all of this type.
    Objects(&'static str),
}

/// A list.
#[derive(Clone)]
pub(crate) struct List<'a> {
    pub(crate) items: Rc<[Value<'a>]>,
    pub(crate) of: Of,
}

/// A map with text keys, which are in order.
#[derive(Clone)]
pub(crate) struct Map<'a> {
    pub(crate) entries: Rc<[(Cow<'a, str>, Value<'a>)]>,
    pub(crate) of: Of,
}

/// A field or a method.
pub(crate) enum Member<'a> {
    Field(Value<'a>),
    /// A method without arguments, and its result.
    Getter(Value<'a>),
    /// A method with one text argument: [`Object::look_up`].
    LookUp,
}

/// Something with fields.
pub(crate) trait Object<'a> {
    /// The name of its type in messages.
    fn type_name(&self) -> &'static str;

    /// A field or method; none of that name if `None`.
    fn member(&'a self, name: &str) -> Option<Member<'a>>;

    /// The result of the method for which `member` says [`Member::LookUp`].
    fn look_up(&'a self, name: &str, argument: &str) -> Value<'a> {
        let _ = (name, argument);
        Value::None
    }

    /// How it is written, if it can be.
    fn text(&'a self) -> Option<String> {
        None
    }
}

impl<'a> Value<'a> {
    /// A text that is borrowed.
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The name of the type, as in Go's messages.
    pub(super) fn type_name(&self) -> String {
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
    pub(super) fn is_true(&self) -> bool {
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

    /// Whether it, and all that is in it, can be written. Errors: the type that cannot.
    pub(super) fn check_shown(&self) -> Result<(), &'static str> {
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

    /// What an index for which there is nothing gives.
    pub(super) fn zero<'a>(self) -> Value<'a> {
        match self {
            Self::Text => Value::Text(Cow::Borrowed("")),
            Self::Any | Self::Objects(_) => Value::None,
        }
    }
}

impl<'a> List<'a> {
    /// A list of texts.
    pub(crate) fn of_texts(texts: impl Iterator<Item = Cow<'a, str>>) -> Self {
        Self { items: texts.map(Value::Text).collect(), of: Of::Text }
    }
}

impl<'a> Map<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let at = self.entries.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.entries[at].1)
    }
}
