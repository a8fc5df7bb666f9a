//! `header { (query | response) (set | clear) FLAG... }`.

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Flag;

/// The changes to flags, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(Vec<(Flag, bool)>);

impl Flags {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Flag, bool)> + '_ {
        self.0.iter().copied()
    }

    /// The new value of a flag; the last rule for it counts.
    pub(super) fn of(&self, flag: Flag) -> Option<bool> {
        self.0.iter().rev().find(|(known, _)| *known == flag).map(|&(_, on)| on)
    }
}

/// The rules for queries and those for replies. As in CoreDNS the first directive with rules counts.
///
/// # Errors
/// Every mistake, and that there is no rule.
pub(super) fn parse(uses: &[&Directive]) -> Result<(Flags, Flags), Diagnostics> {
    let mut first = None;
    let mut errors = Diagnostics::default();
    for directive in uses {
        errors.extend(directive.args().end().err());
        let (mut query, mut reply) = (Flags::default(), Flags::default());
        for line in directive.options() {
            if let Err(problem) = one(line, &mut query, &mut reply) {
                errors.push(problem);
            }
        }
        if first.is_none() && !(query.is_empty() && reply.is_empty()) {
            first = Some((query, reply));
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    first.ok_or_else(|| {
        let span = uses.first().map_or_else(Default::default, |directive| directive.name.span);
        Diagnostic::error(span, "`header` has no rule")
            .label("the directive has no effect")
            .help("add a rule to its block, such as `response set ra`")
            .into()
    })
}

fn one(line: &Directive, query: &mut Flags, reply: &mut Flags) -> Result<(), Diagnostic> {
    line.no_body()?;
    let flags = match line.name.text.to_ascii_lowercase().as_str() {
        "query" => query,
        "response" => reply,
        _ => return Err(unknown(&line.name, "selector", &["query", "response"])),
    };
    let mut args = line.args();
    let action = args.required("`set` or `clear`")?;
    let on = match action.text.to_ascii_lowercase().as_str() {
        "set" => true,
        "clear" => false,
        _ => return Err(unknown(action, "flag action", &["set", "clear"])),
    };
    let mut word = args.required("a flag")?;
    loop {
        let flag = match word.text.to_ascii_lowercase().as_str() {
            "aa" => Flag::Authoritative,
            "ra" => Flag::RecursionAvailable,
            "rd" => Flag::RecursionDesired,
            _ => return Err(unknown(word, "flag", &["aa", "ra", "rd"])),
        };
        flags.0.push((flag, on));
        match args.next() {
            Some(next) => word = next,
            None => return Ok(()),
        }
    }
}

fn unknown(word: &Token, what: &str, known: &[&str]) -> Diagnostic {
    let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    Diagnostic::error(word.span, format!("unknown {what} `{}`", word.as_str()))
        .label(format!("expected {}", known.join(" or ")))
        .help("write each rule in the form `response set ra`")
}
