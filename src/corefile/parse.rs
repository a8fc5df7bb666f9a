//! Words to server blocks: snippets, imports, variables.
//!
//! Words are read from a stack of sources: the Corefile, and on top of it the files and snippets
//! being imported. A mistake is noted and reading goes on at the next line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::lex::{self, Word};
use crate::variables::expand;
use crate::{
    Corefile, Diagnostic, Diagnostics, Directive, Loader, ServerBlock, Sources, Span, Token,
};

/// Snippets put in, in all.
const MAX_SNIPPETS: usize = 10_000;
/// Files read, in all.
const MAX_FILES: usize = 10_000;
/// Words, in all: what imports of imports may grow to.
const MAX_WORDS: usize = 2_000_000;
/// Imports inside each other.
const MAX_IMPORT_DEPTH: usize = 64;
/// Sub-blocks inside each other.
const MAX_NESTING: usize = 32;
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
    let mut parser = Parser {
        corefile: Corefile { blocks: Vec::new(), sources },
        problems: Diagnostics::default(),
        loader,
        stack: Vec::new(),
        snippets: HashMap::new(),
        expansions: 0,
        files: 1,
        words: 0,
        last: Span::default(),
    };
    let file = parser.corefile.sources.add(name.to_owned(), text.to_owned());
    let words = lex::words(file, text);
    parser.push_source(words, None);
    while parser.peek().is_some() && parser.problems.0.len() < MAX_PROBLEMS {
        parser.server_block();
    }
    parser.unused_snippets();
    (parser.corefile, parser.problems)
}

/// Words being read, and the snippet they come from.
struct Source {
    words: std::vec::IntoIter<Word>,
    snippet: Option<String>,
}

/// A snippet, and whether anything imports it.
struct Snippet {
    words: Vec<Word>,
    /// Its name, where it is defined.
    span: Span,
    used: bool,
}

struct Parser<'a> {
    corefile: Corefile,
    problems: Diagnostics,
    loader: &'a dyn Loader,
    stack: Vec<Source>,
    snippets: HashMap<String, Snippet>,
    expansions: usize,
    files: usize,
    words: usize,
    /// The word read last, for messages about the end of the file.
    last: Span,
}

