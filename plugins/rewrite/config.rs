//! The arguments of `rewrite`: one rule per directive.

mod edns;
mod words;

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use regex::bytes::Regex;
use wire::{Class, Rcode, Rtype};

pub(super) use edns::{Action, Data, EdnsOption, EdnsRule, Variable};
use words::Words;

use super::pattern::{MAX_PATTERN, Template, compile, groups_named};
use super::text::{Buffer, normal};

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Whether later rules are tried after this one applied.
    pub(super) go_on: bool,
    pub(super) field: Field,
}

/// What a rule changes, and when.
#[derive(Debug)]
pub(super) enum Field {
    Name(NameRule),
    Type { from: Rtype, to: Rtype },
    Class { from: Class, to: Class },
    Edns(EdnsRule),
    Ttl { matches: Match, least: u32, most: u32 },
    Rcode { matches: Match, from: Rcode, to: Rcode },
    Cname { matches: Match, to: Replacement },
}

/// `name`: changes the queried name, and optionally names in the answer.
#[derive(Debug)]
pub(super) struct NameRule {
    pub(super) matches: Match,
    pub(super) to: Replacement,
    /// Whether names in the answer that are the new name, or are below it, become the old name.
    pub(super) auto: bool,
    pub(super) answers: Vec<Answer>,
}

/// The condition for a name. Texts are normalised names, or parts of them.
#[derive(Debug)]
pub(super) enum Match {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Substring(String),
    Regex(Regex),
}

impl Match {
    /// Whether a name, as text, matches.
    pub(super) fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(whole) => text == whole.as_bytes(),
            Self::Prefix(start) => text.starts_with(start.as_bytes()),
            Self::Suffix(end) => text.ends_with(end.as_bytes()),
            Self::Substring(part) => memmem(text, part.as_bytes()).is_some(),
            Self::Regex(pattern) => pattern.is_match(text),
        }
    }

    /// Writes the replacement of `text`, if it matches.
    pub(super) fn replace(&self, text: &[u8], to: &Replacement, into: &mut Buffer) -> bool {
        if let (Self::Regex(pattern), Replacement::Template(template)) = (self, to) {
            return pattern.captures(text).map(|captures| template.fill(&captures, into)).is_some();
        }
        let Replacement::Text(to) = to else { return false };
        let to = to.as_bytes();
        match self {
            Self::Exact(whole) if text == whole.as_bytes() => into.push(to),
            Self::Prefix(start) => {
                let Some(rest) = text.strip_prefix(start.as_bytes()) else { return false };
                into.push(to);
                into.push(rest);
            }
            Self::Suffix(end) => {
                let Some(rest) = text.strip_suffix(end.as_bytes()) else { return false };
                into.push(rest);
                into.push(to);
            }
            Self::Substring(part) if !part.is_empty() => {
                let mut rest = text;
                while let Some(at) = memmem(rest, part.as_bytes()) {
                    into.push(&rest[..at]);
                    into.push(to);
                    rest = &rest[at + part.len()..];
                }
                into.push(rest);
                return rest.len() < text.len();
            }
            _ => return false,
        }
        true
    }
}

/// The offset of `part` in `text`.
fn memmem(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).position(|window| window == part)
}

/// The replacement of the matching part.
#[derive(Debug)]
pub(super) enum Replacement {
    Text(String),
    Template(Template),
}

/// A rule for names in answers, in addition to `auto`.
#[derive(Debug)]
pub(super) enum Answer {
    /// Replaces the suffix `from` of owner names and of names in RDATA by `to`.
    Suffix { from: String, to: String },
    /// Changes owner names.
    Name(Regex, Template),
    /// Changes names in RDATA.
    Value(Regex, Template),
}

