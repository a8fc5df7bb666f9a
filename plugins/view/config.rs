//! The arguments of `view`: a name and conditions.

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use expr::{Expr, Scope, Type};

/// The options of the directive.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) conditions: Vec<Expr>,
    /// The whole expression, as one text.
    pub(super) identity: String,
}

/// Reads the directive.
pub(super) fn parse(directive: &Directive) -> Result<Config, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut args = directive.args();
    let name = args.required("a name").map(Token::as_str).map_err(|error| errors.push(error));
    errors.extend(args.end().err());
    let scope = Scope::of_queries();
    let mut config = Config {
        name: name.unwrap_or_default().to_owned(),
        conditions: Vec::new(),
        identity: name.unwrap_or_default().to_owned(),
    };
    for option in directive.options() {
        if option.name.as_str() != "expr" {
            errors.push(directive.unknown_option(option, &["expr"]));
            continue;
        }
        errors.extend(option.no_body().err());
        match condition(option, &scope) {
            Ok(condition) => config.conditions.push(condition),
            Err(error) => errors.push(error),
        }
        for word in &option.args {
            config.identity.push(' ');
            config.identity.push_str(word.as_str());
        }
        config.identity.push(';');
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

/// One condition: an expression that may be true.
fn condition(option: &Directive, scope: &Scope) -> Result<Expr, Diagnostic> {
    option.args().required("an expression")?;
    let expr = expr::from_args(&option.args, scope)?;
    match expr.kind() {
        Type::Bool | Type::Any => Ok(expr),
        other => {
            let first = option.args[0].span;
            let last = option.args.last().map_or(first, |word| word.span);
            let span = corefile::Span { end: last.end.max(first.end), ..first };
            Err(Diagnostic::error(span, format!("the condition must be bool, but this is {other}"))
                .label("this is never true")
                .help("compare it with a value: `client_ip() == '192.0.2.1'`"))
        }
    }
}
