//! The functions of the language as far as the parser knows them: names, parameters and results.

use super::loops;
use crate::types::{BYTES, FLOAT, INT, LIST, MAP, Set, TEXT, element};
use crate::{Type, Value};

/// A function that sees only its arguments.
pub(crate) type Run = for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>;

/// A function of the language.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// What each argument may be.
    takes: &'static [Set],
    /// How many of the last may be missing.
    optional: usize,
    /// Whether the last may be repeated.
    many: bool,
    gives: Gives,
    pub(crate) run: Run,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The type of a result.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    Any,
    Bool,
    Int,
    Float,
    Text,
    Texts,
    List,
    Map,
    /// The type of the first argument.
    First,
    /// What is in the first argument.
    Element,
    /// `int` of all `int`.
    Number,
    /// What `a[b]` is.
    Indexed,
}

/// A function whose arguments are all needed.
pub(crate) const fn function(
    name: &'static str,
    takes: &'static [Set],
    gives: Gives,
    run: Run,
) -> Builtin {
    Builtin { name, takes, optional: 0, many: false, gives, run }
}

impl Builtin {
    /// As many of its last arguments may be missing.
    pub(crate) const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// Its last argument may be repeated.
    pub(crate) const fn many(mut self) -> Self {
        self.many = true;
        self
    }
}

/// The functions that the parser knows, besides `incidr` and those that run over an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library(pub(crate) &'static [Builtin]);

impl Library {
    /// The function of this name.
    pub(crate) fn find(self, name: &str) -> Option<&'static Builtin> {
        self.0.iter().find(|function| function.name == name)
    }

    /// All names of functions.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let plain = self.0.iter().map(|function| function.name);
        plain.chain(loops::NAMES.iter().map(|(name, _)| *name)).chain(["incidr"])
    }

    /// Whether the language has a function of this name.
    pub(crate) fn has(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// The type of the result for arguments of these types; if they do not fit, which one and why.
pub(crate) fn kind(
    function: &Builtin,
    arguments: &[&Type],
) -> Result<Type, (Option<usize>, String)> {
    let (name, most) = (function.name, function.takes.len());
    let least = most - function.optional;
    let given = arguments.len();
    if given < least || given > most && !function.many {
        let wanted = match (least, most) {
            _ if function.many => "at least 1 argument".to_owned(),
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        return Err((None, format!("`{name}` expects {wanted}, found {given}")));
    }
    for (index, argument) in arguments.iter().enumerate() {
        let set = function.takes[index.min(most - 1)];
        if !argument.may_be(set) {
            let wanted = describe(set);
            let message = format!("`{name}` expects {wanted} here, found {argument}");
            return Err((Some(index), message));
        }
    }
    Ok(match function.gives {
        Gives::Any => Type::Any,
        Gives::Bool => Type::Bool,
        Gives::Int => Type::Int,
        Gives::Float => Type::Float,
        Gives::Text => Type::Text,
        Gives::Texts => Type::list(Type::Text),
        Gives::List => Type::list(Type::Any),
        Gives::Map => Type::map(Type::Any, Type::Any),
        Gives::First => arguments[0].clone(),
        Gives::Element => arguments[0].element(),
        Gives::Number if arguments.iter().all(|kind| **kind == Type::Int) => Type::Int,
        Gives::Number => Type::Any,
        Gives::Indexed if *arguments[0] == Type::Nil => Type::Nil,
        Gives::Indexed => {
            element(arguments[0], arguments[1]).map_err(|message| (Some(1), message))?
        }
    })
}

/// The types of a set, for messages.
fn describe(set: Set) -> String {
    let known = [
        (INT, "int"),
        (FLOAT, "float"),
        (TEXT, "string"),
        (BYTES, "bytes"),
        (LIST, "array"),
        (MAP, "map"),
    ];
    let words: Vec<&str> =
        known.into_iter().filter(|(bit, _)| set & bit != 0).map(|(_, word)| word).collect();
    words.join(" or ")
}
