//! `import`: inserts snippets and files.

use std::path::{Path, PathBuf};

use super::lex::Word;
use super::parser::Parser;
use crate::{Diagnostic, Span, Token};

/// Snippets inserted at most.
const MAX_SNIPPETS: usize = 10_000;
/// Files read at most.
const MAX_FILES: usize = 10_000;
/// Depth of nested imports.
const MAX_IMPORT_DEPTH: usize = 64;

impl Parser<'_> {
    /// `import PATTERN`: a snippet, a file or the files that match.
    pub(crate) fn import(&mut self, keyword: &Word) {
        let word = self.next_on_line();
        let brace = word.as_ref().filter(|word| word.is("{")).map(|brace| brace.span);
        let Some(word) = word.filter(|_| brace.is_none()) else {
            self.problem(
                Diagnostic::error(keyword.span, "`import` needs the name of a snippet or a file")
                    .label("Wrong argument count or unexpected line ending after 'import'")
                    .help("write `import NAME`"),
            );
            if let Some(brace) = brace {
                self.lines(brace, 1);
            }
            return;
        };
        let pattern = self.token(&word);
        if let Some(extra) = self.next_on_line() {
            if extra.is("{") {
                self.problem(
                    Diagnostic::error(extra.span, "`import` does not take a block")
                        .label("nothing but a snippet or files can be imported here")
                        .help("remove the braces, and put the lines between them into what is imported"),
                );
                self.lines(extra.span, 1);
                return;
            }
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
            self.too_many(pattern.span, "nested imports", MAX_IMPORT_DEPTH);
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
                .label("this recursion would never end")
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
                let words = self.words_of(file, &text);
                self.push_source(words, None);
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

/// A path next to the file that names it.
fn relative_to(file: &str, path: &str) -> PathBuf {
    let path = Path::new(path);
    match Path::new(file).parent() {
        Some(parent) if path.is_relative() => parent.join(path),
        _ => path.to_owned(),
    }
}
