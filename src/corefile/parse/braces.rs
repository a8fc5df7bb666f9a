//! Locates the mistake in a text whose braces or quotes do not match.
//!
//! Counting braces reports a mistake where its effect shows: at the end of the file, or far below the line that
//! lacks a brace. Indentation shows where it is. This module compares the two, reports the brace or quote that
//! is missing or superfluous, and repairs it, so that the parser reports no errors that only follow from it.
//!
//! It runs only on a text with an error, and never changes the meaning of a valid one.

use super::lex::{self, Word};
use super::nesting::MAX_NESTING;
use crate::{Diagnostic, Diagnostics, FileId, Span};

/// Mistakes that are repaired in one file.
const MAX_REPAIRS: usize = 20;

/// Mistakes after which the search ends.
const ENOUGH: usize = 50;

/// Width of a tab in columns.
const TAB: usize = 4;

/// Columns of indentation that are compared at most.
const MAX_INDENT: usize = 256;

/// The words of a text with its braces and quotes repaired, and whether these are all words: lines whose block
/// is unknown are left out.
pub(crate) fn repair(file: FileId, text: &str, problems: &mut Diagnostics) -> (Vec<Word>, bool) {
    let mut words = close_quotes(file, text, problems);
    let last =
        words.last().and_then(|word| text.get(word.span.start as usize..word.span.end as usize));
    let last = last.unwrap_or_default().to_owned();
    let surplus = balance(&words);
    if surplus < 0 {
        glued_open(text, &mut words, problems);
    } else if surplus > 0 {
        glued_close(text, &mut words, problems);
    }
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at as u32 + 1));
    let lines = lines.collect();
    let mut repair = Repair { text, words, problems, lines, last, complete: true };
    repair.lines_of_their_own();
    for _ in 0..MAX_REPAIRS {
        match repair.fault() {
            Some(Fault::Unopened { close, open }) => repair.unopened(close, open),
            Some(Fault::Unclosed { open, close }) => repair.unclosed(open, close),
            None => break,
        }
    }
    (repair.words, repair.complete)
}

/// Opening braces less closing ones.
fn balance(words: &[Word]) -> isize {
    let count = |brace: &str| words.iter().filter(|word| word.is(brace)).count() as isize;
    count("{") - count("}")
}

/// A quoted text that spans lines and ends within a word: after a missing quote, each further quote closes a
/// text that it should open.
fn runs_on(text: &str, word: &Word) -> bool {
    let (start, end) = (word.span.start as usize, word.span.end as usize);
    let within_a_word = text[end..].chars().next().is_some_and(|next| !next.is_whitespace());
    word.quoted && text[start..end].contains('\n') && within_a_word
}

/// A warning for a quoted text that seems to be too long, in a valid Corefile.
pub(crate) fn odd_quote(text: &str, words: &[Word]) -> Option<Diagnostic> {
    let word = words.iter().find(|word| runs_on(text, word))?;
    let quote = Span { end: word.span.start + 1, ..word.span };
    Some(
        Diagnostic::warning(quote, "this quote is closed on another line, in the middle of a word")
            .label("all up to that place is one word")
            .help("add the closing `\"` in this line if that is not what you want"),
    )
}

/// The words, with the closing quotes added that are missing.
fn close_quotes(file: FileId, text: &str, problems: &mut Diagnostics) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = lex::words(file, text);
    for _ in 0..MAX_REPAIRS {
        let culprit = rest.iter().position(|word| runs_on(text, word));
        let Some(at) = culprit.or_else(|| rest.iter().position(|word| word.open)) else { break };
        let culprit = rest[at].clone();
        let start = culprit.span.start as usize;
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let quote = Span { end: culprit.span.start + 1, ..culprit.span };
        problems.push(
            Diagnostic::error(quote, "this quote is never closed")
                .label(
                    "everything after it is one word, up to the next quote or the end of the file",
                )
                .help("add the closing `\"`; a quote inside a text is written `\\\"`"),
        );
        words.extend(rest.drain(..at));
        let raw = text[start + 1..end].trim_end().to_owned();
        let span = Span { end: end as u32, ..culprit.span };
        words.push(Word { raw, span, open: false, ..culprit });
        rest = lex::words_from(file, text, end);
    }
    words.extend(rest);
    words
}

