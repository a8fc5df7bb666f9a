//! The tree of an expression, with its constants and the place of each part.

use regex::Regex;

use super::loops::LoopKind;
use super::network::Network;
use super::operator::Op;
use super::signature::Builtin;
use crate::error::Spot;
use crate::{Type, Value};

/// A part of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A value that is known.
    Const(Value<'static>),
    /// `$env`: the builder lets it stand in front of a name only.
    Environment,
    /// A variable of the environment.
    Variable(usize),
    /// The variable that the nth `let` around this declares.
    Local(usize),
    /// `#`.
    Element,
    /// `#index`.
    Index,
    /// `#acc`.
    Accumulator,
    /// `not a`.
    Not(Box<Self>, Spot),
    /// `-a`.
    Negate(Box<Self>, Spot),
    /// `a and b and c`.
    And(Vec<Self>, Spot),
    /// `a or b or c`.
    Or(Vec<Self>, Spot),
    /// `a + b`.
    Binary(Op, Box<(Self, Self)>, Spot),
    /// `a matches 'constant'`.
    Matches(Box<(Self, Regex)>, Spot),
    /// `incidr(a, 'constant')`.
    Within(Box<(Self, Network)>, Spot),
    /// `a ? b : c`.
    Choose(Box<(Self, Self, Self)>, Spot),
    /// `a ?? b`.
    Coalesce(Box<(Self, Self)>),
    /// `a.b`, `a[b]`.
    Member(Box<Member>),
    /// Ends here, with `nil`, if an optional member in it finds `nil`.
    Chain(Box<Self>),
    /// `a[b:c]`.
    Slice(Box<Slice>),
    /// A function of the environment.
    Call(usize, Vec<Self>, Spot),
    /// A function of the language.
    Builtin(&'static Builtin, Vec<Self>, Spot),
    /// A function of the language that evaluates an argument for each element of an array.
    Loop(Box<Loop>),
    /// `let x = a; b`.
    Let(Box<(Self, Self)>),
    /// `a; b`.
    Sequence(Vec<Self>),
    /// `[a, b]`.
    List(Vec<Self>, Spot),
    /// `{a: b}`.
    Map(Vec<(Self, Self)>, Spot),
}

/// `base.key` or `base[key]`.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) base: Node,
    pub(crate) key: Node,
    /// With `?.`.
    pub(crate) optional: bool,
    pub(crate) spot: Spot,
}

/// `base[from:to]`.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) base: Node,
    pub(crate) from: Option<Node>,
    pub(crate) to: Option<Node>,
    pub(crate) spot: Spot,
}

/// `all(over, body)` and its like.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) over: Node,
    pub(crate) body: Option<Node>,
    /// The order of `sortBy`, the first value of `reduce`.
    pub(crate) extra: Option<Node>,
    pub(crate) spot: Spot,
}

/// A part that was read, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) node: Node,
    pub(crate) kind: Type,
    pub(crate) spot: Spot,
    /// How deep the tree below is.
    pub(crate) height: usize,
}

impl Made {
    /// The constant that it is.
    pub(crate) fn constant(&self) -> Option<&Value<'static>> {
        match &self.node {
            Node::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The constant text that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.constant() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}
