//! Words to server blocks: snippets, imports, variables.
//!
//! Words are read from a stack of sources: the Corefile, and on top of it the files and snippets
//! being imported. A mistake is noted and reading goes on at the next line.

use std::collections::HashMap;

use super::braces::{self, UNEXPECTED_CLOSE};
use super::lex::{self, Word};
use super::nesting::MAX_NESTING;
use super::secret;
use super::variables::{expand, is_alone};
use crate::{
    Corefile, Diagnostic, Diagnostics, Directive, FileId, Loader, ServerBlock, Sources, Span, Token,
};

/// Words, in all: what imports of imports may grow to.
const MAX_WORDS: usize = 2_000_000;
/// Mistakes reported; a file with more is no Corefile.
const MAX_PROBLEMS: usize = 50;

/// Understands a Corefile. `name` is what messages call it and what relative imports start from.
///
/// Never fails: what was understood comes back with every mistake.
pub fn parse(name: &str, text: &str, loader: &dyn Loader) -> (Corefile, Diagnostics) {
    parse_behind(Sources::default(), name, text, loader)
}

/// The same for a text that takes the place of what was read before, whose files `sources` has.
pub fn parse_behind(
    sources: Sources,
    name: &str,
    text: &str,
    loader: &dyn Loader,
) -> (Corefile, Diagnostics) {
    let whole = Whole { name, text, loader };
    let (corefile, problems, broken) = whole.parse(sources.clone(), false);
    if !broken {
        return (corefile, problems);
    }
    // Braces or quotes are wrong: told where that is, not where it shows.
    let (corefile, problems, _) = whole.parse(sources, true);
    (corefile, problems)
}

/// What is parsed.
struct Whole<'a> {
    name: &'a str,
    text: &'a str,
    loader: &'a dyn Loader,
}

impl Whole<'_> {
    /// Reads it, and tells whether its braces are wrong.
    fn parse(&self, sources: Sources, repair: bool) -> (Corefile, Diagnostics, bool) {
        let mut parser = Parser {
            corefile: Corefile { sources, ..Corefile::default() },
            problems: Diagnostics::default(),
            loader: self.loader,
            stack: Vec::new(),
            snippets: HashMap::new(),
            expansions: 0,
            files: 1,
            words: 0,
            last: Span::default(),
            repair,
            broken: false,
        };
        let file = parser.corefile.sources.add(self.name.to_owned(), self.text.to_owned());
        let words = parser.words_of(file, self.text);
        parser.push_source(words, None);
        while parser.peek().is_some() && parser.problems.0.len() < MAX_PROBLEMS {
            parser.server_block();
        }
        // What imports a snippet may be in the part that was not understood.
        if !parser.broken {
            parser.unused_snippets();
        }
        (parser.corefile, parser.problems, parser.broken)
    }
}

/// Words being read, and the snippet they come from.
pub(crate) struct Input {
    words: std::vec::IntoIter<Word>,
    pub(crate) snippet: Option<String>,
}

/// A snippet, and whether anything imports it.
pub(crate) struct Snippet {
    pub(crate) words: Vec<Word>,
    /// Its name, where it is defined.
    span: Span,
    pub(crate) used: bool,
}

pub(crate) struct Parser<'a> {
    pub(crate) corefile: Corefile,
    problems: Diagnostics,
    pub(crate) loader: &'a dyn Loader,
    pub(crate) stack: Vec<Input>,
    pub(crate) snippets: HashMap<String, Snippet>,
    pub(crate) expansions: usize,
    pub(crate) files: usize,
    words: usize,
    /// The word read last, for messages about the end of the file.
    last: Span,
    /// Whether braces and quotes are put right before words are read.
    repair: bool,
    /// Whether braces do not match.
    broken: bool,
}

