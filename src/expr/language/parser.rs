//! The grammar: precedence climbing, with the operators and quirks of expr-lang.

use super::lex::{self, Lexeme, TokenKind};
use crate::error::{Error, Spot};
use crate::tree::node::{Made, Node};
use crate::tree::signature::Library;
use crate::{Scope, Type, Value};

/// The longest text, in bytes.
const MAX_TEXT: usize = 65_536;
/// The most parts, expr-lang's bound.
const MAX_NODES: usize = 10_000;
/// The deepest nesting; evaluating follows it on the stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// Reads one text.
pub(crate) struct Parser<'a> {
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
    nodes: usize,
    /// The functions and variables of the environment.
    pub(crate) scope: &'a Scope,
    /// The functions of the language.
    pub(crate) library: Library,
    /// The variables that `let` declared, outermost first.
    pub(crate) locals: Vec<(String, Type)>,
    /// The functions around this place that run over arrays, outermost first.
    pub(crate) frames: Vec<Frame>,
}

/// What `#` means.
pub(crate) struct Frame {
    pub(crate) element: Type,
    pub(crate) index: bool,
    pub(crate) accumulator: bool,
}

/// Precedence of an operator between two values, and whether it binds to the right.
fn precedence(sign: &str) -> Option<(u16, bool)> {
    Some(match sign {
        "|" => (0, false),
        "or" | "||" => (10, false),
        "and" | "&&" => (15, false),
        "==" | "!=" | "<" | ">" | ">=" | "<=" | "in" | "matches" | "contains" | "startsWith"
        | "endsWith" => (20, false),
        ".." => (25, false),
        "+" | "-" => (30, false),
        "*" | "/" | "%" => (60, false),
        "**" | "^" => (100, true),
        "??" => (500, false),
        _ => return None,
    })
}

