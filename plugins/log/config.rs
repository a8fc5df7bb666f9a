//! The arguments of `log`.

use chain::ZoneSet;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Name;

use super::class::Classes;
use super::format::Format;

/// Which queries are logged, and how.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) zones: ZoneSet,
    pub(super) format: Format,
    pub(super) classes: Classes,
}

/// The rules of a block in order, and warnings about them.
pub(super) fn parse(
    uses: &[&Directive],
    has_metadata: bool,
) -> Result<(Vec<Rule>, Diagnostics), Diagnostics> {
    let mut rules = Vec::new();
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    for directive in uses {
        let (names, format) = match directive.args.as_slice() {
            // A single argument is a name, whatever it looks like.
            [one] => {
                if one.as_str().contains('{') {
                    warnings.push(lonely_format(one));
                }
                (std::slice::from_ref(one), None)
            }
            [names @ .., last] if last.as_str().contains('{') => (names, Some(last)),
            names => (names, None),
        };
        let parsed = format.map_or_else(Format::default, |token| Format::parse(token.as_str()));
        if let (Some(token), Some(text)) = (format, parsed.text()) {
            warnings.extend(text.warnings("log", token, has_metadata));
        }
        let mut zones = Vec::new();
        for token in names {
            match Name::from_text(token.as_str()) {
                Ok(name) => zones.push(name.to_lower()),
                Err(problem) => errors.push(
                    Diagnostic::error(
                        token.span,
                        format!("`{}` is not a name: {problem}", token.as_str()),
                    )
                    .label("expected a domain name")
                    .help(
                        "write `log [NAMES...] [FORMAT]`; a FORMAT contains placeholders in braces",
                    ),
                ),
            }
        }
        let zones = if names.is_empty() { ZoneSet::all() } else { ZoneSet::new(zones) };
        match classes(directive) {
            Ok(classes) => rules.push(Rule { zones, format: parsed, classes }),
            Err(problems) => errors.extend(problems),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok((rules, warnings)) }
}

/// The classes in the block; all if it names none.
fn classes(directive: &Directive) -> Result<Classes, Diagnostics> {
    let mut classes = Classes::default();
    let mut errors = Diagnostics::default();
    for option in directive.options() {
        errors.extend(option.no_body().err());
        if option.name.as_str() != "class" {
            errors.push(directive.unknown_option(option, &["class"]));
            continue;
        }
        errors.extend(option.args().required("CLASS").err());
        for token in &option.args {
            match classes.with(token.as_str()) {
                Some(more) => classes = more,
                None => errors.push(unknown_class(token)),
            }
        }
    }
    match (errors.has_errors(), classes == Classes::default()) {
        (true, _) => Err(errors),
        (false, true) => Ok(Classes::ALL),
        (false, false) => Ok(classes),
    }
}

fn unknown_class(token: &Token) -> Diagnostic {
    let known = ["all", "success", "denial", "error"];
    let error = Diagnostic::error(token.span, format!("invalid Class: `{}`", token.as_str()))
        .label("expected `all`, `success`, `denial` or `error`");
    match corefile::nearest(token.as_str(), known) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help("omit `class` to log all replies"),
    }
}

fn lonely_format(token: &Token) -> Diagnostic {
    let text = token.as_str();
    Diagnostic::warning(token.span, format!("`{text}` is interpreted as a name, not as a format"))
        .label("a single argument is a name, as in CoreDNS")
        .help(format!("write `log . \"{text}\"` to log all queries in this format"))
}
