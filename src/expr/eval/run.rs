//! Evaluation: a walk over the tree, with bounds on work and memory.

use crate::error::{Error, Spot};
use crate::functions::lists;
use crate::ops;
use crate::scope::Environment;
use crate::tree::node::{Member, Node, Slice};
use crate::tree::operator::Op;
use crate::value::{Held, Key, Map};
use crate::{Type, Value};

/// The most parts that are evaluated, and elements that are looked at.
const MAX_STEPS: usize = 1_000_000;
/// The most elements and bytes that are made; expr-lang's bound.
const MAX_MEMORY: usize = 1_000_000;
/// What compiling a regular expression counts as.
const PATTERN_STEPS: usize = 10_000;
/// As many arguments need no memory of their own.
const FEW: usize = 4;

/// One evaluation.
pub(crate) struct Run<'v> {
    env: &'v dyn Environment,
    steps: usize,
    memory: usize,
    locals: Vec<Value<'v>>,
    /// The innermost function that runs over an array; those around it wait on the stack.
    pub(crate) running: Option<Running<'v>>,
}

/// A function that runs over an array, at one element.
pub(crate) struct Running<'v> {
    pub(crate) element: Value<'v>,
    pub(crate) index: i64,
    pub(crate) accumulator: Value<'v>,
}

/// Why a part has no value.
pub(crate) enum Halt {
    /// An optional member found `nil`: so is the chain that it is in.
    Nil,
    /// A mistake.
    Error(Box<Error>),
}

impl Halt {
    #[cold]
    pub(crate) fn error(spot: Spot, message: impl Into<String>) -> Self {
        Self::Error(Box::new(Error::at(spot, message)))
    }
}

type Got<'v> = Result<Value<'v>, Halt>;

impl<'v> Run<'v> {
    pub(crate) fn new(env: &'v dyn Environment) -> Self {
        Self { env, steps: 0, memory: 0, locals: Vec::new(), running: None }
    }