/// The rules of a block, in order.
pub(super) fn parse(uses: &[&Directive]) -> Result<Vec<Rule>, Diagnostics> {
    let mut rules = Vec::new();
    let mut errors = Diagnostics::default();
    for directive in uses {
        match parse_one(directive) {
            Ok(rule) => rules.push(rule),
            Err(problem) => errors.push(problem),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(rules) }
}

/// The words of one rule: those on the line, and those of the block if the line has at most one.
fn parse_one(directive: &Directive) -> Result<Rule, Diagnostic> {
    let mut tokens: Vec<&Token> = directive.args.iter().collect();
    if tokens.len() < 2 {
        for line in directive.options() {
            line.no_body()?;
            tokens.push(&line.name);
            tokens.extend(&line.args);
        }
    } else {
        directive.no_body()?;
    }
    let mut words = Words::new(directive, tokens);
    let go_on = match words.peek().map(|token| token.text.to_ascii_lowercase()).as_deref() {
        Some("continue") => words.next().is_some(),
        Some("stop") => words.next().is_none(),
        _ => false,
    };
    let kind = words.required("a field")?;
    let field = match kind.text.to_ascii_lowercase().as_str() {
        "name" => name(&mut words)?,
        "type" => {
            let (from, to) = (words.one_of("a type", Rtype::from_text)?, "a type");
            Field::Type { from, to: words.one_of(to, Rtype::from_text)? }
        }
        "class" => {
            let (from, to) = (words.one_of("a class", Class::from_text)?, "a class");
            Field::Class { from, to: words.one_of(to, Class::from_text)? }
        }
        "edns0" => Field::Edns(edns::parse(&mut words)?),
        "ttl" => ttl(&mut words)?,
        "rcode" => rcode(&mut words)?,
        "cname" => cname(&mut words)?,
        "answer" => {
            return Err(Diagnostic::error(kind.span, "`answer` is a part of a `name` rule")
                .label("no `name` precedes it")
                .help("write `name suffix FROM TO answer auto`"));
        }
        _ => return Err(words.unknown(kind, "`rewrite` field", FIELDS)),
    };
    words.end()?;
    Ok(Rule { go_on, field })
}

const FIELDS: &[&str] =
    &["name", "type", "class", "edns0", "ttl", "cname", "rcode", "continue", "stop"];
const MATCHES: &[&str] = &["exact", "prefix", "suffix", "substring", "regex"];

/// The keywords for ways to match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Exact,
    Prefix,
    Suffix,
    Substring,
    Regex,
}

impl Way {
    fn from_word(word: &Token) -> Option<Self> {
        Some(match word.text.to_ascii_lowercase().as_str() {
            "exact" => Self::Exact,
            "prefix" => Self::Prefix,
            "suffix" => Self::Suffix,
            "substring" => Self::Substring,
            "regex" => Self::Regex,
            _ => return None,
        })
    }

    /// Parses the condition.
    fn read(self, from: &Token) -> Result<Match, Diagnostic> {
        let text = normal(from.as_str());
        Ok(match self {
            Self::Exact => Match::Exact(text),
            Self::Prefix => Match::Prefix(text),
            Self::Suffix => Match::Suffix(text),
            Self::Substring => Match::Substring(text),
            Self::Regex => Match::Regex(regex(from, from.as_str(), false)?),
        })
    }
}

/// `[WAY] `: the way to match, if more than `fewest` words are left.
fn way(words: &mut Words<'_>, fewest: usize) -> Result<Way, Diagnostic> {
    if words.left() <= fewest {
        return Ok(Way::Exact);
    }
    let word = words.required("a match type")?;
    Way::from_word(word).ok_or_else(|| words.unknown(word, "match type", MATCHES))
}

/// Compiles `pattern`, which is a part of `token`.
fn regex(token: &Token, pattern: &str, any_case: bool) -> Result<Regex, Diagnostic> {
    if pattern.len() > MAX_PATTERN {
        return Err(Diagnostic::error(
            token.span,
            format!("the regular expression is longer than {MAX_PATTERN} characters"),
        )
        .label("too long")
        .help("split it into several rules"));
    }
    compile(pattern, any_case).map_err(|problem| {
        Diagnostic::error(token.span, format!("`{pattern}` is not a regular expression"))
            .label(problem)
            .help("the syntax is that of RE2; see `catena help rewrite` for the differences")
    })
}