/// `example.org{` at the end of a line: the start of a block without its blank.
fn glued_open(text: &str, words: &mut Vec<Word>, problems: &mut Diagnostics) {
    let mut at = 0;
    while at < words.len() && problems.0.len() < ENOUGH {
        let word = &words[at];
        let opens =
            word.raw.strip_suffix('{').filter(|rest| !rest.is_empty() && !rest.ends_with('{'));
        let ends_line = words.get(at + 1).is_none_or(|next| next.first);
        let Some(rest) = opens.filter(|_| !word.quoted && ends_line).map(str::to_owned) else {
            at += 1;
            continue;
        };
        let brace = Span { start: last_brace(text, word.span, '{'), ..word.span };
        let brace = Span { end: brace.start + 1, ..brace };
        problems.push(
            Diagnostic::error(brace, "a space is missing before this `{`")
                .label("without it the brace is part of the word")
                .help(format!("put a space before `{{`: `{rest} {{`")),
        );
        words[at].raw = rest;
        words[at].span.end = brace.start;
        words.insert(
            at + 1,
            Word { raw: "{".to_owned(), span: brace, quoted: false, open: false, first: false },
        );
        at += 2;
    }
}

/// `10}` at the end of a line: the end of a block without its line break.
fn glued_close(text: &str, words: &mut Vec<Word>, problems: &mut Diagnostics) {
    let mut at = 0;
    while at < words.len() && problems.0.len() < ENOUGH {
        let word = &words[at];
        let count = |brace| word.raw.matches(brace).count();
        let ends_line = words.get(at + 1).is_none_or(|next| next.first);
        let surplus = count('}').saturating_sub(count('{'));
        let fits = word.raw.len() > 1 && word.raw.ends_with('}') && !word.quoted && ends_line;
        if !fits || surplus == 0 {
            at += 1;
            continue;
        }
        let rest = word.raw.trim_end_matches('}');
        let closes = surplus.min(word.raw.len() - rest.len());
        let rest = word.raw[..word.raw.len() - closes].to_owned();
        let start = last_brace(text, word.span, '}').saturating_sub(closes as u32 - 1);
        let (first, span) = (word.first, word.span);
        let braces = Span { start, end: start + closes as u32, ..span };
        problems.push(
            Diagnostic::error(braces, "a closing brace is part of this word")
                .label("a brace closes its block on a line of its own")
                .help("put the brace on the next line"),
        );
        let mut parts = Vec::new();
        if !rest.is_empty() {
            parts.push(Word {
                raw: rest,
                span: Span { end: start, ..span },
                first,
                ..words[at].clone()
            });
        }
        parts.extend((0..closes as u32).map(|nth| {
            let span = Span { start: start + nth, end: start + nth + 1, ..span };
            Word { raw: "}".to_owned(), span, quoted: false, open: false, first: true }
        }));
        let added = parts.len();
        words.splice(at..=at, parts);
        at += added;
    }
}

/// Position of the last brace of a word.
fn last_brace(text: &str, span: Span, brace: char) -> u32 {
    let word = &text[span.start as usize..span.end as usize];
    span.start + word.rfind(brace).unwrap_or_default() as u32
}

/// A brace without its counterpart.
enum Fault {
    /// This one closes nothing, or what begins at another depth: the block that `open` begins.
    Unopened { close: usize, open: Option<usize> },
    /// This one is not closed before `close`, which belongs to another.
    Unclosed { open: usize, close: Option<usize> },
}

struct Repair<'a> {
    text: &'a str,
    words: Vec<Word>,
    problems: &'a mut Diagnostics,
    /// Where each line starts.
    lines: Vec<u32>,
    /// The last word, as it is written.
    last: String,
    /// Whether no line was left out.
    complete: bool,
}

