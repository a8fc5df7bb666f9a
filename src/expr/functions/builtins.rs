//! The table of the functions that see their arguments only: their parameters, their results and their code.

use super::{lists, numbers, strings};
use crate::tree::signature::{Gives, Library, function};
use crate::types::{ANY, BYTES, INT, LIST, MAP, NIL, NUMBER, Set, TEXT};

const T: Set = TEXT;

/// All of them, but for those that run over an array and `incidr`.
pub(crate) static LIBRARY: Library = Library(&[
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
]);