/// A regular expression and its replacement.
fn regex_and_template(
    words: &mut Words<'_>,
    any_case: bool,
) -> Result<(Regex, Template), Diagnostic> {
    let from = words.required("a regular expression")?;
    let to = words.required("a replacement")?;
    let pattern = regex(from, from.as_str(), any_case)?;
    let groups = pattern.captures_len() - 1;
    if groups_named(to.as_str()) > groups {
        return Err(Diagnostic::error(
            to.span,
            format!("`{}` refers to more groups than the expression has", to.as_str()),
        )
        .label(format!("`{}` has {groups} capture groups", from.as_str()))
        .help("enclose each group of the expression in parentheses"));
    }
    let template = Template::new(&normal(to.as_str()), &pattern);
    Ok((pattern, template))
}

/// `name [WAY] FROM TO [answer ...]`.
fn name(words: &mut Words<'_>) -> Result<Field, Diagnostic> {
    let way = way(words, 2)?;
    let (matches, to) = if way == Way::Regex {
        let (pattern, template) = regex_and_template(words, false)?;
        (Match::Regex(pattern), Replacement::Template(template))
    } else {
        let matches = way.read(words.required("a name to match")?)?;
        (matches, Replacement::Text(normal(words.required("a replacement name")?.as_str())))
    };
    let mut rule = NameRule { auto: way == Way::Exact, matches, to, answers: Vec::new() };
    if words.peek().is_some() {
        let auto = answers(words, &mut rule)?;
        rule.auto |= auto && way != Way::Suffix;
        if let (Match::Suffix(from), Replacement::Text(to)) = (&rule.matches, &rule.to)
            && auto
        {
            // Both suffixes are known, so the answer rule is their reversal.
            let suffix = Answer::Suffix { from: to.clone(), to: from.clone() };
            rule.answers.insert(0, suffix);
        }
    }
    Ok(Field::Name(rule))
}

/// `answer (auto | (name | value) FROM TO)`, repeated. The keyword `answer` is needed once. Returns
/// whether `auto` is present.
fn answers(words: &mut Words<'_>, rule: &mut NameRule) -> Result<bool, Diagnostic> {
    let mut auto = None;
    let mut names = false;
    let mut first = true;
    while let Some(word) = words.next() {
        let kind = match word.as_str() {
            "answer" => words.required("`auto`, `name` or `value`")?,
            _ if first => return Err(words.unknown(word, "`name` option", &["answer"])),
            _ => word,
        };
        first = false;
        match kind.as_str() {
            "auto" => auto = Some(kind),
            "name" => {
                // CoreDNS's manual has an example with `answer name auto`.
                if let Some(word) = words.peek().filter(|word| word.as_str() == "auto")
                    && words.left() < 2
                {
                    auto = Some(word);
                    words.next();
                    continue;
                }
                names = true;
                let (pattern, template) = regex_and_template(words, true)?;
                rule.answers.push(Answer::Name(pattern, template));
            }
            "value" => {
                let (pattern, template) = regex_and_template(words, true)?;
                rule.answers.push(Answer::Value(pattern, template));
            }
            _ => return Err(words.unknown(kind, "`answer` type", &["auto", "name", "value"])),
        }
    }
    match auto {
        Some(word) if names => {
            Err(Diagnostic::error(word.span, "`answer auto` and `answer name` exclude each other")
                .label("both change the owner names of the answer")
                .help("keep one of them; `answer value` can be combined with both"))
        }
        auto => Ok(auto.is_some()),
    }
}

/// `ttl [WAY] NAME (SECONDS | MIN-MAX | -MAX | MIN-)`.
fn ttl(words: &mut Words<'_>) -> Result<Field, Diagnostic> {
    let way = way(words, 2)?;
    let matches = way.read(words.required("a name to match")?)?;
    let word = words.required("a TTL")?;
    let (least, most) = ttl_range(word.as_str()).ok_or_else(|| {
        Diagnostic::error(word.span, format!("`{}` is not a TTL", word.as_str()))
            .label("expected seconds, or a range of seconds")
            .help("write `30`, `30-300`, or an open range such as `30-` or `-300`")
    })?;
    Ok(Field::Ttl { matches, least, most })
}

