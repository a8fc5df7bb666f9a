//! Builds nodes: resolves names, checks types and prepares constants.

use corefile::nearest;

use super::parser::Parser;
use crate::error::{Error, Spot};
use crate::ops;
use crate::tree::network::Network;
use crate::tree::node::{Made, Member, Node, Slice};
use crate::tree::operator::{self, Op};
use crate::tree::{loops, signature};
use crate::types::{BOOL, BYTES, INT, LIST, NUMBER, TEXT, element};
use crate::{Type, Value};

/// The result of building a node; an error has the position of its part.
type Built = Result<Made, Error>;

fn above(parts: &[&Made]) -> usize {
    1 + parts.iter().map(|part| part.height).max().unwrap_or(0)
}

impl Parser<'_> {
    pub(crate) fn binary(&mut self, sign: &str, left: Made, right: Made, spot: Spot) -> Built {
        let height = above(&[&left, &right]);
        match sign {
            "and" | "&&" => self.logic(left, right, spot, true),
            "or" | "||" => self.logic(left, right, spot, false),
            "??" => {
                let kind = left.kind.either(right.kind);
                let node = Node::Coalesce(Box::new((left.node, right.node)));
                self.made(node, kind, spot, height)
            }
            _ => {
                let Some(op) = Op::of(sign) else {
                    return Err(Error::at(spot, format!("unexpected `{sign}`")));
                };
                self.operation(op, left, right, spot)
            }
        }
    }

    /// An operation, the right side of which is made ready if it is constant.
    pub(crate) fn operation(&mut self, op: Op, left: Made, right: Made, spot: Spot) -> Built {
        let height = above(&[&left, &right]);
        if op == Op::In && matches!(right.node, Node::Environment) {
            let Some(name) = left.text() else {
                return Err(Error::at(left.spot, "the left side of `in $env` must be a string"));
            };
            let known = self.scope.names().any(|known| known == name);
            return self.made(Node::Const(Value::Bool(known)), Type::Bool, spot, 1);
        }
        let kind = operator::kind(op, &left.kind, &right.kind)
            .map_err(|message| mismatch(op, &left, &right, spot, message))?;
        let node = match (op, right.text()) {
            (Op::Matches, Some(pattern)) => {
                let pattern = ops::pattern(pattern).map_err(|message| {
                    Error::at(right.spot, message)
                        .help("the syntax is RE2: look-around and backreferences are not supported")
                })?;
                Node::Matches(Box::new((left.node, pattern)), spot)
            }
            (Op::Within, Some(network)) => {
                let network = Network::read(network).ok_or_else(|| {
                    Error::at(right.spot, format!("`{network}` is not an address range"))
                        .help("write it as `10.0.0.0/8` or `2001:db8::/32`")
                })?;
                Node::Within(Box::new((left.node, network)), spot)
            }
            _ => Node::Binary(op, Box::new((left.node, right.node)), spot),
        };
        self.made(node, kind, spot, height)
    }

    /// `and` and `or` of many are flat: conditions may be as long as they like.
    fn logic(&mut self, left: Made, right: Made, spot: Spot, and: bool) -> Built {
        for side in [&left, &right] {
            if !side.kind.may_be(BOOL) {
                let word = if and { "and" } else { "or" };
                let message = format!("`{word}` expects bool, found {}", side.kind);
                return Err(
                    Error::at(side.spot, message).help("use a comparison, such as `==` or `in`")
                );
            }
        }
        let mut height = above(&[&left, &right]);
        let right = right.node;
        let node = match left.node {
            Node::And(mut all, at) if and => {
                height -= 1;
                all.push(right);
                Node::And(all, at)
            }
            Node::Or(mut all, at) if !and => {
                height -= 1;
                all.push(right);
                Node::Or(all, at)
            }
            node if and => Node::And(vec![node, right], spot),
            node => Node::Or(vec![node, right], spot),
        };
        self.made(node, Type::Bool, spot, height)
    }

    pub(crate) fn not(&mut self, made: Made, spot: Spot) -> Built {
        if !made.kind.may_be(BOOL) {
            let message = format!("`not` expects bool, found {}", made.kind);
            return Err(Error::at(made.spot, message)
                .help("`not` binds tightly: write `not (a == b)` or `a != b`"));
        }
        let height = above(&[&made]);
        self.made(Node::Not(Box::new(made.node), spot), Type::Bool, spot, height)
    }

    pub(crate) fn negate(&mut self, made: Made, spot: Spot) -> Built {
        let (height, made) = (above(&[&made]), self.positive(made, spot)?);
        let node = match made.node {
            Node::Const(Value::Int(number)) => Node::Const(Value::Int(number.wrapping_neg())),
            Node::Const(Value::Float(number)) => Node::Const(Value::Float(-number)),
            node => Node::Negate(Box::new(node), spot),
        };
        self.made(node, made.kind, spot, height)
    }

    /// A sign may stand before numbers only.
    pub(crate) fn positive(&mut self, made: Made, spot: Spot) -> Built {
        if !made.kind.may_be(NUMBER) {
            let message = format!("a sign must precede a number, found {}", made.kind);
            return Err(Error::at(spot, message));
        }
        Ok(made)
    }

    pub(crate) fn choose(&mut self, condition: Made, yes: Made, no: Made, spot: Spot) -> Built {
        if !condition.kind.may_be(BOOL) {
            let message = format!("a condition must be bool, found {}", condition.kind);
            return Err(
                Error::at(condition.spot, message).help("use a comparison, such as `==` or `in`")
            );
        }
        let height = above(&[&condition, &yes, &no]);
        let kind = yes.kind.either(no.kind);
        let node = Node::Choose(Box::new((condition.node, yes.node, no.node)), spot);
        self.made(node, kind, spot, height)
    }

    /// An array; of constants, it is one.
    pub(crate) fn list(&mut self, items: Vec<Made>, spot: Spot) -> Built {
        let height = 1 + items.iter().map(|item| item.height).max().unwrap_or(0);
        let mut kinds = items.iter().map(|item| item.kind.clone());
        let first = kinds.next().unwrap_or(Type::Any);
        let kind = Type::list(if kinds.all(|kind| kind == first) { first } else { Type::Any });
        let constants: Option<Vec<Value<'static>>> =
            items.iter().map(|item| item.constant().cloned()).collect();
        let node = match constants {
            Some(values) => Node::Const(Value::list(values)),
            None => Node::List(items.into_iter().map(|item| item.node).collect(), spot),
        };
        self.made(node, kind, spot, height)
    }

    pub(crate) fn pairs(&mut self, pairs: Vec<(Made, Made)>, spot: Spot) -> Built {
        let parts = pairs.iter().flat_map(|(key, value)| [key, value]);
        let height = 1 + parts.map(|part| part.height).max().unwrap_or(0);
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !key.kind.may_be(TEXT)) {
            let message = format!("a map key must be a string, found {}", key.kind);
            return Err(Error::at(key.spot, message).help("convert it with `string(…)`"));
        }
        let nodes = pairs.into_iter().map(|(key, value)| (key.node, value.node)).collect();
        self.made(Node::Map(nodes, spot), Type::map(Type::Text, Type::Any), spot, height)
    }

    // --- names

    pub(crate) fn variable(&mut self, name: &str, spot: Spot) -> Built {
        if let Some(index) = self.locals.iter().rposition(|(known, _)| known == name) {
            let kind = self.locals[index].1.clone();
            return self.made(Node::Local(index), kind, spot, 1);
        }
        if name == "$env" {
            return self.made(Node::Environment, Type::Any, spot, 1);
        }
        if let Some((index, kind)) = self.scope.find_variable(name) {
            let kind = kind.clone();
            return self.made(Node::Variable(index), kind, spot, 1);
        }
        if self.scope.find_function(name).is_some() || self.library.has(name) {
            return Err(Error::at(spot, format!("`{name}` is a function"))
                .help(format!("call it: `{name}(…)`")));
        }
        Err(self.unknown(name, spot))
    }

    fn unknown(&self, name: &str, spot: Spot) -> Error {
        let mut names: Vec<&str> = self.scope.names().collect();
        names.extend(self.locals.iter().map(|(name, _)| name.as_str()));
        // One by one, each shortens its lifetime.
        self.library.names().for_each(|name| names.push(name));
        Error::at(spot, format!("unknown name `{name}`")).help(
            match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let own: Vec<&str> = self.scope.names().collect();
                    format!(
                        "put a string in quotes; the names available here are {}",
                        own.join(", ")
                    )
                }
            },
        )
    }

    /// `#`, `#index` or `#acc`.
    pub(crate) fn pointer(&mut self, name: &str, spot: Spot) -> Built {
        let frame =
            self.frames.last().map(|frame| (frame.element.clone(), frame.index, frame.accumulator));
        let (node, kind) = match (name, frame) {
            ("", Some((element, ..))) => (Node::Element, element),
            ("index", Some((_, true, _))) => (Node::Index, Type::Int),
            ("acc", Some((.., true))) => (Node::Accumulator, Type::Any),
            _ => {
                return Err(Error::at(spot, format!("`#{name}` is not available here")).help(
                    "`#` is the element; `#index` exists in `map` and `reduce`, `#acc` in `reduce`",
                ));
            }
        };
        self.made(node, kind, spot, 1)
    }

    /// `name(…)`, with `first` before the arguments in the parentheses.
    pub(crate) fn call(
        &mut self,
        name: &str,
        spot: Spot,
        first: Option<Made>,
        environment: bool,
    ) -> Built {
        let own = self.scope.find_function(name).filter(|_| environment);
        if own.is_none() && name != "incidr" {
            if let Some(function) = loops::find(name) {
                return self.run_over(function, spot, first);
            }
            if let Some(function) = self.library.find(name) {
                let mut arguments: Vec<Made> = first.into_iter().collect();
                arguments.extend(self.elements("(", ")")?);
                let kinds: Vec<&Type> = arguments.iter().map(|made| &made.kind).collect();
                let kind = signature::kind(function, &kinds).map_err(|(index, message)| {
                    let at = index.and_then(|index| arguments.get(index));
                    Error::at(at.map_or(spot, |argument| argument.spot), message)
                })?;
                let height = 1 + arguments.iter().map(|made| made.height).max().unwrap_or(0);
                let nodes = arguments.into_iter().map(|made| made.node).collect();
                return self.made(Node::Builtin(function, nodes, spot), kind, spot, height);
            }
        }
        let mut arguments: Vec<Made> = first.into_iter().collect();
        arguments.extend(self.elements("(", ")")?);
        if own.is_none() && name == "incidr" {
            return self.within(arguments, spot);
        }
        self.call_environment(name, arguments, spot)
    }

    fn call_environment(&mut self, name: &str, arguments: Vec<Made>, spot: Spot) -> Built {
        let Some((index, function)) = self.scope.find_function(name) else {
            return Err(match self.scope.find_variable(name) {
                Some(_) => Error::at(spot, format!("`{name}` is not a function")),
                None => self.unknown(name, spot),
            });
        };
        check_arguments(name, &arguments, function.parameters, spot)?;
        let result = function.result.clone();
        let height = 1 + arguments.iter().map(|made| made.height).max().unwrap_or(0);
        let nodes = arguments.into_iter().map(|made| made.node).collect();
        self.made(Node::Call(index, nodes, spot), result, spot, height)
    }

    /// `incidr(address, network)`.
    fn within(&mut self, arguments: Vec<Made>, spot: Spot) -> Built {
        check_arguments("incidr", &arguments, &[Type::Text, Type::Text], spot)?;
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next()) {
            (Some(address), Some(network)) => self.operation(Op::Within, address, network, spot),
            _ => Err(Error::at(spot, "`incidr` needs an address and a range")),
        }
    }

    // --- members

    pub(crate) fn named_member(
        &mut self,
        base: Made,
        name: String,
        optional: bool,
        spot: Spot,
    ) -> Built {
        let called = self.arguments_follow();
        if matches!(base.node, Node::Environment) {
            if called {
                let arguments = self.elements("(", ")")?;
                return self.call_environment(&name, arguments, spot);
            }
            return match self.scope.find_variable(&name) {
                None if optional => self.made(Node::Const(Value::Nil), Type::Any, spot, 1),
                _ => self.variable(&name, spot),
            };
        }
        if called {
            return Err(Error::at(spot, format!("{} has no method `{name}`", base.kind))
                .help(format!("pass the value to a function as its argument: `{name}(…)`")));
        }
        if base.kind != Type::Any && !matches!(base.kind, Type::Map(_)) {
            return Err(Error::at(spot, format!("{} has no field `{name}`", base.kind)));
        }
        let kind = match &base.kind {
            Type::Map(types) => types.1.clone(),
            _ => Type::Any,
        };
        let key = self.made(Node::Const(Value::text(name)), Type::Text, spot, 1)?;
        // A member of what `?.` may end early belongs to the same chain.
        let (base, chained) = match base {
            Made { node: Node::Chain(inner), kind, spot, height } => {
                (Made { node: *inner, kind, spot, height }, true)
            }
            other => (other, false),
        };
        let made = self.member(base, key, optional, kind, spot)?;
        if chained || optional { self.chain(made) } else { Ok(made) }
    }

    pub(crate) fn indexed_member(
        &mut self,
        base: Made,
        key: Made,
        optional: bool,
        spot: Spot,
    ) -> Built {
        if matches!(base.node, Node::Environment) {
            return match key.text().map(str::to_owned) {
                Some(name) if self.scope.find_variable(&name).is_some() => {
                    self.variable(&name, key.spot)
                }
                Some(_) if optional => self.made(Node::Const(Value::Nil), Type::Any, spot, 1),
                Some(name) => Err(self.unknown(&name, key.spot)),
                None => Err(Error::at(key.spot, "a name in `$env` must be a string")),
            };
        }
        let kind = element(&base.kind, &key.kind).map_err(|message| Error::at(spot, message))?;
        let made = self.member(base, key, optional, kind, spot)?;
        if optional { self.chain(made) } else { Ok(made) }
    }

    fn member(&mut self, base: Made, key: Made, optional: bool, kind: Type, spot: Spot) -> Built {
        let height = above(&[&base, &key]);
        let member = Member { base: base.node, key: key.node, optional, spot };
        self.made(Node::Member(Box::new(member)), kind, spot, height)
    }

    fn chain(&mut self, made: Made) -> Built {
        let kind = Type::Any;
        self.made(Node::Chain(Box::new(made.node)), kind, made.spot, made.height + 1)
    }

    pub(crate) fn slice(
        &mut self,
        base: Made,
        from: Option<Made>,
        to: Option<Made>,
        spot: Spot,
    ) -> Built {
        if !base.kind.may_be(TEXT | LIST | BYTES) {
            return Err(Error::at(spot, format!("{} cannot be sliced with `[:]`", base.kind)));
        }
        for bound in [&from, &to].into_iter().flatten() {
            if !bound.kind.may_be(INT) {
                let message = format!("`[:]` expects int, found {}", bound.kind);
                return Err(Error::at(bound.spot, message));
            }
        }
        let bounds = [&from, &to].into_iter().flatten().map(|made| made.height);
        let height = 1 + bounds.chain([base.height]).max().unwrap_or(0);
        let kind = base.kind.clone();
        let (from, to) = (from.map(|made| made.node), to.map(|made| made.node));
        let slice = Slice { base: base.node, from, to, spot };
        self.made(Node::Slice(Box::new(slice)), kind, spot, height)
    }
}

