//! A finding as one record of a log: no picture, and fields for programs.

use std::fmt;

use super::render::one_line;
use crate::{Diagnostic, Sources};

/// A finding, shown as `FILE:LINE:COLUMN: message; help`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// File, line and column of the mistake, as editors count.
    pub place: Option<(String, usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Record {
    /// The record of a finding.
    pub fn new(finding: &Diagnostic, sources: &Sources) -> Self {
        let finding = &finding.without_secrets(sources);
        let place = finding.locations(sources).first().map(|place| {
            (one_line(place.file), place.line.unwrap_or(1), place.column.unwrap_or(1))
        });
        Self {
            place,
            message: one_line(&finding.message),
            help: finding.help.as_deref().map(one_line),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = &self.place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn a_record_is_one_line() {
        let mut sources = Sources::default();
        let file = sources.add("dir/Corefile".to_owned(), ". {\n  nosuch\n}\n".to_owned());
        let span = Span { file, start: 6, end: 12 };
        let record = |finding: &Diagnostic| Record::new(finding, &sources).to_string();
        let finding = Diagnostic::error(span, "no\nsuch").label("here").note("more");
        assert_eq!(record(&finding), "dir/Corefile:2:3: no such");
        assert_eq!(record(&finding.help("try this")), "dir/Corefile:2:3: no such; try this");
        assert_eq!(record(&Diagnostic::general("in use").help("wait")), "in use; wait");
    }
}