impl Parser<'_> {
    fn push_source(&mut self, mut words: Vec<Word>, snippet: Option<String>) {
        self.words += words.len();
        if self.words > MAX_WORDS {
            self.problem(
                Diagnostic::error(self.last, format!("more than {MAX_WORDS} words"))
                    .label("imports make the configuration too large")
                    .help("import less"),
            );
            self.stack.clear();
            return;
        }
        // Only the last word can be open, and all of the file behind it is in it.
        if let Some(last) = words.last().filter(|word| word.open) {
            let quote = Span { end: last.span.start + 1, ..last.span };
            self.problem(
                Diagnostic::warning(quote, "this quote is never closed")
                    .label("all that follows is one word")
                    .help("add the closing `\"`"),
            );
        }
        // Whatever came before, imported words start a line.
        if let Some(first) = words.first_mut() {
            first.first = true;
        }
        self.stack.push(Source { words: words.into_iter(), snippet });
    }

    fn problem(&mut self, problem: Diagnostic) {
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

    /// The next word if it is on the line of the one before.
    fn next_on_line(&mut self) -> Option<Word> {
        let continues = self.peek().is_some_and(|word| !word.first);
        if continues { self.next() } else { None }
    }

    fn skip_line(&mut self) {
        while self.next_on_line().is_some() {}
    }

    /// Puts variables into a word.
    fn token(&mut self, word: &Word) -> Token {
        let text = expand(&word.raw, self.loader);
        if text != word.raw {
            self.corefile.sources.expand(word.span, &text);
        }
        Token { text, span: word.span, quoted: word.quoted }
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
                    self.problem(
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
            let mut token = self.token(&word);
            another = token.text.ends_with(',');
            if another {
                token.text.pop();
            }
            if !token.text.is_empty() {
                keys.push(token);
            }
        }
        if another {
            self.problem(
                Diagnostic::error(self.last, "Unexpected EOF: another key was expected")
                    .label("the comma promises one more key")
                    .help("remove the comma, or add the key"),
            );
        }
        if keys.is_empty() { None } else { Some(keys) }
    }

    fn unmatched(&mut self, span: Span) {
        self.problem(
            Diagnostic::error(span, "Unexpected '}' because no matching opening brace")
                .label("nothing is open here")
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
    fn lines(&mut self, open: Span, depth: usize) -> Vec<Directive> {
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
                self.problem(
                    Diagnostic::error(
                        open,
                        format!("Syntax error: Unexpected token '{shown}', expecting '}}'"),
                    )
                    .label("this brace is never closed")
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
            self.problem(
                Diagnostic::error(first.span, "unexpected '{'")
                    .label("no directive stands before this brace")
                    .help("put the brace at the end of the line it belongs to"),
            );
            self.sub_block(first.span, depth)?;
            return None;
        }
        let name = self.token(first);
        let mut args: Vec<Token> = Vec::new();
        let mut body = None;
        let mut end = first.span;
        while let Some(word) = self.next_on_line() {
            end = word.span;
            if word.is("{") {
                body = Some(self.sub_block(word.span, depth)?);
                end = self.last;
                if let Some(extra) = self.next_on_line() {
                    self.problem(
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
                    self.problem(
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
            args.push(self.token(&word));
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
                self.problem(
                    Diagnostic::error(open.span, "Syntax error: Unexpected EOF, expecting '}'")
                        .label("this snippet is never closed")
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
                .label("this name is taken")
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
                    .label("defined here and nowhere used")
                    .help("import it behind its definition, or remove it"),
            );
        }
    }

    /// `import PATTERN`: a snippet, a file or the files that match.
    fn import(&mut self, keyword: &Word) {
        let Some(word) = self.next_on_line() else {
            self.problem(
                Diagnostic::error(keyword.span, "`import` needs the name of a snippet or a file")
                    .label("Wrong argument count or unexpected line ending after 'import'")
                    .help("write `import NAME`"),
            );
            return;
        };
        let pattern = self.token(&word);
        if let Some(extra) = self.next_on_line() {
            self.problem(
                Diagnostic::error(
                    extra.span,
                    "Import takes only one argument (glob pattern or file)",
                )
                .label("one argument too many")
                .help("write one `import` line for each file"),
            );
            self.skip_line();
            return;
        }
        if pattern.text.is_empty() {
            self.problem(
                Diagnostic::error(pattern.span, "Import requires a non-empty filepath")
                    .label("this is empty")
                    .help("give the name of a snippet or a file; an unset variable is empty"),
            );
            return;
        }
        if self.stack.len() >= MAX_IMPORT_DEPTH {
            self.too_many(pattern.span, "imports inside each other", MAX_IMPORT_DEPTH);
            return;
        }
        if let Some(snippet) = self.snippets.get_mut(&pattern.text) {
            snippet.used = true;
            let words = snippet.words.clone();
            self.import_snippet(pattern, words);
        } else {
            self.import_files(&pattern);
        }
    }

    fn import_snippet(&mut self, pattern: Token, words: Vec<Word>) {
        if self.stack.iter().any(|source| source.snippet.as_ref() == Some(&pattern.text)) {
            self.problem(
                Diagnostic::error(
                    pattern.span,
                    format!("snippet `{}` imports itself", pattern.text),
                )
                .label("this would never end")
                .help("remove this import from the snippet"),
            );
            return;
        }
        self.expansions += 1;
        if self.expansions > MAX_SNIPPETS {
            self.too_many(pattern.span, "snippet imports", MAX_SNIPPETS);
            return;
        }
        self.push_source(words, Some(pattern.text));
    }

    fn too_many(&mut self, span: Span, what: &str, most: usize) {
        self.problem(
            Diagnostic::error(span, format!("too many {what}: more than {most}"))
                .label("the limit is reached here")
                .help("look for files or snippets that import each other"),
        );
        self.stack.clear();
    }

    fn import_files(&mut self, pattern: &Token) {
        let wild = pattern.text.contains(['*', '?', '[', ']']);
        let count = |letter: char| pattern.text.chars().filter(|&found| found == letter).count();
        if count('*') > 1 || count('?') > 1 || (count('[') > 0 && count(']') > 0) {
            self.problem(
                Diagnostic::error(
                    pattern.span,
                    format!(
                        "Glob pattern may only contain one wildcard (*), but has others: {}",
                        pattern.text
                    ),
                )
                .label("too many wildcards")
                .help("use at most one `*` and one `?`"),
            );
            return;
        }
        let path = relative_to(self.corefile.sources.name(pattern.span.file), &pattern.text);
        let matches = if wild { self.loader.glob(&path) } else { Ok(vec![path.clone()]) };
        let files = match matches {
            Ok(files) => files,
            Err(error) => {
                self.problem(
                    Diagnostic::error(
                        pattern.span,
                        format!("cannot list {}: {error}", path.display()),
                    )
                    .label("imported here")
                    .help("check the directory and its permissions"),
                );
                return;
            }
        };
        if files.is_empty() {
            self.problem(
                Diagnostic::warning(
                    pattern.span,
                    format!("No files matching import glob pattern: {}", pattern.text),
                )
                .label("nothing is imported here")
                .help("this is fine if files may be added later"),
            );
        }
        // The stack is read from its top, so the first file goes on last.
        for file in files.iter().rev() {
            self.import_file(pattern, file);
        }
    }

    fn import_file(&mut self, pattern: &Token, path: &Path) {
        self.files += 1;
        if self.files > MAX_FILES {
            self.too_many(pattern.span, "imported files", MAX_FILES);
            return;
        }
        let name = path.display().to_string();
        match self.loader.read(path) {
            Ok(text) => {
                let file = self.corefile.sources.add(name, text.clone());
                self.push_source(lex::words(file, &text), None);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.problem(
                    Diagnostic::error(
                        pattern.span,
                        format!("File to import not found: {}", pattern.text),
                    )
                    .label("there is no snippet and no file of this name")
                    .help(format!(
                        "create {name}, or define the snippet `({})` before this line",
                        pattern.text
                    )),
                );
            }
            Err(error) => self.problem(
                Diagnostic::error(pattern.span, format!("cannot import {name}: {error}"))
                    .label("imported here")
                    .help("name a readable text file"),
            ),
        }
    }
}

/// `(name)` without its parentheses.
fn snippet_name(key: &str) -> Option<&str> {
    key.strip_prefix('(')?.strip_suffix(')')
}

/// A path next to the file that names it.
fn relative_to(file: &str, path: &str) -> PathBuf {
    let path = Path::new(path);
    match Path::new(file).parent() {
        Some(parent) if path.is_relative() => parent.join(path),
        _ => path.to_owned(),
    }
}