impl Parser<'_> {
    /// The words of a file.
    pub(crate) fn words_of(&mut self, file: FileId, text: &str) -> Vec<Word> {
        let mut problems = Diagnostics::default();
        let words = if self.repair {
            let (words, complete) = braces::repair(file, text, &mut problems);
            self.corefile.incomplete |= !complete;
            words
        } else {
            let words = lex::words(file, text);
            problems.extend(braces::odd_quote(text, &words));
            words
        };
        secret::hide(&words, &mut self.corefile.sources);
        problems.into_iter().for_each(|problem| self.problem(problem));
        words
    }

    pub(crate) fn push_source(&mut self, mut words: Vec<Word>, snippet: Option<String>) {
        self.words += words.len();
        if self.words > MAX_WORDS {
            self.problem(
                Diagnostic::error(self.last, format!("more than {MAX_WORDS} words"))
                    .label("imports make the configuration too large")
                    .help("import fewer files or snippets"),
            );
            self.stack.clear();
            return;
        }
        // Only the last word can be open, and all of the file behind it is in it.
        if let Some(last) = words.last().filter(|word| word.open) {
            let quote = Span { end: last.span.start + 1, ..last.span };
            self.problem(
                Diagnostic::warning(quote, "this quote is never closed")
                    .label("everything after it is one word")
                    .help("add the closing `\"`"),
            );
        }
        // Whatever came before, imported words start a line.
        if let Some(first) = words.first_mut() {
            first.first = true;
        }
        self.stack.push(Input { words: words.into_iter(), snippet });
    }

    pub(crate) fn problem(&mut self, problem: Diagnostic) {
        if self.problems.0.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// The next word; imported words that are used up are left behind.
    fn peek(&mut self) -> Option<&Word> {
        while self.stack.len() > 1
            && self.stack.last().is_some_and(|source| source.words.as_slice().is_empty())
        {
            self.stack.pop();
        }
        self.stack.last()?.words.as_slice().first()
    }

    fn next(&mut self) -> Option<Word> {
        self.peek()?;
        let word = self.stack.last_mut()?.words.next()?;
        self.last = word.span;
        Some(word)
    }

    /// Tells of a brace that does not match another.
    fn mismatch(&mut self, problem: Diagnostic) {
        self.broken = true;
        self.problem(problem);
    }

    /// The next word if it is on the line of the one before.
    pub(crate) fn next_on_line(&mut self) -> Option<Word> {
        let continues = self.peek().is_some_and(|word| !word.first);
        if continues { self.next() } else { None }
    }

    pub(crate) fn skip_line(&mut self) {
        while self.next_on_line().is_some() {}
    }

    /// Puts variables into a word, which stays one.
    pub(crate) fn token(&mut self, word: &Word) -> Token {
        let text = expand(&word.raw, self.loader);
        if text != word.raw {
            self.expanded(word.span, &text, &[&text]);
        }
        Token { text, span: word.span, quoted: word.quoted }
    }

    /// The same for a word that may become several: a variable without quotes and without anything
    /// beside it. Its value is words, whatever is in them: it cannot open a block or start a line.
    fn tokens(&mut self, word: &Word) -> Vec<Token> {
        if word.quoted || !is_alone(&word.raw) {
            return vec![self.token(word)];
        }
        let value = expand(&word.raw, self.loader);
        let mut parts: Vec<&str> = value.split_whitespace().collect();
        self.expanded(word.span, value.trim(), &parts);
        if parts.is_empty() {
            // As CoreDNS has it for one that is not set.
            parts.push("");
        }
        let token = |text: &str| Token { text: text.to_owned(), span: word.span, quoted: false };
        parts.into_iter().map(token).collect()
    }

    /// Keeps what the variables of a word stand for, and hides what of it may be a secret.
    fn expanded(&mut self, span: Span, value: &str, parts: &[&str]) {
        let sources = &mut self.corefile.sources;
        sources.expand(span, value, parts.len());
        let from = if sources.is_hidden(span) { Some(0) } else { secret::in_values(parts) };
        for part in from.and_then(|from| parts.get(from..)).unwrap_or_default() {
            sources.hide(span, part);
        }
    }

    fn server_block(&mut self) {
        let Some(keys) = self.keys() else { return };
        let Some((first, last)) = keys.first().zip(keys.last()) else { return };
        let span = first.span.to(last.span);
        if let [only] = keys.as_slice()
            && let Some(name) = snippet_name(&only.text)
        {
            let name = name.to_owned();
            self.snippet(name, only.span);
            return;
        }
        let open = self.peek().is_some_and(|word| word.is("{")).then(|| self.next()).flatten();
        let directives = match &open {
            Some(brace) => self.lines(brace.span, 0),
            None => self.bare_lines(),
        };
        self.corefile.blocks.push(ServerBlock { keys, directives, span, braces: open.is_some() });
    }

    /// The keys of a block; `None` if the words so far were an import or a mistake.
    fn keys(&mut self) -> Option<Vec<Token>> {
        let mut keys: Vec<Token> = Vec::new();
        let mut another = false;
        while let Some(word) = self.peek() {
            let span = word.span;
            if word.is("{") {
                if another {
                    self.problem(
                        Diagnostic::error(
                            span,
                            "Expected another address but had '{' - check for extra comma",
                        )
                        .label("a key was expected here")
                        .help("remove the comma after the last key"),
                    );
                }
                if keys.is_empty() {
                    self.mismatch(
                        Diagnostic::error(span, "a server block needs a key before its `{`")
                            .label("no zone stands before this brace")
                            .help(
                                "write the zones to serve before the brace, or `.` for all names",
                            ),
                    );
                    self.next();
                    self.lines(span, 0);
                    return None;
                }
                return Some(keys);
            }
            if word.first && !keys.is_empty() && !another {
                return Some(keys);
            }
            if word.is("}") {
                self.next();
                self.unmatched(span);
                continue;
            }
            let starts_line = word.first;
            let word = self.next()?;
            if word.is("import") && starts_line {
                self.import(&word);
                continue;
            }
            for mut token in self.tokens(&word) {
                another = token.text.ends_with(',');
                if another {
                    token.text.pop();
                }
                if !token.text.is_empty() {
                    keys.push(token);
                }
            }
        }
        if another {
            self.problem(
                Diagnostic::error(self.last, "Unexpected EOF: another key was expected")
                    .label("a key must follow the comma")
                    .help("remove the comma, or add the key"),
            );
        }
        if keys.is_empty() { None } else { Some(keys) }
    }

    fn unmatched(&mut self, span: Span) {
        self.mismatch(
            Diagnostic::error(span, UNEXPECTED_CLOSE)
                .label("no block is open here")
                .help("remove this brace, or add the `{` that it closes at the end of a line"),
        );
    }

    /// The directives of a file without braces: all that is left.
    fn bare_lines(&mut self) -> Vec<Directive> {
        let mut lines = Vec::new();
        while let Some(word) = self.next() {
            if word.is("}") {
                self.unmatched(word.span);
            } else if word.is("import") && word.first {
                self.import(&word);
            } else {
                lines.extend(self.directive(&word, 0));
            }
        }
        lines
    }

    /// Lines up to the closing brace of the one at `open`.
    pub(crate) fn lines(&mut self, open: Span, depth: usize) -> Vec<Directive> {
        let mut lines = Vec::new();
        loop {
            let Some(word) = self.next() else {
                // Reading was given up, for a reason that has been told.
                if self.stack.is_empty() {
                    return lines;
                }
                let last = self.last;
                let text = self.corefile.sources.text(last.file);
                let shown =
                    text.get(last.start as usize..last.end as usize).unwrap_or("").to_owned();
                self.mismatch(
                    Diagnostic::error(open, "this brace is never closed")
                        .label("the block begins here")
                        .note(braces::unexpected_end(&shown))
                        .help("add a `}` on a line of its own where the block ends"),
                );
                return lines;
            };
            if word.is("}") {
                return lines;
            }
            if word.is("import") && word.first {
                self.import(&word);
                continue;
            }
            lines.extend(self.directive(&word, depth));
        }
    }

    /// The lines of a sub-block that opens at `open`; `None` if it lies too deep, and no word is left.
    fn sub_block(&mut self, open: Span, depth: usize) -> Option<Vec<Directive>> {
        if depth < MAX_NESTING {
            return Some(self.lines(open, depth + 1));
        }
        self.problem(
            Diagnostic::error(open, format!("blocks nest deeper than {MAX_NESTING}"))
                .help("no plugin needs that many levels"),
        );
        self.stack.clear();
        None
    }

    /// One line that starts with `first`, and its sub-block.
    fn directive(&mut self, first: &Word, depth: usize) -> Option<Directive> {
        if first.is("{") {
            self.mismatch(
                Diagnostic::error(first.span, "unexpected '{'")
                    .label("no directive stands before this brace")
                    .help("put the brace at the end of the line it belongs to"),
            );
            self.sub_block(first.span, depth)?;
            return None;
        }
        let mut words = self.tokens(first).into_iter();
        let name = words.next()?;
        let mut args: Vec<Token> = words.collect();
        let mut body = None;
        let mut end = first.span;
        while let Some(word) = self.next_on_line() {
            end = word.span;
            if word.is("{") {
                body = Some(self.sub_block(word.span, depth)?);
                end = self.last;
                if let Some(extra) = self.next_on_line() {
                    self.mismatch(
                        Diagnostic::error(
                            extra.span,
                            format!("unexpected `{}` after '}}'", extra.raw),
                        )
                        .label("a new line was expected here")
                        .help("start a new line after the closing brace"),
                    );
                    self.skip_line();
                }
                break;
            }
            if word.is("}") {
                if depth > 0 {
                    self.mismatch(
                        Diagnostic::error(word.span, "unexpected '}' at the end of a line")
                            .label("a brace closes its block on a line of its own")
                            .help("put the brace on the next line"),
                    );
                } else {
                    self.unmatched(word.span);
                }
                self.skip_line();
                break;
            }
            args.extend(self.tokens(&word));
        }
        let head_end = args.last().map_or(name.span, |last| last.span);
        let span = name.span.to(head_end);
        Some(Directive { name, args, body, span, end })
    }

    /// `(name) { … }`: words kept for later, variables and all.
    fn snippet(&mut self, name: String, span: Span) {
        let open = self.peek().is_some_and(|word| word.is("{")).then(|| self.next()).flatten();
        let Some(open) = open else {
            self.problem(
                Diagnostic::error(span, format!("snippet `({name})` needs braces"))
                    .label("a `{` was expected after this")
                    .help("write the snippet as `(name) {`, its lines, and `}`"),
            );
            self.skip_line();
            return;
        };
        let mut words = Vec::new();
        let mut depth = 1;
        loop {
            let Some(word) = self.next() else {
                self.mismatch(
                    Diagnostic::error(open.span, "this brace is never closed")
                        .label("the snippet begins here")
                        .note("in CoreDNS: Syntax error: Unexpected EOF, expecting '}'")
                        .help("add a `}` on a line of its own where the snippet ends"),
                );
                break;
            };
            if word.is("{") {
                depth += 1;
            } else if word.is("}") {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            words.push(word);
        }
        if self.snippets.contains_key(&name) {
            self.problem(
                Diagnostic::error(
                    span,
                    format!("redeclaration of previously declared snippet {name}"),
                )
                .label("this name is already in use")
                .help("give one of the two snippets another name"),
            );
            return;
        }
        self.snippets.insert(name, Snippet { words, span, used: false });
    }

    fn unused_snippets(&mut self) {
        let unused: Vec<Span> =
            self.snippets.values().filter(|snippet| !snippet.used).map(|it| it.span).collect();
        for span in unused {
            self.problem(
                Diagnostic::warning(span, "no block imports this snippet")
                    .label("defined here but never used")
                    .help("import it after its definition, or remove it"),
            );
        }
    }
}

/// `(name)` without its parentheses.
fn snippet_name(key: &str) -> Option<&str> {
    key.strip_prefix('(')?.strip_suffix(')')
}
