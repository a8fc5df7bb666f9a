//! The argument of `multisocket`.

use corefile::{Diagnostic, Diagnostics, Directive, Token};

/// The most sockets of one listener.
const MOST: usize = 1024;

/// The number of sockets in the directive, if it has one.
///
/// # Errors
/// The argument is no number or out of range, or another argument follows.
pub(super) fn parse(directive: &Directive) -> Result<Option<usize>, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut args = directive.args();
    let count = args.next().map(number).transpose();
    errors.extend(args.end().err());
    errors.extend(directive.no_body().err());
    match count {
        Ok(count) if !errors.has_errors() => Ok(count),
        Ok(_) => Err(errors),
        Err(error) => {
            errors.push(error);
            Err(errors)
        }
    }
}

fn number(token: &Token) -> Result<usize, Diagnostic> {
    let wrong = |message: String| {
        Diagnostic::error(token.span, message)
            .label(format!("expected a whole number from 1 to {MOST}"))
            .help("omit the number to open one socket per worker")
    };
    let text = token.as_str();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong(format!("invalid num sockets: `{text}`")));
    }
    // A number that does not fit is out of range, too.
    match digits.parse().unwrap_or(usize::MAX) {
        count if text.starts_with('-') || count == 0 => {
            Err(wrong(format!("num sockets can not be zero or negative: {text}")))
        }
        count if count > MOST => {
            Err(wrong(format!("num sockets exceeds maximum ({MOST}): {text}")))
        }
        count => Ok(count),
    }
}
