//! The parsed template, and its text form as Go prints it: a label of CoreDNS's metrics has that form.

use std::collections::HashMap;
use std::fmt::{self, Write};

use crate::functions::Function;
use crate::text::number::Number;
use crate::text::quote;

/// A template, and the templates that it defines.
pub(crate) struct Parsed {
    pub(crate) main: Vec<Node>,
    pub(crate) defined: HashMap<String, Vec<Node>>,
}

/// One piece of a body.
#[derive(Debug)]
pub(crate) enum Node {
    /// As it stands.
    Text(String),
    /// Evaluated and written.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// Another body of the same text, by its name.
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// A condition or a sequence, and what depends on it.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) at: usize,
    pub(crate) pipe: Pipe,
    pub(crate) list: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

/// Commands, the value of each being the last argument of the next.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// Variables that get the value.
    pub(crate) variables: Vec<String>,
    /// They exist already: `=` and not `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// A value, or a function or method and its arguments; never empty.
pub(crate) type Command = Vec<Operand>;

/// One word of a command.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) term: Term,
}

/// What an operand is.
#[derive(Debug)]
pub(crate) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    /// As written, and what it means.
    Text {
        written: String,
        value: String,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`: the variable and the fields.
    Variable(Vec<String>),
    Function(Function),
    /// `(…)`
    Pipe(Box<Pipe>),
    /// `(…).A.B`
    Chain(Box<Operand>, Vec<String>),
}

pub(crate) struct List<'n>(pub(crate) &'n [Node]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| write!(f, "{node}"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Self::If(branch) => branch.show("if", f),
            Self::With(branch) => branch.show("with", f),
            Self::Range(branch) => branch.show("range", f),
            Self::Template { name, pipe, .. } => {
                let mut quoted = String::new();
                quote::string(&mut quoted, name, false);
                write!(f, "{{{{template {quoted}")?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl Branch {
    fn show(&self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{word} {}}}}}{}", self.pipe, List(&self.list))?;
        if let Some(otherwise) = &self.otherwise {
            write!(f, "{{{{else}}}}{}", List(otherwise))?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            f.write_str(&self.variables.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            for (index, operand) in command.iter().enumerate() {
                if index > 0 {
                    f.write_char(' ')?;
                }
                write!(f, "{operand}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.term {
            Term::Dot => f.write_char('.'),
            Term::Nil => f.write_str("nil"),
            Term::Bool(yes) => write!(f, "{yes}"),
            Term::Number(number) => f.write_str(&number.written),
            Term::Text { written, .. } => f.write_str(written),
            Term::Field(names) => fields(f, names),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Function(function) => f.write_str(function.name()),
            Term::Pipe(pipe) => write!(f, "({pipe})"),
            Term::Chain(operand, names) => {
                write!(f, "{operand}")?;
                fields(f, names)
            }
        }
    }
}

/// Collects the fields of the data itself: behind `$`, and behind the dot where it is the data.
pub(crate) fn fields<'n>(nodes: &'n [Node], dot: bool, found: &mut Vec<(&'n str, usize)>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipe) => pipe_fields(pipe, dot, found),
            Node::Template { pipe, .. } => {
                pipe.iter().for_each(|pipe| pipe_fields(pipe, dot, found));
            }
            Node::If(branch) => branch_fields(branch, dot, dot, found),
            Node::With(branch) | Node::Range(branch) => branch_fields(branch, dot, false, found),
        }
    }
}

fn branch_fields<'n>(
    branch: &'n Branch,
    dot: bool,
    inside: bool,
    found: &mut Vec<(&'n str, usize)>,
) {
    pipe_fields(&branch.pipe, dot, found);
    fields(&branch.list, inside, found);
    fields(branch.otherwise.as_deref().unwrap_or_default(), dot, found);
}

fn pipe_fields<'n>(pipe: &'n Pipe, dot: bool, found: &mut Vec<(&'n str, usize)>) {
    for operand in pipe.commands.iter().flatten() {
        operand_fields(operand, dot, found);
    }
}

fn operand_fields<'n>(operand: &'n Operand, dot: bool, found: &mut Vec<(&'n str, usize)>) {
    match &operand.term {
        Term::Field(names) if dot => found.push((&names[0], operand.at)),
        Term::Variable(names) if names[0] == "$" && names.len() > 1 => {
            found.push((&names[1], operand.at));
        }
        Term::Pipe(pipe) => pipe_fields(pipe, dot, found),
        Term::Chain(operand, _) => operand_fields(operand, dot, found),
        _ => {}
    }
}