fn ttl_range(text: &str) -> Option<(u32, u32)> {
    let seconds = |text: &str| -> Option<u32> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    let (least, most) = match text.split_once('-') {
        None => {
            let exact = seconds(text)?;
            (exact, exact)
        }
        Some(("", "")) => return None,
        Some(("", most)) => (0, seconds(most)?),
        // RFC 2181 section 8: the largest TTL.
        Some((least, "")) => (seconds(least)?, i32::MAX as u32),
        Some((least, most)) => (seconds(least)?, seconds(most)?),
    };
    (least <= most).then_some((least, most))
}

/// `rcode [WAY] NAME FROM TO`.
fn rcode(words: &mut Words<'_>) -> Result<Field, Diagnostic> {
    let way = way(words, 3)?;
    let matches = way.read(words.required("a name to match")?)?;
    let from = words.one_of("an rcode", rcode_from_text)?;
    Ok(Field::Rcode { matches, from, to: words.one_of("an rcode", rcode_from_text)? })
}

fn rcode_from_text(text: &str) -> Option<Rcode> {
    match text.parse::<u16>() {
        Ok(number) => Some(Rcode(number)).filter(|_| number <= Rcode::BADCOOKIE.0),
        // CoreDNS's names, in addition to those of the IANA registry.
        Err(_) if text.eq_ignore_ascii_case("BADSIG") => Some(Rcode::BADVERS),
        Err(_) if text.eq_ignore_ascii_case("NOTIMPL") => Some(Rcode::NOTIMP),
        Err(_) => Rcode::from_text(text),
    }
}

/// `cname [WAY] FROM TO`.
fn cname(words: &mut Words<'_>) -> Result<Field, Diagnostic> {
    let way = way(words, 2)?;
    let from = words.required("a target to match")?;
    let to = words.required("a replacement target")?;
    let (text, target) = (from.text.to_ascii_lowercase(), to.text.to_ascii_lowercase());
    if text.is_empty() || target.is_empty() {
        let empty = if text.is_empty() { from } else { to };
        return Err(Diagnostic::error(empty.span, "a target is missing")
            .label("this is empty")
            .help("write the targets as `old.example.net new.example.net`"));
    }
    Ok(match way {
        Way::Exact => Field::Cname {
            matches: Match::Exact(normal(&text)),
            to: Replacement::Text(normal(&target)),
        },
        // These are parts of names, to which CoreDNS adds no dot.
        Way::Prefix => Field::Cname { matches: Match::Prefix(text), to: Replacement::Text(target) },
        Way::Suffix => Field::Cname { matches: Match::Suffix(text), to: Replacement::Text(target) },
        Way::Substring => {
            Field::Cname { matches: Match::Substring(text), to: Replacement::Text(target) }
        }
        Way::Regex => {
            let pattern = regex(from, &text, false)?;
            let template = Template::new(&target, &pattern);
            Field::Cname { matches: Match::Regex(pattern), to: Replacement::Template(template) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_and_their_ranges() {
        for (text, expected) in [
            ("10", Some((10, 10))),
            ("1-2", Some((1, 2))),
            ("-2", Some((0, 2))),
            ("5-", Some((5, 2_147_483_647))),
            ("-", None),
            ("5-10-20", None),
            ("2-1", None),
            ("+5", None),
            ("", None),
            ("12345678901234567890", None),
        ] {
            assert_eq!(ttl_range(text), expected, "{text}");
        }
    }

    #[test]
    fn rcodes_by_name_and_number() {
        assert_eq!(rcode_from_text("2"), Some(Rcode::SERVFAIL));
        assert_eq!(rcode_from_text("nxdomain"), Some(Rcode::NXDOMAIN));
        assert_eq!(rcode_from_text("BADSIG"), Some(Rcode(16)));
        assert_eq!(rcode_from_text("24"), None);
        assert_eq!(rcode_from_text("nonsense"), None);
    }
}