fn check_arguments(
    name: &str,
    arguments: &[Made],
    parameters: &[Type],
    spot: Spot,
) -> Result<(), Error> {
    if arguments.len() != parameters.len() {
        let (wanted, given) = (parameters.len(), arguments.len());
        let plural = if wanted == 1 { "" } else { "s" };
        let message = format!("`{name}` expects {wanted} argument{plural}, found {given}");
        return Err(Error::at(spot, message));
    }
    for (argument, wanted) in arguments.iter().zip(parameters) {
        let fits = *wanted == Type::Any || argument.kind == Type::Any || argument.kind == *wanted;
        if !fits {
            let message = format!("`{name}` expects {wanted} here, found {}", argument.kind);
            return Err(Error::at(argument.spot, message).help(match wanted {
                Type::Text => "convert it with `string(…)`, or put it in quotes",
                Type::Int => "convert it with `int(…)`",
                _ => "pass a value of this type",
            }));
        }
    }
    Ok(())
}

fn mismatch(op: Op, left: &Made, right: &Made, spot: Spot, message: String) -> Error {
    let error = Error::at(spot, message);
    let text_and_number = |a: &Made, b: &Made| a.kind.is(TEXT) && b.kind.is(NUMBER);
    if text_and_number(left, right) || text_and_number(right, left) {
        return error.help("put the number in quotes, or convert the string with `int(…)`");
    }
    if op == Op::In && right.kind.is(TEXT) {
        return error.help("use `contains` to search for a substring");
    }
    error
}
