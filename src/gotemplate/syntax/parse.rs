//! Parses words into a tree. Parsing stops at the first mistake, which is reported with its position.

use std::collections::HashMap;

use super::lex::{self, Keyword, TokenKind, Word};
use super::tree::{Branch, Command, Node, Operand, Parsed, Pipe, Term};
use crate::error::Error;
use crate::functions;
use crate::text::number::Number;
use crate::text::quote;

/// How deep actions and parentheses may nest.
const MAX_NESTING: usize = 100;

/// Parses a body.
pub(crate) fn parse(text: &str) -> Result<Parsed, Error> {
    let mut parser = Parser {
        words: lex::words(text)?,
        next: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        nesting: 0,
        defined: HashMap::new(),
    };
    let mut main = Vec::new();
    while parser.peek().kind != TokenKind::End {
        if parser.at_define() {
            parser.define()?;
            continue;
        }
        match parser.piece()? {
            Piece::Node(node) => main.push(node),
            Piece::End(at) => return fail(at, "`end` without `if`, `range`, `with` or `define`"),
            Piece::Else(at) => return fail(at, "`else` without `if`, `range` or `with`"),
        }
    }
    Ok(Parsed { main, defined: parser.defined })
}

fn fail<T>(at: usize, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(at, message))
}

struct Parser<'t> {
    words: Vec<Word<'t>>,
    next: usize,
    variables: Vec<String>,
    /// How many `range` actions are open.
    ranges: usize,
    nesting: usize,
    defined: HashMap<String, Vec<Node>>,
}

