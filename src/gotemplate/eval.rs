//! Evaluates a template on its data and writes the output.

use crate::error::{Error, MAX_DEPTH, MAX_NESTING, MAX_OUTPUT, MAX_STEPS};
use crate::functions::{Function, Wanted};
use crate::syntax::{Branch, Command, Node, Operand, Parsed, Pipe, Term};
use crate::text::number::{Number, Plain};
use crate::text::print;
use crate::value::{Member, Object, Value};

pub(crate) fn run<'a>(
    program: &'a Parsed,
    data: &'a dyn Object<'a>,
    out: &mut String,
) -> Result<(), Error> {
    let data = Value::Object(data);
    let variables = vec![("$", data.clone())];
    let mut walk = Walk { program, out, variables, depth: 0, nesting: 0, steps: MAX_STEPS };
    walk.nodes(&program.main, &data).map(|_| ())
}

/// Where the walk goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    /// To behind the innermost `range`.
    Break,
    /// To its next turn.
    Continue,
}

struct Walk<'a, 'o> {
    program: &'a Parsed,
    out: &'o mut String,
    /// The variables that are in scope, innermost last.
    variables: Vec<(&'a str, Value<'a>)>,
    /// Invoked templates.
    depth: u32,
    /// Invoked templates, blocks and parentheses.
    nesting: u32,
    steps: u32,
}

type Evaluated<'a> = Result<Value<'a>, Error>;

fn fail<T>(at: usize, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(at, message))
}

