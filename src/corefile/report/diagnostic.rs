//! Diagnostics: a message, its positions, and help. Rendering them is up to `render`.

use crate::{Sources, Span};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration is valid, but may not do what the operator expects.
    Warning,
}

impl Severity {
    /// The word that is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A position in a file that the Corefile names: a zone, a hosts file, a certificate. The text of such a file is
/// not in memory, so the position includes its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as it can be opened.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 when the line as a whole is meant.
    pub column: u32,
    /// How many characters are meant.
    pub length: u32,
    /// The text of the line, or what is shown of a long one; empty if it cannot be shown.
    pub text: String,
    /// Label at the position.
    pub label: String,
}

impl Place {
    /// The whole of a file.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// A line of a file: all of it from its first word on.
    pub fn line(file: impl Into<String>, line: u32, text: &str) -> Self {
        let shown = text.trim_end();
        let blanks = shown.chars().take_while(|letter| letter.is_whitespace()).count();
        let letters = shown.chars().count() - blanks;
        Self {
            file: file.into(),
            line,
            column: u32::try_from(blanks + 1).unwrap_or(u32::MAX),
            length: u32::try_from(letters).unwrap_or(u32::MAX),
            text: shown.to_owned(),
            label: String::new(),
        }
    }

    /// The first `word` of a line of a file, or the line if it has none such.
    pub fn word(file: impl Into<String>, line: u32, text: &str, word: &str) -> Self {
        let whole = Self::line(file, line, text);
        let Some(before) = text.find(word).and_then(|at| text.get(..at)) else { return whole };
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Self { column: count(before).saturating_add(1), length: count(word), ..whole }
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}

/// A range as editors count it: lines and columns from 1, columns in characters. Unknown parts are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The file.
    pub file: &'a str,
    /// The first line.
    pub line: Option<usize>,
    /// The first column.
    pub column: Option<usize>,
    /// The last line.
    pub end_line: Option<usize>,
    /// The column behind the last one.
    pub end_column: Option<usize>,
    /// Label at the position.
    pub label: &'a str,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its severity.
    pub severity: Severity,
    /// What is wrong: lower case, no final period, backticks round user text.
    pub message: String,
    /// Where in the Corefile. If there are `places` this is the directive that names their file.
    pub span: Option<Span>,
    /// Label at the position in the Corefile.
    pub label: String,
    /// Where in files that the Corefile names: the mistake first, then what it has to do with.
    pub places: Vec<Place>,
    /// Further places in the Corefile that the finding has to do with, each with its label.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The log line of CoreDNS for the same, where it has one, since operators search for its words. Without one,
    /// the log has position, message and help.
    pub logged: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            places: Vec::new(),
            related: Vec::new(),
            help: None,
            notes: Vec::new(),
            logged: None,
        }
    }

    /// An error without a position: an address in use, a missing Corefile.
    pub fn general(message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(Span::default(), message) }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Sets the label at the position.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a place in a file that the Corefile names. The first one is where the mistake is.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Adds a related position in the Corefile.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what else is worth knowing.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets the line in the log of a server that serves with it.
    #[must_use]
    pub fn logged(mut self, line: impl Into<String>) -> Self {
        self.logged = Some(line.into());
        self
    }

    /// The same without the secrets of a Corefile, for everything that is shown or logged.
    #[must_use]
    pub fn without_secrets(&self, sources: &Sources) -> Self {
        let redact = |text: &String| sources.redact(text).into_owned();
        let mut shown = self.clone();
        shown.message = redact(&self.message);
        shown.label = redact(&self.label);
        shown.help = self.help.as_ref().map(redact);
        shown.logged = self.logged.as_ref().map(redact);
        shown.notes.iter_mut().for_each(|note| *note = redact(note));
        shown.related.iter_mut().for_each(|(_, label)| *label = redact(label));
        for place in &mut shown.places {
            (place.text, place.label) = (redact(&place.text), redact(&place.label));
        }
        shown
    }

    /// The position of the mistake, then the other positions in the same or other files, the directive that names
    /// the file, and the related positions.
    pub fn locations<'a>(&'a self, sources: &'a Sources) -> Vec<Location<'a>> {
        let mut all: Vec<Location<'a>> = self.places.iter().map(Location::from).collect();
        all.extend(self.span.map(|span| Location::of(span, &self.label, sources)));
        all.extend(self.related.iter().map(|(span, label)| Location::of(*span, label, sources)));
        all
    }
}

impl<'a> Location<'a> {
    /// A place in the Corefile.
    fn of(span: Span, label: &'a str, sources: &'a Sources) -> Self {
        let (line, column) = sources.position(span.file, span.start);
        let (end_line, end_column) = sources.position(span.file, span.end);
        Self {
            file: sources.name(span.file),
            line: Some(line),
            column: Some(column),
            end_line: Some(end_line),
            end_column: Some(end_column),
            label,
        }
    }
}

impl<'a> From<&'a Place> for Location<'a> {
    fn from(place: &'a Place) -> Self {
        let known = |number: u32| (number > 0).then_some(number as usize);
        let column = known(place.column);
        Self {
            file: &place.file,
            line: known(place.line),
            column,
            end_line: known(place.line),
            end_column: column.map(|column| column + place.length as usize),
            label: &place.label,
        }
    }
}

/// All findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds many.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(more);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// How many errors and how many warnings there are.
    pub fn count(&self) -> (usize, usize) {
        let errors = self.0.iter().filter(|it| it.severity == Severity::Error).count();
        (errors, self.0.len() - errors)
    }

    /// Makes an error of every warning.
    pub fn make_errors(&mut self) {
        self.0.iter_mut().for_each(|finding| finding.severity = Severity::Error);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorts them by file and position; those without a position come first.
    pub fn in_order(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.iter().collect();
        all.sort_by_key(|finding| finding.span.map(|span| (span.file, span.start)));
        all
    }

    /// Iterates over all.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