fn is_comparison(sign: &str) -> bool {
    matches!(sign, "<" | ">" | "<=" | ">=")
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &str, scope: &'a Scope, library: Library) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let spot = Spot::between(0, 1);
            let message = format!("the expression is longer than {MAX_TEXT} bytes");
            return Err(Error::at(spot, message).help("split it into several expressions"));
        }
        Ok(Self {
            lexemes: lex::lexemes(text)?,
            at: 0,
            depth: 0,
            nodes: 0,
            scope,
            library,
            locals: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// The whole text.
    pub(crate) fn whole(mut self) -> Result<Made, Error> {
        if self.current().kind == TokenKind::End {
            return Err(Error::at(self.spot(), "the expression is empty"));
        }
        let made = self.sequence()?;
        if self.current().kind != TokenKind::End {
            return Err(self.unexpected());
        }
        Ok(made)
    }

    // --- words

    fn current(&self) -> &Lexeme {
        // The last lexeme is the end, and nothing goes on from there.
        &self.lexemes[self.at.min(self.lexemes.len() - 1)]
    }

    pub(crate) fn spot(&self) -> Spot {
        self.current().spot
    }

    fn is(&self, sign: &str) -> bool {
        self.sign() == Some(sign)
    }

    fn sign(&self) -> Option<&'static str> {
        match self.current().kind {
            TokenKind::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Error> {
        if self.accept(sign) {
            return Ok(());
        }
        let mut error = self.unexpected();
        error.message = format!("{}, expected `{sign}`", error.message);
        Err(error)
    }

    fn name(&mut self) -> Result<(String, Spot), Error> {
        let TokenKind::Name(name) = &self.current().kind else { return Err(self.unexpected()) };
        let found = (name.clone(), self.spot());
        self.advance();
        Ok(found)
    }

    fn unexpected(&self) -> Error {
        let message = match &self.current().kind {
            TokenKind::End => "unexpected end of the expression".to_owned(),
            TokenKind::Name(name) => format!("unexpected name `{name}`"),
            TokenKind::Number(number) => format!("unexpected number `{number}`"),
            TokenKind::Text(_) | TokenKind::Bytes(_) => "unexpected string".to_owned(),
            TokenKind::Sign(sign) => format!("unexpected `{sign}`"),
        };
        Error::at(self.spot(), message)
    }

    /// Counts a part, and bounds how deep and how many they are.
    pub(crate) fn made(
        &mut self,
        node: Node,
        kind: Type,
        spot: Spot,
        height: usize,
    ) -> Result<Made, Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::at(spot, "the expression has too many parts"));
        }
        if height > MAX_DEPTH {
            return Err(Error::at(spot, "the expression is nested too deeply"));
        }
        Ok(Made { node, kind, spot, height })
    }

    // --- grammar

    /// `a; b; c`.
    pub(crate) fn sequence(&mut self) -> Result<Made, Error> {
        let mut parts = vec![self.expression(0)?];
        while self.accept(";") {
            if self.current().kind == TokenKind::End {
                break;
            }
            parts.push(self.expression(0)?);
        }
        let last = parts.pop().ok_or_else(|| self.unexpected())?;
        if parts.is_empty() {
            return Ok(last);
        }
        let height = 1 + parts.iter().chain([&last]).map(|part| part.height).max().unwrap_or(0);
        let (kind, spot) = (last.kind.clone(), parts[0].spot);
        let nodes = parts.into_iter().chain([last]).map(|part| part.node).collect();
        self.made(Node::Sequence(nodes), kind, spot, height)
    }

    /// An expression whose operators bind at least as tight as `least`.
    pub(crate) fn expression(&mut self, least: u16) -> Result<Made, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::at(self.spot(), "the expression is nested too deeply"));
        }
        let made = match self.sign() {
            Some("let") if least == 0 => self.declaration(),
            Some("if") if least == 0 => self.condition(),
            _ => self.operators(least),
        };
        self.depth -= 1;
        made
    }

    fn operators(&mut self, least: u16) -> Result<Made, Error> {
        let mut left = self.primary()?;
        let mut before = "";
        while let Some(sign) = self.sign() {
            let (mut sign, mut spot) = (sign, self.spot());
            let negated = sign == "not";
            let start = self.at;
            if negated {
                self.advance();
                let suffixes = ["contains", "matches", "startsWith", "endsWith", "in"];
                match self.sign().filter(|sign| suffixes.contains(sign)) {
                    Some(suffix) => (sign, spot) = (suffix, self.spot()),
                    None => return Err(self.unexpected()),
                }
            }
            let Some((bound, to_the_right)) = precedence(sign).filter(|(bound, _)| *bound >= least)
            else {
                self.at = start;
                break;
            };
            self.advance();
            if before == "??" && sign != "??" && sign != "|" {
                let message = format!("`??` and `{sign}` cannot be mixed");
                return Err(Error::at(spot, message).help("put the inner operation in parentheses"));
            }
            before = sign;
            left = if sign == "|" {
                let (name, at) = self.name()?;
                self.call(&name, at, Some(left), true)?
            } else if is_comparison(sign) {
                self.comparison(left, sign, spot, bound)?
            } else {
                let right = self.expression(bound + u16::from(!to_the_right))?;
                self.binary(sign, left, right, spot)?
            };
            if negated {
                left = self.not(left, spot)?;
            }
        }
        if least == 0 { self.ternary(left) } else { Ok(left) }
    }

    /// `a < b < c` is `a < b and b < c`.
    fn comparison(
        &mut self,
        left: Made,
        mut sign: &'static str,
        mut spot: Spot,
        bound: u16,
    ) -> Result<Made, Error> {
        let mut left = left;
        let mut all: Option<Made> = None;
        loop {
            let right = self.expression(bound + 1)?;
            let next = right.clone();
            let one = self.binary(sign, left, right, spot)?;
            let whole = match all {
                None => one,
                Some(before) => self.binary("and", before, one, spot)?,
            };
            left = next;
            match self.sign().filter(|sign| is_comparison(sign)) {
                Some(again) => (sign, spot) = (again, self.spot()),
                None => return Ok(whole),
            }
            all = Some(whole);
            self.advance();
        }
    }

    /// `let a = b; c`.
    fn declaration(&mut self) -> Result<Made, Error> {
        self.advance();
        let (name, spot) = self.name()?;
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        let taken = self.scope.has(&name) || self.library.has(&name);
        if taken || self.locals.iter().any(|(known, _)| *known == name) {
            return Err(Error::at(spot, format!("`{name}` is already declared"))
                .help("give the variable another name"));
        }
        self.locals.push((name, value.kind.clone()));
        let body = self.sequence();
        self.locals.pop();
        let body = body?;
        let (kind, height) = (body.kind, 1 + value.height.max(body.height));
        self.made(Node::Let(Box::new((value.node, body.node))), kind, spot, height)
    }

    /// `if a { b } else { c }`.
    fn condition(&mut self) -> Result<Made, Error> {
        let spot = self.spot();
        self.advance();
        let condition = self.expression(0)?;
        let yes = self.braced()?;
        self.expect("else")?;
        let no = if self.is("if") { self.expression(0)? } else { self.braced()? };
        self.choose(condition, yes, no, spot)
    }

    fn braced(&mut self) -> Result<Made, Error> {
        self.expect("{")?;
        let made = self.sequence()?;
        self.expect("}")?;
        Ok(made)
    }

    /// `a ? b : c`, and `a ?: c`.
    fn ternary(&mut self, mut made: Made) -> Result<Made, Error> {
        while self.is("?") {
            let spot = self.spot();
            self.advance();
            let yes = if self.is(":") { made.clone() } else { self.expression(0)? };
            self.expect(":")?;
            let no = self.expression(0)?;
            made = self.choose(made, yes, no, spot)?;
        }
        Ok(made)
    }

    fn primary(&mut self) -> Result<Made, Error> {
        let spot = self.spot();
        match self.sign() {
            Some(sign @ ("not" | "!" | "-" | "+")) => {
                self.advance();
                let made = self.expression(if matches!(sign, "-" | "+") { 90 } else { 50 })?;
                let made = match sign {
                    "-" => self.negate(made, spot)?,
                    "+" => self.positive(made, spot)?,
                    _ => self.not(made, spot)?,
                };
                self.postfix(made)
            }
            Some("(") => {
                self.advance();
                let made = self.sequence()?;
                self.expect(")")?;
                self.postfix(made)
            }
            Some("#") if !self.frames.is_empty() => {
                self.advance();
                let mut name = String::new();
                if let TokenKind::Name(found) = &self.current().kind {
                    name.clone_from(found);
                    self.advance();
                }
                let made = self.pointer(&name, spot)?;
                self.postfix(made)
            }
            Some("#") => Err(Error::at(spot, "`#` is used outside a predicate").help(
                "`#` is the current element inside `all(…)`, `filter(…)` and similar functions",
            )),
            // `.name` is `#.name`.
            Some(".") if !self.frames.is_empty() => {
                let made = self.pointer("", spot)?;
                self.postfix(made)
            }
            Some("::") => {
                self.advance();
                let (name, at) = self.name()?;
                let made = self.call(&name, at, None, false)?;
                self.postfix(made)
            }
            _ => self.secondary(),
        }
    }

    fn secondary(&mut self) -> Result<Made, Error> {
        let Lexeme { kind, spot } = self.current().clone();
        let value = |value: Value<'static>| (value.kind(), Node::Const(value));
        let (kind, node) = match kind {
            TokenKind::Name(name) => {
                self.advance();
                // These take no postfix.
                let plain = match name.as_str() {
                    "true" => Some(Value::Bool(true)),
                    "false" => Some(Value::Bool(false)),
                    "nil" => Some(Value::Nil),
                    _ => None,
                };
                if let Some(plain) = plain {
                    return self.made(Node::Const(plain.clone()), plain.kind(), spot, 1);
                }
                let made = if self.is("(") {
                    self.call(&name, spot, None, true)?
                } else {
                    self.variable(&name, spot)?
                };
                return self.postfix(made);
            }
            TokenKind::Number(text) => {
                self.advance();
                let (kind, node) = value(number(&text, spot)?);
                return self.made(node, kind, spot, 1);
            }
            TokenKind::Text(text) => value(Value::text(text)),
            TokenKind::Bytes(bytes) => value(Value::Bytes(crate::Held::Shared(bytes.into()))),
            TokenKind::Sign("[") => {
                let made = self.array()?;
                return self.postfix(made);
            }
            TokenKind::Sign("{") => {
                let made = self.map()?;
                return self.postfix(made);
            }
            TokenKind::Sign(_) | TokenKind::End => return Err(self.unexpected()),
        };
        self.advance();
        let made = self.made(node, kind, spot, 1)?;
        self.postfix(made)
    }

    /// The elements of `(a, b, c)`, of which a last comma is none.
    pub(crate) fn elements(&mut self, open: &str, close: &str) -> Result<Vec<Made>, Error> {
        self.expect(open)?;
        let mut found = Vec::new();
        while !self.is(close) {
            if !found.is_empty() {
                self.expect(",")?;
                if self.is(close) {
                    break;
                }
            }
            found.push(self.expression(0)?);
        }
        self.expect(close)?;
        Ok(found)
    }

    fn array(&mut self) -> Result<Made, Error> {
        let spot = self.spot();
        let items = self.elements("[", "]")?;
        self.list(items, spot)
    }

    fn map(&mut self) -> Result<Made, Error> {
        let spot = self.spot();
        self.expect("{")?;
        let mut pairs = Vec::new();
        while !self.is("}") {
            if !pairs.is_empty() {
                self.expect(",")?;
                if self.is("}") {
                    break;
                }
            }
            let at = self.spot();
            let key = match self.current().kind.clone() {
                TokenKind::Name(text) | TokenKind::Text(text) | TokenKind::Number(text) => {
                    self.advance();
                    self.made(Node::Const(Value::text(text)), Type::Text, at, 1)?
                }
                TokenKind::Sign("(") => self.expression(0)?,
                _ => {
                    let help = "use a name, a string, a number or an expression in parentheses";
                    return Err(Error::at(at, "this cannot be a map key").help(help));
                }
            };
            self.expect(":")?;
            pairs.push((key, self.expression(0)?));
        }
        self.expect("}")?;
        self.pairs(pairs, spot)
    }

    /// What follows a value: `.name`, `?.name`, `[index]`, `[from:to]`.
    fn postfix(&mut self, mut made: Made) -> Result<Made, Error> {
        loop {
            let mut spot = self.spot();
            let optional = self.is("?.");
            if optional || self.is(".") {
                self.advance();
                spot = self.spot();
                if !(optional && self.is("[")) {
                    let name = match &self.current().kind {
                        TokenKind::Name(name) => name.clone(),
                        // Operators that are words can be names.
                        TokenKind::Sign(word) if word.starts_with(char::is_alphabetic) => {
                            (*word).to_owned()
                        }
                        _ => return Err(self.unexpected()),
                    };
                    self.advance();
                    made = self.named_member(made, name, optional, spot)?;
                    continue;
                }
            }
            if !self.accept("[") {
                break;
            }
            let from = if self.is(":") { None } else { Some(self.expression(0)?) };
            if self.accept(":") {
                let to = if self.is("]") { None } else { Some(self.expression(0)?) };
                made = self.slice(made, from, to, spot)?;
            } else if let Some(key) = from {
                made = self.indexed_member(made, key, optional, spot)?;
            }
            self.expect("]")?;
        }
        if matches!(made.node, Node::Environment) && !self.asked_whether_in(made.spot) {
            return Err(Error::at(made.spot, "`$env` cannot be used by itself")
                .help("write `$env.name`, or `\"name\" in $env`"));
        }
        Ok(made)
    }

    /// Whether the previous token is `in`.
    fn asked_whether_in(&self, spot: Spot) -> bool {
        let before = self.lexemes.iter().take_while(|lexeme| lexeme.spot.at < spot.at).last();
        before.is_some_and(|lexeme| lexeme.kind == TokenKind::Sign("in"))
    }

    /// Whether arguments follow.
    pub(crate) fn arguments_follow(&self) -> bool {
        self.is("(")
    }

    /// The arguments of a function that runs over an array: the array, what is evaluated for each
    /// element, and perhaps more. `begin` is called with the array before the element's part.
    pub(crate) fn loop_arguments(
        &mut self,
        over: Option<Made>,
        least: usize,
        most: usize,
        begin: impl Fn(&mut Self, &Made) -> Result<Frame, Error>,
    ) -> Result<(Made, Option<Made>, Option<Made>), Error> {
        self.expect("(")?;
        let piped = over.is_some();
        let over = match over {
            Some(over) => over,
            None => self.expression(0)?,
        };
        let frame = begin(self, &over)?;
        let (mut body, mut extra) = (None, None);
        let comma = |parser: &mut Self, first: bool| -> Result<bool, Error> {
            if !first {
                if parser.is(")") {
                    return Ok(false);
                }
                parser.expect(",")?;
            }
            Ok(!parser.is(")"))
        };
        if most > 1 && comma(self, piped)? {
            body = Some(self.predicate(frame)?);
            if most > 2 && comma(self, false)? {
                extra = Some(self.expression(0)?);
            }
        }
        self.accept(",");
        if body.is_none() && least > 1 {
            return Err(Error::at(self.spot(), "the predicate is missing"));
        }
        self.expect(")")?;
        Ok((over, body, extra))
    }

    fn predicate(&mut self, frame: Frame) -> Result<Made, Error> {
        self.frames.push(frame);
        let made = if self.accept("{") {
            let made = self.sequence()?;
            self.expect("}")?;
            made
        } else {
            let made = self.expression(0)?;
            if self.is(";") {
                let error =
                    Error::at(self.spot(), "a predicate of several expressions needs braces");
                return Err(error.help("enclose it in `{ … }`"));
            }
            made
        };
        self.frames.pop();
        Ok(made)
    }
}

fn number(text: &str, spot: Spot) -> Result<Value<'static>, Error> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let wrong = || Error::at(spot, format!("`{text}` is not a number or is too large"));
    let whole = |digits: &str, base| i64::from_str_radix(digits, base).map(Value::Int).ok();
    let bases = [("0x", 16), ("0b", 2), ("0o", 8)];
    let based = bases.iter().find_map(|(lead, base)| Some((plain.strip_prefix(lead)?, *base)));
    match based {
        Some((digits, base)) => whole(digits, base).ok_or_else(wrong),
        None if plain.contains(['.', 'e']) => {
            let float: f64 = plain.parse().map_err(|_| wrong())?;
            if float.is_finite() { Ok(Value::Float(float)) } else { Err(wrong()) }
        }
        None => whole(&plain, 10).ok_or_else(wrong),
    }
}
