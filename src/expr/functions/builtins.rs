//! The functions of the language: their parameters, their results and their code.

use super::{lists, numbers, strings};
use crate::functions::loops;
use crate::types::{ANY, BYTES, FLOAT, INT, LIST, MAP, NIL, NUMBER, Set, TEXT, element};
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
enum Gives {
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

const fn function(name: &'static str, takes: &'static [Set], gives: Gives, run: Run) -> Builtin {
    Builtin { name, takes, optional: 0, many: false, gives, run }
}

impl Builtin {
    const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    const fn many(mut self) -> Self {
        self.many = true;
        self
    }
}

const T: Set = TEXT;

/// All of them, but for those in [`loops`] and `incidr`.
static BUILTINS: &[Builtin] = &[
    // Texts.
    function("trim", &[T, T], Gives::Text, strings::trim).optional(1),
    function("trimPrefix", &[T, T], Gives::Text, strings::trim_prefix).optional(1),
    function("trimSuffix", &[T, T], Gives::Text, strings::trim_suffix).optional(1),
    function("upper", &[T], Gives::Text, strings::upper),
    function("lower", &[T], Gives::Text, strings::lower),
    function("split", &[T, T, NUMBER], Gives::Texts, strings::split).optional(1),
    function("splitAfter", &[T, T, NUMBER], Gives::Texts, strings::split_after).optional(1),
    function("replace", &[T, T, T, NUMBER], Gives::Text, strings::replace).optional(1),
    function("repeat", &[T, NUMBER], Gives::Text, strings::repeat),
    function("join", &[LIST, T], Gives::Text, strings::join).optional(1),
    function("indexOf", &[T, T], Gives::Int, strings::index_of),
    function("lastIndexOf", &[T, T], Gives::Int, strings::last_index_of),
    function("hasPrefix", &[T, T], Gives::Bool, strings::has_prefix),
    function("hasSuffix", &[T, T], Gives::Bool, strings::has_suffix),
    function("string", &[ANY], Gives::Text, strings::string),
    function("toJSON", &[ANY], Gives::Text, strings::to_json),
    function("fromJSON", &[T], Gives::Any, strings::from_json),
    function("toBase64", &[T], Gives::Text, strings::to_base64),
    function("fromBase64", &[T], Gives::Text, strings::from_base64),
    // Numbers.
    function("abs", &[NUMBER], Gives::First, numbers::abs),
    function("ceil", &[NUMBER], Gives::Float, numbers::ceil),
    function("floor", &[NUMBER], Gives::Float, numbers::floor),
    function("round", &[NUMBER], Gives::Float, numbers::round),
    function("int", &[NUMBER | T], Gives::Int, numbers::int),
    function("float", &[NUMBER | T], Gives::Float, numbers::float),
    function("max", &[NUMBER | LIST], Gives::Number, numbers::max).many(),
    function("min", &[NUMBER | LIST], Gives::Number, numbers::min).many(),
    function("mean", &[NUMBER | LIST], Gives::Float, numbers::mean).many(),
    function("median", &[NUMBER | LIST], Gives::Float, numbers::median).many(),
    function("bitand", &[INT, INT], Gives::Int, numbers::bitand),
    function("bitor", &[INT, INT], Gives::Int, numbers::bitor),
    function("bitxor", &[INT, INT], Gives::Int, numbers::bitxor),
    function("bitnand", &[INT, INT], Gives::Int, numbers::bitnand),
    function("bitnot", &[INT], Gives::Int, numbers::bitnot),
    function("bitshl", &[INT, INT], Gives::Int, numbers::bitshl),
    function("bitshr", &[INT, INT], Gives::Int, numbers::bitshr),
    function("bitushr", &[INT, INT], Gives::Int, numbers::bitushr),
    // Arrays and maps.
    function("len", &[T | BYTES | LIST | MAP], Gives::Int, lists::len),
    function("first", &[LIST], Gives::Element, lists::first),
    function("last", &[LIST], Gives::Element, lists::last),
    function("take", &[LIST, INT], Gives::First, lists::take),
    function("get", &[LIST | MAP | NIL, ANY], Gives::Indexed, lists::get),
    function("concat", &[LIST], Gives::List, lists::concat).many(),
    function("flatten", &[LIST], Gives::List, lists::flatten),
    function("uniq", &[LIST], Gives::List, lists::uniq),
    function("reverse", &[LIST], Gives::List, lists::reverse),
    function("sort", &[LIST, T], Gives::List, lists::sort).optional(1),
    function("keys", &[MAP], Gives::List, lists::keys),
    function("values", &[MAP], Gives::List, lists::values),
    function("toPairs", &[MAP], Gives::List, lists::to_pairs),
    function("fromPairs", &[LIST], Gives::Map, lists::from_pairs),
];

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|function| function.name == name)
}

/// All names of functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let plain = BUILTINS.iter().map(|function| function.name);
    plain.chain(loops::NAMES.iter().map(|(name, _)| *name)).chain(["incidr"])
}

/// Whether the language has a function of this name.
pub(crate) fn is_function(name: &str) -> bool {
    names().any(|known| known == name)
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