impl Repair<'_> {
    /// Moves braces to lines of their own where the grammar demands it.
    fn lines_of_their_own(&mut self) {
        let mut depth = 0usize;
        let mut surplus = -balance(&self.words);
        let mut at = 0;
        while at < self.words.len() && self.problems.0.len() < ENOUGH {
            let after_close = at > 0 && self.words[at - 1].is("}");
            let after_brace = after_close || at == 0 || self.words[at - 1].is("{");
            let goes_on = surplus > 0 && self.goes_on(at);
            let word = &mut self.words[at];
            if word.is("}") && !word.first {
                self.problems.push(
                    Diagnostic::error(word.span, "unexpected '}' at the end of a line")
                        .label("a brace closes its block on a line of its own")
                        .help("put the brace on the next line, or remove it"),
                );
                if goes_on {
                    surplus -= 1;
                    self.words.remove(at);
                    continue;
                }
                word.first = true;
            } else if word.is("{") && word.first && depth > 0 && !after_brace {
                word.first = false;
                self.problems.push(
                    Diagnostic::error(word.span, "unexpected '{' at the start of a line")
                        .label("a brace opens a block at the end of a line")
                        .help("move the brace to the end of the line above"),
                );
            } else if after_close && !word.first && !word.is("{") {
                word.first = true;
                self.problems.push(
                    Diagnostic::error(word.span, format!("unexpected `{}` after '}}'", word.raw))
                        .label("a new line was expected here")
                        .help("start a new line after the closing brace"),
                );
            }
            match &self.words[at] {
                word if word.is("{") => depth += 1,
                word if word.is("}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
    }

    /// Whether the block goes on behind a brace at the end of a line: the next line has the same
    /// indentation, or is the brace that closes it.
    fn goes_on(&self, close: usize) -> bool {
        let next = (close + 1..self.words.len()).find(|&at| self.words[at].first);
        next.is_some_and(|at| self.indent(at) == self.indent(close) || self.words[at].is("}"))
    }

    /// The first brace without its counterpart. A block ends at the indentation of its first line, which shows
    /// where a brace is missing or superfluous.
    fn fault(&self) -> Option<Fault> {
        let total = balance(&self.words);
        let mut open = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            if word.is("{") {
                open.push(at);
                if open.len() > MAX_NESTING {
                    return None;
                }
            }
            if !word.is("}") {
                continue;
            }
            let Some(opened) = open.pop() else {
                return Some(Fault::Unopened { close: at, open: None });
            };
            let (Some(ends), begins) = (self.own_indent(at), self.indent(opened)) else { continue };
            let outer = open.iter().any(|&outer| self.indent(outer) == ends);
            if total > 0 && ends < begins && outer {
                return Some(Fault::Unclosed { open: opened, close: Some(at) });
            }
            if total < 0 && ends > begins {
                return Some(Fault::Unopened { close: at, open: Some(opened) });
            }
        }
        open.last().map(|&open| Fault::Unclosed { open, close: None })
    }

    /// A closing brace without an opening one: a line above lacks its brace, or this one is superfluous.
    fn unopened(&mut self, close: usize, open: Option<usize>) {
        let line = self.line(close);
        if let Some((first, last)) = self.line_without_brace(close, open) {
            let span = self.words[first].span.to(self.words[last].span);
            let mut problem = Diagnostic::error(span, "a `{` is missing at the end of this line")
                .label(format!(
                    "the lines below it are a block that the `}}` on line {line} closes"
                ))
                .help("put a blank and a `{` after the last word");
            if open.is_none() {
                problem = problem.note(UNEXPECTED_CLOSE);
            }
            self.problems.push(problem);
            let behind = self.words[last].span;
            let span = Span { start: behind.end, ..behind };
            self.insert(last + 1, "{", span, false);
            return;
        }
        let span = self.words[close].span;
        let problem = match open {
            None => Diagnostic::error(span, UNEXPECTED_CLOSE).label("no block is open here"),
            Some(open) => Diagnostic::error(span, "there is one `}` too many").label(format!(
                "it closes the block that begins on line {} too early",
                self.line(open)
            )),
        };
        self.problems.push(
            problem.help("remove this brace, or add the `{` that it closes at the end of a line"),
        );
        self.words.remove(close);
        if let Some(next) = self.words.get_mut(close) {
            next.first = true;
        }
    }

    /// The line that began the block which `close` ends, by its first and last word: the nearest one
    /// above with its indentation, with only deeper ones between.
    fn line_without_brace(&self, close: usize, open: Option<usize>) -> Option<(usize, usize)> {
        let ends = self.own_indent(close)?;
        let least = open.map_or(0, |open| open + 1);
        let starts = |at: &usize| self.words[*at].first;
        let first = (least..close).rev().filter(starts).find(|&at| self.indent(at) <= ends)?;
        let last = (first + 1..close).find(starts)?.checked_sub(1)?;
        let braces =
            [first, last].iter().any(|&at| self.words[at].is("{") || self.words[at].is("}"));
        (self.indent(first) == ends && !braces).then_some((first, last))
    }

    /// An opening brace without a closing one: the block ends where the indentation does.
    fn unclosed(&mut self, open: usize, close: Option<usize>) {
        let begins = self.indent(open);
        let end = close.unwrap_or(self.words.len());
        let mut lines = (open + 1..end).filter(|&at| self.words[at].first);
        let is_indented = lines.clone().next().is_some_and(|at| self.indent(at) > begins);
        let end = lines.find(|&at| is_indented && self.indent(at) <= begins).unwrap_or(end);
        let mut problem = Diagnostic::error(self.words[open].span, "this brace is never closed")
            .label("the block begins here")
            .help("add a `}` on a line of its own where the block ends");
        if let Some(close) = close {
            let line = self.line(close);
            problem = problem.note(format!(
                "the `}}` on line {line} is indented like an outer block, so it does not close this one"
            ));
        } else {
            problem = problem.note(unexpected_end(&self.last));
        }
        self.problems.push(problem);
        if !is_indented && close.is_none() {
            // Any of these lines may be the block's, or not.
            self.words.truncate(open + 1);
            self.complete = false;
        }
        let end = end.min(self.words.len());
        let before = self.words[end - 1].span;
        self.insert(end, "}", Span { start: before.end, ..before }, true);
    }

    fn insert(&mut self, at: usize, brace: &str, span: Span, first: bool) {
        let brace = Word { raw: brace.to_owned(), span, quoted: false, open: false, first };
        self.words.insert(at, brace);
    }

    /// The indentation of the line that a word is on.
    fn indent(&self, at: usize) -> usize {
        let line = self.lines[self.line(at) - 1] as usize;
        let is_blank = |letter: &char| *letter == ' ' || *letter == '\t';
        let blanks = self.text[line..].chars().take(MAX_INDENT).take_while(is_blank);
        blanks.fold(0, |column, letter| match letter {
            '\t' => (column / TAB + 1) * TAB,
            _ => column + 1,
        })
    }

    /// The same, for the first word of a line only.
    fn own_indent(&self, at: usize) -> Option<usize> {
        let line = self.line(at);
        let is_first = at == 0 || self.line(at - 1) != line;
        is_first.then(|| self.indent(at))
    }

    /// The line that a word is on, from 1.
    fn line(&self, at: usize) -> usize {
        let start = self.words[at].span.start;
        self.lines.partition_point(|&line| line <= start)
    }
}

/// What CoreDNS says of a closing brace without an opening one.
pub(crate) const UNEXPECTED_CLOSE: &str = "Unexpected '}' because no matching opening brace";

/// What CoreDNS says at the end of a file whose last block is open.
pub(crate) fn unexpected_end(last: &str) -> String {
    format!("in CoreDNS: Syntax error: Unexpected token '{last}', expecting '}}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoFiles, Severity, parse};

    const GOOD: &str = "\
(options) {
    max_fails 3
}
example.org \u{e9}.example {
    bind 127.0.0.1
    hosts {
        192.0.2.1 a
        fallthrough
    }
    log . \"{remote} {name}\"
    forward . 192.0.2.1 {
        to 192.0.2.2 {
            weight 2
        }
        import options
    }
}
example.net:53 {
    whoami
}
";

    /// The lines of the errors.
    fn lines(text: &str) -> Vec<usize> {
        let (corefile, found) = parse("Corefile", text, &NoFiles);
        let errors = found.in_order().into_iter();
        let errors = errors.filter(|finding| finding.severity == Severity::Error);
        errors.filter_map(|error| Some(corefile.sources.line_col(error.span?).0)).collect()
    }

    /// Takes each brace, and each blank before a brace, away, one at a time: there is one error, and
    /// it is on the line that begins the block.
    #[test]
    fn one_mistake_is_one_error_at_its_place() {
        assert!(lines(GOOD).is_empty());
        let mut open = Vec::new();
        let mut start = 0;
        for (number, line) in (1..).zip(GOOD.split_inclusive('\n')) {
            let check = |at: usize, begins: usize| {
                let text = format!("{}{}", &GOOD[..at], &GOOD[at + 1..]);
                assert_eq!(lines(&text), [begins], "{text}");
            };
            if line.ends_with(" {\n") {
                check(start + line.len() - 2, number);
                check(start + line.len() - 3, number);
                open.push(number);
            } else if line.trim() == "}" {
                let begins = open.pop().unwrap();
                check(start + line.len() - 2, begins);
                // The line end before it.
                let at = start - 1;
                let indent = line.len() - line.trim_start().len();
                let text = format!("{}{}", &GOOD[..at], &GOOD[at + 1 + indent..]);
                if GOOD[..at].ends_with('}') {
                    assert!(!lines(&text).is_empty(), "{text}");
                } else {
                    assert_eq!(lines(&text), [number - 1], "{text}");
                }
            }
            start += line.len();
        }
    }

    #[test]
    fn a_brace_too_many_is_one_error_at_its_place() {
        let all: Vec<&str> = GOOD.lines().collect();
        for (number, line) in all.iter().enumerate().filter(|(_, line)| line.trim() == "}") {
            let text = [&all[..=number], &[*line], &all[number + 1..]].concat().join("\n");
            assert_eq!(lines(&text), [number + 2], "{text}");
        }
    }

    /// Whatever is cut out of a text, there is an answer.
    #[test]
    fn no_text_is_too_broken() {
        let starts: Vec<usize> = GOOD.char_indices().map(|(at, _)| at).collect();
        for (number, &from) in starts.iter().enumerate() {
            for &to in starts[number..].iter().step_by(11) {
                let text = format!("{}{}", &GOOD[..from], &GOOD[to..]);
                let (corefile, found) = parse("Corefile", &text, &NoFiles);
                let _ = crate::render(&found, &corefile.sources);
                let mut problems = Diagnostics::default();
                let (words, complete) = repair(FileId::default(), &text, &mut problems);
                let fits = balance(&words) == 0 || !complete;
                assert!(fits || problems.has_errors(), "{text}");
            }
        }
    }
}
