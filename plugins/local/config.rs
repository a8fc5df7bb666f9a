//! `local { localhost_prefix (on | off) }`.

use corefile::{Diagnostic, Diagnostics, Directive};

/// Whether names that start with `localhost` are answered.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(uses: &[&Directive]) -> Result<bool, Diagnostics> {
    let mut prefix = true;
    let mut errors = Diagnostics::default();
    for directive in uses {
        errors.extend(directive.args().end().err());
        for option in directive.options() {
            match one(option) {
                Ok(on) => prefix = on,
                Err(problem) => errors.push(problem),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(prefix) }
}

fn one(option: &Directive) -> Result<bool, Diagnostic> {
    option.no_body()?;
    let name = option.name.as_str();
    if name != "localhost_prefix" {
        return Err(Diagnostic::error(option.name.span, format!("unknown property '{name}'"))
            .label("not an option of `local`")
            .help("the only option is `localhost_prefix`, with the value `on` or `off`"));
    }
    let mut args = option.args();
    let word = args.required("`on` or `off`")?;
    args.end()?;
    match word.as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(Diagnostic::error(
            word.span,
            format!("localhost_prefix expects `on` or `off`, got `{other}`"),
        )
        .label("expected `on` or `off`")
        .help("write `localhost_prefix off` to pass such names to the next plugin")),
    }
}
