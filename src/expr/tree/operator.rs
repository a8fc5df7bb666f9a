//! Binary operators: how they are written, the types that they accept, and the types of their results.

use crate::Type;
use crate::types::{BYTES, INT, LIST, MAP, NUMBER, Set, TEXT};

/// An operator between two values, both of which are always needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    /// `incidr(a, b)`.
    Within,
}

impl Op {
    /// The operator as written.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
            Self::Within => "incidr",
        }
    }

    /// The operator that `sign` is.
    pub(crate) fn of(sign: &str) -> Option<Self> {
        use Op::*;
        let all = [
            Equal,
            Unequal,
            Less,
            LessOrEqual,
            More,
            MoreOrEqual,
            Add,
            Subtract,
            Multiply,
            Divide,
            Modulo,
            Power,
            In,
            Matches,
            Contains,
            StartsWith,
            EndsWith,
            Range,
        ];
        let sign = if sign == "^" { "**" } else { sign };
        all.into_iter().find(|op| op.sign() == sign)
    }
}

/// The type of the result.
pub(crate) fn kind(op: Op, left: &Type, right: &Type) -> Result<Type, String> {
    let both = |set: Set| {
        let known = |a: &Type, b: &Type| a.is(set) && b.may_be(set);
        known(left, right) || known(right, left) || *left == Type::Any && *right == Type::Any
    };
    let number = || {
        if *left == Type::Int && *right == Type::Int {
            Type::Int
        } else if left.is(NUMBER) && right.is(NUMBER) {
            Type::Float
        } else {
            Type::Any
        }
    };
    let found = match op {
        Op::Equal | Op::Unequal => left.comparable(right).then_some(Type::Bool),
        Op::Less | Op::LessOrEqual | Op::More | Op::MoreOrEqual => {
            (both(NUMBER) || both(TEXT)).then_some(Type::Bool)
        }
        Op::Add if left.is(TEXT) && right.is(TEXT) => Some(Type::Text),
        Op::Add => (both(NUMBER) || both(TEXT)).then(number),
        Op::Subtract | Op::Multiply => both(NUMBER).then(number),
        Op::Divide | Op::Power => both(NUMBER).then_some(Type::Float),
        Op::Modulo => both(INT).then_some(Type::Int),
        Op::Range => both(INT).then(|| Type::list(Type::Int)),
        Op::Matches => (left.may_be(TEXT | BYTES) && right.may_be(TEXT)).then_some(Type::Bool),
        Op::Contains | Op::StartsWith | Op::EndsWith | Op::Within => {
            (left.may_be(TEXT) && right.may_be(TEXT)).then_some(Type::Bool)
        }
        Op::In => contained(left, right).then_some(Type::Bool),
    };
    found.ok_or_else(|| format!("`{}` does not accept {left} and {right}", op.sign()))
}

fn contained(left: &Type, right: &Type) -> bool {
    match right {
        Type::Any => true,
        Type::Map(types) => *left == Type::Any || types.0 == Type::Any || types.0 == *left,
        Type::List(of) => left.comparable(of),
        _ => right.may_be(LIST | MAP),
    }
}
