//! The parts and the types of functions that evaluate an argument for each element of an array.

use super::parser::{Frame, Parser};
use crate::Type;
use crate::error::{Error, Spot};
use crate::tree::loops::LoopKind;
use crate::tree::node::{Loop, Made, Node};
use crate::types::{BOOL, LIST, TEXT};

impl Parser<'_> {
    /// `all(array, predicate)` and its like.
    pub(crate) fn run_over(
        &mut self,
        kind: LoopKind,
        spot: Spot,
        first: Option<Made>,
    ) -> Result<Made, Error> {
        let (least, most) = match kind {
            LoopKind::Count | LoopKind::Sum => (1, 2),
            LoopKind::SortBy | LoopKind::Reduce => (2, 3),
            _ => (2, 2),
        };
        let name = kind.name();
        let begin = |_: &mut Self, over: &Made| {
            if !over.kind.may_be(LIST) {
                let message = format!("`{name}` expects an array, found {}", over.kind);
                return Err(Error::at(over.spot, message));
            }
            Ok(Frame {
                element: over.kind.element(),
                index: matches!(kind, LoopKind::Map | LoopKind::Reduce),
                accumulator: kind == LoopKind::Reduce,
            })
        };
        let (over, body, extra) = self.loop_arguments(first, least, most, begin)?;
        let element = over.kind.element();
        let given = body.as_ref().map_or_else(|| element.clone(), |body| body.kind.clone());
        if kind.asks() && !given.may_be(BOOL) {
            let at = body.as_ref().map_or(spot, |body| body.spot);
            let message = format!("the predicate of `{name}` must be bool, found {given}");
            return Err(Error::at(at, message).help("use a comparison, such as `==` or `in`"));
        }
        if kind == LoopKind::SortBy
            && let Some(order) = &extra
            && !order.kind.may_be(TEXT)
        {
            let message = format!("the order must be a string, found {}", order.kind);
            return Err(Error::at(order.spot, message).help("write `\"asc\"` or `\"desc\"`"));
        }
        let result = match kind {
            LoopKind::All | LoopKind::None | LoopKind::Any | LoopKind::One => Type::Bool,
            LoopKind::Filter | LoopKind::SortBy => Type::list(element),
            LoopKind::Map => Type::list(given),
            LoopKind::Count => Type::Int,
            // An empty array gives a whole zero, and no match gives `nil`.
            LoopKind::Sum if given == Type::Int => Type::Int,
            LoopKind::GroupBy => Type::map(Type::Any, Type::list(element)),
            _ => Type::Any,
        };
        let parts = [Some(&over), body.as_ref(), extra.as_ref()];
        let height = 1 + parts.into_iter().flatten().map(|made| made.height).max().unwrap_or(0);
        let (body, extra) = (body.map(|made| made.node), extra.map(|made| made.node));
        let node = Node::Loop(Box::new(Loop { kind, over: over.node, body, extra, spot }));
        self.made(node, result, spot, height)
    }
}
