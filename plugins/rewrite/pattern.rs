//! Regular expressions, and replacements that refer to their groups.

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::text::Buffer;

/// The longest expression, as in CoreDNS.
pub(super) const MAX_PATTERN: usize = 10_000;
/// The number of groups that a replacement may refer to.
const MAX_GROUP: usize = 100;

/// Compiles an expression. Names are ASCII text, so classes are ASCII classes, as in Go. An expression
/// that needs Unicode is compiled with it.
///
/// # Errors
/// The mistake, in short.
pub(super) fn compile(pattern: &str, any_case: bool) -> Result<Regex, String> {
    let build = |unicode: bool| {
        RegexBuilder::new(pattern).unicode(unicode).case_insensitive(any_case).build()
    };
    build(false).or_else(|_| build(true)).map_err(|problem| short(&problem))
}

/// One automaton for all expressions. It finds all that match.
///
/// # Errors
/// The automaton would be too large.
pub(super) fn compile_set(patterns: &[&str]) -> Result<RegexSet, String> {
    let build = |unicode: bool| RegexSetBuilder::new(patterns).unicode(unicode).build();
    build(false).or_else(|_| build(true)).map_err(|problem| short(&problem))
}

/// The last line of a message. The lines before show the expression.
fn short(problem: &regex::Error) -> String {
    let text = problem.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// A replacement: text with groups such as `{1}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Parses `text`. References to groups that `pattern` does not have are plain text.
    pub(super) fn new(text: &str, pattern: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((start, end, group)) = next_group(rest, pattern.captures_len()) {
            parts.push(Part::Text(rest[..start].to_owned()));
            parts.push(Part::Group(group));
            rest = &rest[end..];
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Self { parts }
    }

    /// Writes the text with the values of the groups.
    pub(super) fn fill(&self, captures: &Captures<'_>, into: &mut Buffer) {
        for part in &self.parts {
            match part {
                Part::Text(text) => into.push(text.as_bytes()),
                Part::Group(group) => {
                    let value = captures.get(*group).map(|found| found.as_bytes());
                    into.push(value.unwrap_or_default());
                }
            }
        }
    }
}

/// The first `{N}` with N below `groups`: its start, its end and N.
fn next_group(text: &str, groups: usize) -> Option<(usize, usize, usize)> {
    text.match_indices('{').find_map(|(start, _)| {
        let digits = &text[start + 1..];
        let end = digits.find('}')?;
        let group = number(&digits[..end]).filter(|&group| group < groups)?;
        Some((start, start + end + 2, group))
    })
}

/// Parses a number without sign and leading zeros.
fn number(digits: &str) -> Option<usize> {
    digits.parse::<usize>().ok().filter(|number| number.to_string() == digits)
}

/// The number of different groups in `text`.
pub(super) fn groups_named(text: &str) -> usize {
    (0..=MAX_GROUP).filter(|group| text.contains(&format!("{{{group}}}"))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_in() {
        let pattern = compile(r"(.*)-(west)\.example\.", false).unwrap();
        let fill = |text: &str| {
            let captures = pattern.captures(b"ftp-west.example.").unwrap();
            let mut filled = Buffer::new();
            Template::new(text, &pattern).fill(&captures, &mut filled);
            String::from_utf8(filled.text().unwrap().to_vec()).unwrap()
        };
        assert_eq!(fill("{1}.service.{2}.consul."), "ftp.service.west.consul.");
        assert_eq!(fill("{0}"), "ftp-west.example.");
        assert_eq!(fill("{3}.{01}.{x}.{{1}"), "{3}.{01}.{x}.{ftp");
        assert_eq!(groups_named("{1}{1}{2}{200}"), 2);
    }

    #[test]
    fn expressions_that_cannot_be_read_are_told_in_one_line() {
        assert_eq!(compile("([a]\\.com", false).unwrap_err(), "unclosed group");
        assert!(compile("\\pL", false).is_err() || compile("é+", false).is_ok());
        let any_case = compile("example", true).unwrap();
        assert!(any_case.is_match(b"eXample"));
    }
}