impl<'a> Walk<'a, '_> {
    fn nodes(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow, Error> {
        self.deeper(0)?;
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.nesting -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &'a Node, dot: &Value<'a>) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.write(pipe.at, &value)?;
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let mark = self.variables.len();
                let value = self.pipe(&branch.pipe, dot)?;
                let is_with = matches!(node, Node::With(_));
                let flow = match (value.is_true(), &branch.otherwise) {
                    (true, _) if is_with => self.nodes(&branch.list, &value)?,
                    (true, _) => self.nodes(&branch.list, dot)?,
                    (false, Some(otherwise)) => self.nodes(otherwise, dot)?,
                    (false, None) => Flow::On,
                };
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Range(branch) => {
                let mark = self.variables.len();
                let flow = self.range(branch, dot)?;
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Template { at, name, pipe } => self.template(*at, name, pipe.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        if self.out.len() > MAX_OUTPUT {
            return fail(0, format!("the text is longer than {MAX_OUTPUT} bytes"));
        }
        Ok(Flow::On)
    }

    fn write(&mut self, at: usize, value: &Value<'a>) -> Result<(), Error> {
        match value {
            Value::None => self.out.push_str("<no value>"),
            value => {
                value
                    .check_shown()
                    .or_else(|kind| fail(at, format!("can't print a value of type {kind}")))?;
                print::plain(self.out, value);
            }
        }
        Ok(())
    }

    /// Counts one more level. An error ends the walk, so only success counts it down again.
    fn deeper(&mut self, at: usize) -> Result<(), Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return fail(at, format!("the evaluation nests more than {MAX_NESTING} levels deep"));
        }
        Ok(())
    }

    /// Counts one step of the walk.
    fn step(&mut self, at: usize) -> Result<(), Error> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => fail(at, format!("the template takes more than {MAX_STEPS} steps")),
        }
    }

    /// Sequences and what is done for each of their items.
    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, Error> {
        let value = self.pipe(&branch.pipe, dot)?;
        let number = match &value {
            Value::Int(number) => Some(u64::try_from(*number).unwrap_or(0)),
            Value::Uint(number, _) => Some(*number),
            _ => None,
        };
        if number.is_some() && branch.pipe.variables.len() > 1 {
            return fail(branch.at, "`range` over a number permits only one variable");
        }
        let mut any = false;
        match (&value, number) {
            (Value::None, _) => {}
            (_, Some(number)) => {
                for turn in 0..number {
                    any = true;
                    let item = match value {
                        Value::Uint(_, bits) => Value::Uint(turn, bits),
                        _ => Value::Int(turn as i64),
                    };
                    if self.turn(branch, Value::None, item)? == Flow::Break {
                        break;
                    }
                }
            }
            (Value::List(list), _) => {
                for (index, item) in list.items.iter().enumerate() {
                    any = true;
                    if self.turn(branch, Value::Int(index as i64), item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            (Value::Map(map), _) => {
                for (key, item) in map.entries.iter() {
                    any = true;
                    let key = Value::Text(key.clone());
                    if self.turn(branch, key, item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            _ => {
                let kind = value.type_name();
                return fail(branch.at, format!("range can't iterate over a value of type {kind}"));
            }
        }
        match &branch.otherwise {
            Some(otherwise) if !any => self.nodes(otherwise, dot),
            _ => Ok(Flow::On),
        }
    }

    fn turn(
        &mut self,
        branch: &'a Branch,
        index: Value<'a>,
        item: Value<'a>,
    ) -> Result<Flow, Error> {
        self.step(branch.at)?;
        let pipe = &branch.pipe;
        match pipe.variables.as_slice() {
            [] => {}
            [one] => self.set(pipe, one, 1, item.clone())?,
            [first, second, ..] => {
                self.set(pipe, first, 2, index)?;
                self.set(pipe, second, 1, item.clone())?;
            }
        }
        let mark = self.variables.len();
        let flow = self.nodes(&branch.list, &item)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// Gives a variable of `range`, the `nth` last declared, its value for this turn.
    fn set(
        &mut self,
        pipe: &'a Pipe,
        name: &str,
        nth: usize,
        value: Value<'a>,
    ) -> Result<(), Error> {
        if pipe.assigns {
            return self.assign(pipe.at, name, value);
        }
        if let Some(at) = self.variables.len().checked_sub(nth) {
            self.variables[at].1 = value;
        }
        Ok(())
    }

    fn assign(&mut self, at: usize, name: &str, value: Value<'a>) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => fail(at, format!("undefined variable: {name}")),
        }
    }

    fn template(
        &mut self,
        at: usize,
        name: &str,
        pipe: Option<&'a Pipe>,
        dot: &Value<'a>,
    ) -> Result<(), Error> {
        let program = self.program;
        let Some(nodes) = program.defined.get(name) else {
            return fail(at, format!("template {name:?} not defined"));
        };
        if self.depth == MAX_DEPTH {
            return fail(at, format!("templates are nested more than {MAX_DEPTH} levels deep"));
        }
        self.step(at)?;
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::None,
        };
        // An invoked body sees none of the variables here.
        let outer = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.depth += 1;
        self.nodes(nodes, &dot)?;
        self.depth -= 1;
        self.variables = outer;
        Ok(())
    }

    // --- values

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Evaluated<'a> {
        self.deeper(pipe.at)?;
        let mut last = None;
        for command in &pipe.commands {
            self.step(pipe.at)?;
            last = Some(self.command(command, dot, last)?);
        }
        self.nesting -= 1;
        let value = last.unwrap_or(Value::None);
        for name in &pipe.variables {
            if pipe.assigns {
                // The items of a `range` are assigned turn by turn, but this comes before, as in Go.
                self.assign(pipe.at, name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// The value of a command; `last` is that of the one before it in the pipe.
    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Evaluated<'a> {
        let [first, arguments @ ..] = command.as_slice() else {
            return Ok(Value::None);
        };
        if let Term::Function(function) = first.term {
            return self.function(first.at, function, arguments, dot, last);
        }
        let (receiver, names) = match &first.term {
            Term::Field(names) => (dot.clone(), names.as_slice()),
            Term::Variable(names) => (self.variable(first.at, &names[0])?, &names[1..]),
            Term::Chain(operand, names) => (self.operand(operand, dot)?, names.as_slice()),
            _ => (Value::None, [].as_slice()),
        };
        if !names.is_empty() {
            return self.members(first.at, receiver, names, arguments, dot, last);
        }
        if !arguments.is_empty() || last.is_some() {
            return fail(first.at, format!("can't give argument to non-function {first}"));
        }
        match &first.term {
            Term::Nil => fail(first.at, "nil is not a command"),
            _ => self.operand(first, dot),
        }
    }

    /// The value of an operand without arguments.
    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Evaluated<'a> {
        let at = operand.at;
        match &operand.term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::None),
            Term::Bool(yes) => Ok(Value::Bool(*yes)),
            Term::Number(number) => constant(at, number),
            Term::Text { value, .. } => Ok(Value::text(value)),
            Term::Pipe(pipe) => self.pipe(pipe, dot),
            Term::Function(function) => self.function(at, *function, &[], dot, None),
            Term::Field(names) => self.members(at, dot.clone(), names, &[], dot, None),
            Term::Variable(names) => {
                let value = self.variable(at, &names[0])?;
                self.members(at, value, &names[1..], &[], dot, None)
            }
            Term::Chain(inner, names) => {
                if matches!(inner.term, Term::Nil) {
                    return fail(at, format!("indirection through explicit nil in {operand}"));
                }
                let value = self.operand(inner, dot)?;
                self.members(at, value, names, &[], dot, None)
            }
        }
    }

    fn variable(&self, at: usize, name: &str) -> Evaluated<'a> {
        match self.variables.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => fail(at, format!("undefined variable: {name}")),
        }
    }

    /// Field after field; the last may be a method and gets the arguments.
    fn members(
        &mut self,
        at: usize,
        mut value: Value<'a>,
        names: &'a [String],
        arguments: &'a [Operand],
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Evaluated<'a> {
        let mut last = last;
        for (index, name) in names.iter().enumerate() {
            let is_end = index + 1 == names.len();
            let (arguments, last) = if is_end { (arguments, last.take()) } else { (&[][..], None) };
            value = self.member(at, value, name, arguments, dot, last)?;
        }
        Ok(value)
    }

    fn member(
        &mut self,
        at: usize,
        receiver: Value<'a>,
        name: &'a str,
        arguments: &'a [Operand],
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Evaluated<'a> {
        let count = arguments.len() + usize::from(last.is_some());
        match &receiver {
            // What is missing has no fields either, and that is no error.
            Value::None => Ok(Value::None),
            Value::Map(map) => {
                if count > 0 {
                    return fail(at, format!("{name} is not a method but has arguments"));
                }
                Ok(map.get(name).cloned().unwrap_or(Value::None))
            }
            Value::Object(object) => match object.member(name) {
                Some(Member::Field(value)) if count == 0 => Ok(value),
                Some(Member::Field(_)) => {
                    fail(at, format!("{name} has arguments but cannot be invoked as function"))
                }
                Some(Member::Getter(value)) if count == 0 => Ok(value),
                Some(Member::LookUp) if count == 1 => {
                    let argument = match (arguments, last) {
                        ([operand], _) => self.argument(operand, dot, Wanted::Text)?,
                        (_, Some(last)) => validated(at, last, Wanted::Text)?,
                        (_, None) => Value::None,
                    };
                    match argument {
                        Value::Text(text) => Ok(object.look_up(name, &text)),
                        _ => Ok(Value::None),
                    }
                }
                Some(member) => {
                    let want = usize::from(matches!(member, Member::LookUp));
                    let wrong = format!("wrong number of args for {name}: want {want} got {count}");
                    fail(at, wrong)
                }
                None => no_field(at, name, &receiver),
            },
            _ => no_field(at, name, &receiver),
        }
    }

    fn function(
        &mut self,
        at: usize,
        function: Function,
        operands: &'a [Operand],
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Evaluated<'a> {
        let count = operands.len() + usize::from(last.is_some());
        let (least, most) = function.arity();
        if count < least || count > most {
            let name = function.name();
            let want = if most == usize::MAX { "at least " } else { "" };
            return fail(
                at,
                format!("wrong number of args for {name}: want {want}{least} got {count}"),
            );
        }
        if matches!(function, Function::And | Function::Or) {
            return self.and_or(function == Function::Or, operands, dot, last);
        }
        let mut arguments = Vec::with_capacity(count);
        for (index, operand) in operands.iter().enumerate() {
            arguments.push(self.argument(operand, dot, function.wants(index))?);
        }
        if let Some(last) = last {
            arguments.push(validated(at, last, function.wants(operands.len()))?);
        }
        let value = function
            .call(&arguments)
            .map_err(|why| Error::new(at, format!("error calling {}: {why}", function.name())))?;
        if let Value::Text(text) = &value {
            // Long texts are made of many steps.
            self.steps = self.steps.saturating_sub((text.len() / 64) as u32);
        }
        Ok(value)
    }

    /// The first argument that decides, or the last one.
    fn and_or(
        &mut self,
        is_or: bool,
        operands: &'a [Operand],
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Evaluated<'a> {
        let mut value = Value::None;
        for operand in operands {
            value = self.argument(operand, dot, Wanted::Any)?;
            if value.is_true() == is_or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, operand: &'a Operand, dot: &Value<'a>, wanted: Wanted) -> Evaluated<'a> {
        let at = operand.at;
        match (&operand.term, wanted) {
            (_, Wanted::Any) | (Term::Text { .. }, Wanted::Text) => self.operand(operand, dot),
            (Term::Number(Number { integer: Some(number), .. }), Wanted::Int) => {
                Ok(Value::Int(*number))
            }
            (Term::Number(_) | Term::Bool(_) | Term::Text { .. }, _) => {
                fail(at, format!("expected {}; found {operand}", wanted.literal()))
            }
            (Term::Nil, _) => fail(at, format!("cannot assign nil to {}", wanted.name())),
            _ => {
                let value = self.operand(operand, dot)?;
                validated(at, value, wanted)
            }
        }
    }
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
        }
    }

    fn literal(self) -> &'static str {
        if self == Self::Int { "integer" } else { self.name() }
    }
}

fn validated(at: usize, value: Value<'_>, wanted: Wanted) -> Evaluated<'_> {
    match (&value, wanted) {
        (_, Wanted::Any) | (Value::Text(_), Wanted::Text) | (Value::Int(_), Wanted::Int) => {
            Ok(value)
        }
        (Value::None, _) => fail(at, format!("invalid value; expected {}", wanted.name())),
        _ => {
            let (want, got) = (wanted.name(), value.type_name());
            fail(at, format!("wrong type for value; expected {want}; got {got}"))
        }
    }
}

fn constant<'a>(at: usize, number: &Number) -> Evaluated<'a> {
    match number.plain() {
        Plain::Integer(value) => Ok(Value::Int(value)),
        Plain::Float(value) => Ok(Value::Float(value)),
        Plain::Overflow => fail(at, format!("{} overflows int", number.written)),
    }
}

fn no_field<'a>(at: usize, name: &str, receiver: &Value<'_>) -> Evaluated<'a> {
    let kind = receiver.type_name();
    fail(at, format!("can't evaluate field {name} in type {kind}"))
}
