//! The argument of `hello`: the text.
use corefile::{Diagnostic, Directive};

/// Reads the directive.
///
/// # Errors
/// The text is missing or too long, or something follows it.
pub(super) fn parse(directive: &Directive) -> Result<String, Diagnostic> {
    let mut args = directive.args();
    let text = args.required("a text")?;
    args.end()?;
    directive.no_body()?;
    if text.as_str().len() > 255 {
        return Err(
            Diagnostic::error(text.span, "the text is longer than 255 bytes").help("shorten it")
        );
    }
    Ok(text.text.clone())
}