    /// The value of the whole.
    pub(crate) fn value(mut self, node: &'v Node) -> Result<Value<'v>, Error> {
        match self.get(node) {
            Ok(value) => Ok(value),
            Err(Halt::Nil) => Ok(Value::Nil),
            Err(Halt::Error(error)) => Err(*error),
        }
    }

    /// Counts work.
    fn spend(&mut self, steps: usize, spot: Spot) -> Result<(), Halt> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(Halt::error(spot, "the expression takes too long"));
        }
        Ok(())
    }

    /// Counts the memory of a value that was made.
    pub(crate) fn keep(&mut self, value: Value<'v>, spot: Spot) -> Got<'v> {
        self.memory = self.memory.saturating_add(weigh(&value, MAX_MEMORY));
        if self.memory > MAX_MEMORY {
            return Err(Halt::error(spot, "the expression needs too much memory"));
        }
        Ok(value)
    }

    /// The value of a part.
    pub(crate) fn get(&mut self, node: &'v Node) -> Got<'v> {
        self.steps += 1;
        Ok(match node {
            Node::Const(value) => value.lend(),
            // The builder lets it stand nowhere.
            Node::Environment => Value::Nil,
            Node::Variable(index) => self.env.variable(*index),
            Node::Local(index) => self.locals.get(*index).cloned().unwrap_or(Value::Nil),
            Node::Element => {
                self.running.as_ref().map_or(Value::Nil, |frame| frame.element.clone())
            }
            Node::Index => {
                self.running.as_ref().map_or(Value::Nil, |frame| Value::Int(frame.index))
            }
            Node::Accumulator => {
                self.running.as_ref().map_or(Value::Nil, |frame| frame.accumulator.clone())
            }
            Node::Not(node, spot) => Value::Bool(!self.bool(node, *spot)?),
            Node::Negate(node, spot) => match self.get(node)? {
                Value::Int(number) => Value::Int(number.wrapping_neg()),
                Value::Float(number) => Value::Float(-number),
                other => {
                    let message = format!("a sign must precede a number, found {}", other.kind());
                    return Err(Halt::error(*spot, message));
                }
            },
            Node::And(all, spot) => {
                for node in all {
                    if !self.bool(node, *spot)? {
                        return Ok(Value::Bool(false));
                    }
                }
                Value::Bool(true)
            }
            Node::Or(all, spot) => {
                for node in all {
                    if self.bool(node, *spot)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Value::Bool(false)
            }
            Node::Binary(op, sides, spot) => self.binary(*op, &sides.0, &sides.1, *spot)?,
            Node::Matches(parts, spot) => {
                let subject = self.get(&parts.0)?;
                self.spend(subject.weight() / 16, *spot)?;
                ops::matches(&subject, &parts.1).map_err(|message| Halt::error(*spot, message))?
            }
            Node::Within(parts, spot) => {
                let (node, network) = &**parts;
                if let Node::Call(function, ..) = node
                    && let Some(address) = self.env.address(*function)
                {
                    return Ok(Value::Bool(network.has(address)));
                }
                let subject = self.get(node)?;
                ops::within(&subject, network).map_err(|message| Halt::error(*spot, message))?
            }
            Node::Choose(parts, spot) => {
                let (condition, yes, no) = &**parts;
                if self.bool(condition, *spot)? { self.get(yes)? } else { self.get(no)? }
            }
            Node::Coalesce(sides) => match self.get(&sides.0)? {
                Value::Nil => self.get(&sides.1)?,
                value => value,
            },
            Node::Member(member) => self.member(member)?,
            Node::Chain(inner) => match self.get(inner) {
                Err(Halt::Nil) => Value::Nil,
                got => got?,
            },
            Node::Slice(slice) => self.slice(slice)?,
            Node::Call(function, arguments, spot) => {
                let env = self.env;
                self.with_arguments(arguments, *spot, |arguments| env.call(*function, arguments))?
            }
            Node::Builtin(function, arguments, spot) => {
                let value = self.with_arguments(arguments, *spot, function.run)?;
                self.keep(value, *spot)?
            }
            Node::Loop(run) => {
                self.spend(1, run.spot)?;
                self.run_loop(run)?
            }
            Node::Let(parts) => {
                let value = self.get(&parts.0)?;
                self.locals.push(value);
                let got = self.get(&parts.1);
                self.locals.pop();
                got?
            }
            Node::Sequence(nodes) => {
                let mut last = Value::Nil;
                for node in nodes {
                    last = self.get(node)?;
                }
                last
            }
            Node::List(nodes, spot) => {
                let items: Result<Vec<Value<'v>>, Halt> =
                    nodes.iter().map(|node| self.get(node)).collect();
                self.keep(Value::list(items?), *spot)?
            }
            Node::Map(pairs, spot) => self.map(pairs, *spot)?,
        })
    }

    fn bool(&mut self, node: &'v Node, spot: Spot) -> Result<bool, Halt> {
        match self.get(node)? {
            Value::Bool(bool) => Ok(bool),
            other => {
                let message = format!("expected bool, found {}", other.kind());
                Err(Halt::error(spot, message))
            }
        }
    }

    fn binary(&mut self, op: Op, left: &'v Node, right: &'v Node, spot: Spot) -> Got<'v> {
        let (left, right) = (self.get(left)?, self.get(right)?);
        let work = match op {
            Op::Matches => PATTERN_STEPS + (left.weight() + right.weight()) / 16,
            Op::In | Op::Equal | Op::Unequal | Op::Contains => {
                work(&left).saturating_add(work(&right))
            }
            _ => 1,
        };
        self.spend(work, spot)?;
        let value = ops::apply(op, left, right).map_err(|message| Halt::error(spot, message))?;
        match op {
            Op::Add | Op::Range => self.keep(value, spot),
            _ => Ok(value),
        }
    }

    /// Calls `act` with the values of the arguments.
    fn with_arguments(
        &mut self,
        nodes: &'v [Node],
        spot: Spot,
        act: impl FnOnce(&[Value<'v>]) -> Result<Value<'v>, String>,
    ) -> Got<'v> {
        let mut few = [Value::Nil, Value::Nil, Value::Nil, Value::Nil];
        let mut many = Vec::new();
        let arguments: &[Value<'v>] = if nodes.len() <= FEW {
            for (place, node) in few.iter_mut().zip(nodes) {
                *place = self.get(node)?;
            }
            &few[..nodes.len()]
        } else {
            for node in nodes {
                many.push(self.get(node)?);
            }
            &many
        };
        let work = arguments.iter().map(work).fold(1, usize::saturating_add);
        self.spend(work, spot)?;
        act(arguments).map_err(|message| Halt::error(spot, message))
    }

    fn member(&mut self, member: &'v Member) -> Got<'v> {
        let base = self.get(&member.base)?;
        if matches!(base, Value::Nil) && member.optional {
            return Err(Halt::Nil);
        }
        let key = self.get(&member.key)?;
        if matches!(base, Value::Nil) {
            return Err(Halt::error(member.spot, format!("nil has no element `{key}`")));
        }
        match lists::fetch(&base, &key) {
            Ok(Some(value)) => Ok(value),
            Ok(None) if matches!(base.kind(), Type::Map(_)) => Ok(Value::Nil),
            Ok(None) => {
                let message =
                    format!("index {key} is out of range for a length of {}", base.weight());
                Err(Halt::error(member.spot, message))
            }
            Err(message) => Err(Halt::error(member.spot, message)),
        }
    }

    fn slice(&mut self, slice: &'v Slice) -> Got<'v> {
        let base = self.get(&slice.base)?;
        let to = slice.to.as_ref().map(|to| self.get(to)).transpose()?;
        let from = slice.from.as_ref().map(|from| self.get(from)).transpose()?;
        let value = lists::slice(&base, from.as_ref(), to.as_ref())
            .map_err(|message| Halt::error(slice.spot, message))?;
        self.keep(value, slice.spot)
    }

    fn map(&mut self, pairs: &'v [(Node, Node)], spot: Spot) -> Got<'v> {
        let mut map = Map::new();
        for (key, value) in pairs {
            let key = self.get(key)?;
            let Value::Text(key) = key else {
                let message = format!("a map key must be a string, found {}", key.kind());
                return Err(Halt::error(spot, message));
            };
            map.insert(Key::Text(key), self.get(value)?);
        }
        self.keep(Value::Map(Held::Shared(map.into())), spot)
    }
}

/// What looking at all of a value counts as.
fn work(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len() / 64,
        Value::List(_) | Value::Map(_) => weigh(value, MAX_STEPS),
        _ => 0,
    }
}

/// The elements and bytes in a value, at whatever depth; `most` or more if there are so many.
fn weigh(value: &Value<'_>, most: usize) -> usize {
    let mut sum = value.weight();
    let mut add = |item: &Value<'_>| {
        if sum < most {
            sum = sum.saturating_add(weigh(item, most - sum));
        }
    };
    match value {
        Value::List(items) => items.iter().for_each(&mut add),
        Value::Map(map) => map.values().for_each(&mut add),
        _ => {}
    }
    sum
}