/// A node, or what ends a list of them; for `else` and `end`, where they stand.
enum Piece {
    Node(Node),
    End(usize),
    Else(usize),
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Word<'t> {
        self.words[self.next]
    }

    /// The next word; the last one again and again.
    fn take(&mut self) -> Word<'t> {
        let word = self.peek();
        self.next = (self.next + 1).min(self.words.len() - 1);
        word
    }

    fn peek_word(&mut self) -> Word<'t> {
        while self.peek().kind == TokenKind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn take_word(&mut self) -> Word<'t> {
        self.peek_word();
        self.take()
    }

    fn close(&mut self, what: &str) -> Result<(), Error> {
        let word = self.take_word();
        if word.kind == TokenKind::RightDelim { Ok(()) } else { unexpected(word, what) }
    }

    fn deeper(&mut self, at: usize) -> Result<(), Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return fail(at, format!("this is nested more than {MAX_NESTING} levels deep"));
        }
        Ok(())
    }

    // --- lists and actions

    fn at_define(&self) -> bool {
        let mut words = self.words[self.next..].iter();
        words.next().is_some_and(|word| word.kind == TokenKind::LeftDelim)
            && words.find(|word| word.kind != TokenKind::Space).map(|word| word.kind)
                == Some(TokenKind::Keyword(Keyword::Define))
    }

    fn define(&mut self) -> Result<(), Error> {
        self.take();
        let open = self.take_word();
        let name = self.name("`define`")?;
        self.close("`define`")?;
        self.body(open.at, name)
    }

    /// The body of `define` or `block` up to its end: it has variables of its own.
    fn body(&mut self, at: usize, name: String) -> Result<(), Error> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (list, end) = self.list(at)?;
        if let Piece::Else(at) = end {
            return fail(at, "`else` without `if`, `range` or `with`");
        }
        self.variables = outer;
        self.ranges = ranges;
        let known = self.defined.get(&name).is_some_and(|known| !is_blank(known));
        if known && !is_blank(&list) {
            return fail(at, format!("`{name}` is defined twice"));
        }
        if !known {
            self.defined.insert(name, list);
        }
        Ok(())
    }

    /// Nodes up to `else` or `end`. `open` is where what they belong to starts.
    fn list(&mut self, open: usize) -> Result<(Vec<Node>, Piece), Error> {
        self.deeper(open)?;
        let mut nodes = Vec::new();
        while self.peek().kind != TokenKind::End {
            match self.piece()? {
                Piece::Node(node) => nodes.push(node),
                end => {
                    self.nesting -= 1;
                    return Ok((nodes, end));
                }
            }
        }
        fail(open, "this has no matching `end`")
    }

    fn piece(&mut self) -> Result<Piece, Error> {
        let word = self.take();
        if word.kind == TokenKind::Text {
            return Ok(Piece::Node(Node::Text(word.text.to_owned())));
        }
        let first = self.peek_word();
        let TokenKind::Keyword(keyword) = first.kind else {
            return Ok(Piece::Node(Node::Action(self.pipe("this action", TokenKind::RightDelim)?)));
        };
        self.take();
        let at = first.at;
        let node = match keyword {
            Keyword::If => Node::If(self.branch(at, Keyword::If)?),
            Keyword::With => Node::With(self.branch(at, Keyword::With)?),
            Keyword::Range => Node::Range(self.branch(at, Keyword::Range)?),
            Keyword::End => {
                self.close("`end`")?;
                return Ok(Piece::End(at));
            }
            Keyword::Else => {
                let next = self.peek_word().kind;
                if !matches!(next, TokenKind::Keyword(Keyword::If | Keyword::With)) {
                    self.close("`else`")?;
                }
                return Ok(Piece::Else(at));
            }
            Keyword::Break | Keyword::Continue => {
                self.close(&format!("`{}`", first.text))?;
                if self.ranges == 0 {
                    return fail(at, format!("`{}` outside `range`", first.text));
                }
                if keyword == Keyword::Break { Node::Break } else { Node::Continue }
            }
            Keyword::Template => {
                let name = self.name("`template`")?;
                let pipe = match self.peek_word().kind {
                    TokenKind::RightDelim => {
                        self.take();
                        None
                    }
                    _ => Some(self.pipe("`template`", TokenKind::RightDelim)?),
                };
                Node::Template { at, name, pipe }
            }
            Keyword::Block => {
                let name = self.name("`block`")?;
                let pipe = self.pipe("`block`", TokenKind::RightDelim)?;
                self.body(at, name.clone())?;
                Node::Template { at, name, pipe: Some(pipe) }
            }
            Keyword::Define => return fail(at, "`define` is not allowed inside another action"),
        };
        Ok(Piece::Node(node))
    }

    fn branch(&mut self, at: usize, keyword: Keyword) -> Result<Branch, Error> {
        let mark = self.variables.len();
        let is_range = keyword == Keyword::Range;
        let what = match keyword {
            Keyword::If => "`if`",
            Keyword::With => "`with`",
            _ => "`range`",
        };
        let pipe = self.pipe(what, TokenKind::RightDelim)?;
        self.ranges += usize::from(is_range);
        let (list, end) = self.list(at)?;
        self.ranges -= usize::from(is_range);
        let otherwise = match end {
            Piece::Else(middle) => Some(self.otherwise(at, middle, keyword)?),
            _ => None,
        };
        self.variables.truncate(mark);
        Ok(Branch { at, pipe, list, otherwise })
    }

    /// What follows `else`: `else if` is an `if` inside, whose `end` is that of both.
    fn otherwise(
        &mut self,
        open: usize,
        middle: usize,
        keyword: Keyword,
    ) -> Result<Vec<Node>, Error> {
        let next = self.peek();
        let inner = match next.kind {
            TokenKind::Keyword(Keyword::If) if keyword == Keyword::If => Node::If,
            TokenKind::Keyword(Keyword::With) if keyword == Keyword::With => Node::With,
            TokenKind::Keyword(Keyword::If | Keyword::With) => {
                return fail(next.at, "this cannot follow `else` here: write `{{else}}`");
            }
            _ => {
                let (list, end) = self.list(open)?;
                return match end {
                    Piece::Else(at) => fail(at, "a second `else`: expected `end`"),
                    _ => Ok(list),
                };
            }
        };
        self.take();
        self.deeper(middle)?;
        let branch = self.branch(next.at, keyword)?;
        self.nesting -= 1;
        Ok(vec![inner(branch)])
    }

    fn name(&mut self, what: &str) -> Result<String, Error> {
        let word = self.take_word();
        match word.kind {
            TokenKind::Quoted | TokenKind::Raw => text(word),
            _ => fail(word.at, format!("{what} needs a name in quotes")),
        }
    }

    // --- pipelines

    fn pipe(&mut self, what: &str, end: TokenKind) -> Result<Pipe, Error> {
        let mut pipe = Pipe { at: self.peek_word().at, ..Pipe::default() };
        self.declarations(&mut pipe, what)?;
        loop {
            let word = self.peek_word();
            if word.kind == end {
                self.take();
                break;
            }
            if !starts_operand(word.kind) {
                return unexpected(word, what);
            }
            let command = self.command()?;
            pipe.commands.push(command);
        }
        if pipe.commands.is_empty() {
            return fail(pipe.at, format!("{what} needs a value"));
        }
        for command in &pipe.commands[1..] {
            let first = &command[0];
            if matches!(
                first.term,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text { .. }
            ) {
                return fail(first.at, "expected a function or a method after `|`");
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, what: &str) -> Result<(), Error> {
        while self.peek_word().kind == TokenKind::Variable {
            let start = self.next;
            let variable = self.take();
            let next = self.peek_word();
            let is_comma = next.kind == TokenKind::Char && next.text == ",";
            if !is_comma && !matches!(next.kind, TokenKind::Assign | TokenKind::Declare) {
                // An argument after all.
                self.next = start;
                return Ok(());
            }
            self.take();
            if next.kind == TokenKind::Assign && !self.is_known(variable.text) {
                return self.unknown_variable(variable);
            }
            pipe.variables.push(variable.text.to_owned());
            self.variables.push(variable.text.to_owned());
            if !is_comma {
                pipe.assigns = next.kind == TokenKind::Assign;
                return Ok(());
            }
            if what != "`range`" || pipe.variables.len() > 1 {
                return fail(next.at, format!("too many variables in {what}"));
            }
            let second = self.peek_word();
            match second.kind {
                TokenKind::Variable => {}
                _ => return fail(second.at, "expected a second variable"),
            }
        }
        Ok(())
    }

    fn is_known(&self, variable: &str) -> bool {
        self.variables.iter().any(|known| known == variable)
    }

    fn unknown_variable<T>(&self, variable: Word<'_>) -> Result<T, Error> {
        let name = variable.text;
        fail(variable.at, format!("undeclared variable `{name}`: declare it with `{name} := …`"))
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut operands = Vec::new();
        loop {
            let word = self.peek_word();
            if starts_operand(word.kind) {
                operands.push(self.operand()?);
            }
            let next = self.peek();
            match next.kind {
                TokenKind::Space => {}
                TokenKind::RightDelim | TokenKind::RightParen => break,
                TokenKind::Pipe => {
                    self.take();
                    let behind = self.peek_word();
                    if !starts_operand(behind.kind) {
                        return fail(next.at, "a command is missing after this `|`");
                    }
                    break;
                }
                _ => return unexpected(next, "this action"),
            }
        }
        Ok(operands)
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Operand, Error> {
        let mut operand = self.term()?;
        let mut fields = Vec::new();
        while self.peek().kind == TokenKind::Field {
            fields.push(self.take().text[1..].to_owned());
        }
        if fields.is_empty() {
            return Ok(operand);
        }
        let at = operand.at;
        match &mut operand.term {
            Term::Field(names) | Term::Variable(names) => names.append(&mut fields),
            Term::Bool(_) | Term::Text { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                return fail(at, format!("`{operand}` has no fields"));
            }
            _ => return Ok(Operand { at, term: Term::Chain(Box::new(operand), fields) }),
        }
        Ok(operand)
    }

    fn term(&mut self) -> Result<Operand, Error> {
        let word = self.take();
        let at = word.at;
        let term = match word.kind {
            TokenKind::Identifier => match functions::named(word.text) {
                Some(function) => Term::Function(function),
                None => return unknown_function(word),
            },
            TokenKind::Dot => Term::Dot,
            TokenKind::Nil => Term::Nil,
            TokenKind::Bool => Term::Bool(word.text == "true"),
            TokenKind::Variable if !self.is_known(word.text) => return self.unknown_variable(word),
            TokenKind::Variable => Term::Variable(vec![word.text.to_owned()]),
            TokenKind::Field => Term::Field(vec![word.text[1..].to_owned()]),
            TokenKind::Number => {
                Term::Number(Number::parse(word.text).map_err(|why| Error::new(at, why))?)
            }
            TokenKind::Rune => {
                let value = text(word)?;
                let mut runes = value.chars();
                match (runes.next(), runes.next()) {
                    (Some(rune), None) => Term::Number(Number::rune(word.text, rune)),
                    _ => return fail(at, format!("`{}` is not a single character", word.text)),
                }
            }
            TokenKind::Quoted | TokenKind::Raw => {
                Term::Text { written: word.text.to_owned(), value: text(word)? }
            }
            TokenKind::LeftParen => {
                self.deeper(at)?;
                let pipe = self.pipe("this parenthesis", TokenKind::RightParen)?;
                self.nesting -= 1;
                Term::Pipe(Box::new(pipe))
            }
            _ => return unexpected(word, "this action"),
        };
        Ok(Operand { at, term })
    }
}

fn text(word: Word<'_>) -> Result<String, Error> {
    quote::meaning(word.text).map_err(|why| Error::new(word.at, why))
}

fn starts_operand(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Bool
            | TokenKind::Rune
            | TokenKind::Dot
            | TokenKind::Field
            | TokenKind::Identifier
            | TokenKind::Number
            | TokenKind::Nil
            | TokenKind::Raw
            | TokenKind::Quoted
            | TokenKind::Variable
            | TokenKind::LeftParen
    )
}

fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

fn unexpected<T>(word: Word<'_>, what: &str) -> Result<T, Error> {
    let shown = match word.kind {
        TokenKind::RightDelim => return fail(word.at, format!("{what} ends too early")),
        TokenKind::End => return fail(word.at, "the text ends inside an action"),
        _ => word.text,
    };
    fail(word.at, format!("unexpected `{shown}` in {what}"))
}

fn unknown_function<T>(word: Word<'_>) -> Result<T, Error> {
    let name = word.text;
    let near = corefile::nearest(name, functions::names());
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("fields start with a dot: `.{name}`"),
    };
    Err(Error::new(word.at, format!("unknown function `{name}`")).hint(hint))
}
