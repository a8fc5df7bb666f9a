//! The options of `filter`.

use chain::ZoneSet;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::{Name, Rtype};

/// When addresses of one family are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In any case.
    Always,
    /// Where the name has addresses of the other family.
    OnlyWithOther,
}

/// The options of one directive.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub(super) zones: ZoneSet,
    pub(super) aaaa: Option<Mode>,
    pub(super) a: Option<Mode>,
    /// Whether signed answers are changed, too, although validating clients reject them.
    pub(super) break_dnssec: bool,
}

impl Rule {
    /// When addresses of this type are left out; never, if it is no address.
    pub(super) fn mode(&self, rtype: Rtype) -> Option<Mode> {
        match rtype {
            Rtype::AAAA => self.aaaa,
            Rtype::A => self.a,
            _ => None,
        }
    }
}

const OPTIONS: &[&str] = &["aaaa", "a", "break_dnssec"];

/// One rule for each directive of a block, whose zones are `default`.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(uses: &[&Directive], default: &[Name]) -> Result<Vec<Rule>, Diagnostics> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut rule = Rule::default();
        match ZoneSet::from_args(&directive.args, default) {
            Ok(zones) => rule.zones = zones,
            Err(error) => errors.push(error),
        }
        let before = rules.iter().flat_map(|rule| rule.zones.iter());
        if let Some(twice) = before.into_iter().find(|zone| rule.zones.iter().any(|z| z == *zone)) {
            let message = format!("zone `{twice}` already has a `filter`");
            errors.push(
                Diagnostic::error(directive.span, message)
                    .label("this is the second `filter` for the zone")
                    .help("merge the options of both into one block"),
            );
        }
        let mut wrong = false;
        for option in directive.options() {
            if let Err(error) = one(option, directive, &mut rule) {
                errors.push(error);
                wrong = true;
            }
        }
        if !wrong {
            errors.extend(together(directive, &rule));
        }
        rules.push(rule);
    }
    if errors.has_errors() { Err(errors) } else { Ok(rules) }
}

fn one(option: &Directive, directive: &Directive, rule: &mut Rule) -> Result<(), Diagnostic> {
    let mut args = option.args();
    match option.name.as_str() {
        "aaaa" => rule.aaaa = Some(mode(args.next(), "only_with_a")?),
        "a" => rule.a = Some(mode(args.next(), "only_with_aaaa")?),
        "break_dnssec" => rule.break_dnssec = true,
        _ => return Err(directive.unknown_option(option, OPTIONS)),
    }
    args.end()?;
    option.no_body()
}

fn mode(word: Option<&Token>, condition: &str) -> Result<Mode, Diagnostic> {
    match word {
        None => Ok(Mode::Always),
        Some(word) if word.as_str() == condition => Ok(Mode::OnlyWithOther),
        Some(word) => {
            Err(Diagnostic::error(word.span, format!("`{}` is not a condition", word.as_str()))
                .label(format!("expected `{condition}` or nothing"))
                .help(format!("write `{condition}`, or omit it to filter unconditionally")))
        }
    }
}

/// Checks the options together.
fn together(directive: &Directive, rule: &Rule) -> Option<Diagnostic> {
    match (rule.aaaa, rule.a) {
        (None, None) => Some(
            Diagnostic::error(directive.span, "`filter` has no type to filter")
                .label("its block has neither `aaaa` nor `a`")
                .help("add a block with the line `aaaa` or `a`"),
        ),
        (Some(Mode::OnlyWithOther), Some(_)) | (Some(_), Some(Mode::OnlyWithOther)) => {
            let is_conditional = |line: &&Directive| {
                line.args.first().is_some_and(|word| word.as_str().starts_with("only_with"))
            };
            let place = directive.options().iter().find(is_conditional);
            Some(
                Diagnostic::error(
                    place.map_or(directive.span, |line| line.span),
                    "`filter` also removes the addresses that the condition requires",
                )
                .label("a name would lose its addresses of both families")
                .help("filter one type only, or both without a condition"),
            )
        }
        _ => None,
    }
}
