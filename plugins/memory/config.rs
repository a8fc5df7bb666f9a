//! The argument of `memory`: a size.

use chain::memory::parse_limit;
use corefile::{Diagnostic, Directive};

/// The process itself takes some MiB.
const LEAST: u64 = 16 << 20;

/// Reads the directive.
///
/// # Errors
/// The size is missing, is none or too small, or something follows it.
pub(super) fn parse(directive: &Directive) -> Result<u64, Diagnostic> {
    let mut args = directive.args();
    let size = args.required("SIZE")?;
    args.end()?;
    directive.no_body()?;
    let text = size.as_str();
    let wrong = |problem: String| {
        Diagnostic::error(size.span, problem)
            .label("expected a size")
            .help("write for example `memory 128MiB`")
    };
    match parse_limit(text) {
        Ok(Some(limit @ LEAST..)) => Ok(limit),
        Ok(Some(_)) => {
            Err(wrong(format!("`{text}` is too small")).label("expected at least 16MiB"))
        }
        Ok(None) => Err(wrong(format!("`{text}` is not a size"))),
        Err(problem) => Err(wrong(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corefile::{Span, Token};

    fn parse(line: &str) -> Result<u64, String> {
        let token = |text: &str| Token { text: text.into(), span: Span::default(), quoted: false };
        let mut words = line.split(' ').map(token);
        let directive = Directive {
            name: words.next().unwrap(),
            args: words.collect(),
            body: None,
            span: Span::default(),
            end: Span::default(),
        };
        super::parse(&directive).map_err(|problem| problem.message)
    }

    #[test]
    fn a_size_and_nothing_else() {
        assert_eq!(parse("memory 128MiB"), Ok(128 << 20));
        assert_eq!(parse("memory 16777216"), Ok(16 << 20));
        assert_eq!(parse("memory 15MiB").unwrap_err(), "`15MiB` is too small");
        assert_eq!(parse("memory off").unwrap_err(), "`off` is not a size");
        assert!(parse("memory 128MB").unwrap_err().contains("`MB` is not a unit"));
        for wrong in ["memory", "memory 1GiB 2GiB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
