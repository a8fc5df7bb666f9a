//! Places in files.

/// Which of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct FileId(pub(crate) u32);

/// A stretch of a file: byte offsets of the text the user must edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of `last`, if both are in one file.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        if self.file == last.file && last.end >= self.start {
            Self { end: last.end, ..self }
        } else {
            self
        }
    }
}

/// Every file that was read, imported ones included.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<(String, String)>,
    /// What words with variables became, and of how many words that is, in the order in which they
    /// were read.
    expanded: Vec<(Span, String, usize)>,
}

impl Sources {
    pub(crate) fn add(&mut self, name: String, text: String) -> FileId {
        self.files.push((name, text));
        FileId(self.files.len() as u32 - 1)
    }

    /// Keeps what the word at `span` became when its variables were put in: so many words.
    pub(crate) fn expand(&mut self, span: Span, text: &str, words: usize) {
        if self.expanded.iter().all(|(known, ..)| *known != span) {
            self.expanded.push((span, text.to_owned(), words));
        }
    }

    /// The words within `span` that have variables: as they are written, what they became, and of how
    /// many words that is.
    pub(crate) fn expanded(&self, span: Span) -> impl Iterator<Item = (&str, &str, usize)> {
        let inside = move |word: &Span| {
            word.file == span.file && word.start >= span.start && word.end <= span.end
        };
        self.expanded.iter().filter(move |(word, ..)| inside(word)).map(|(word, became, words)| {
            let written = self.text(word.file).get(word.start as usize..word.end as usize);
            (written.unwrap_or_default(), became.as_str(), *words)
        })
    }

    /// The name a file was read by.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(name, _)| name)
    }

    /// A file's text.
    pub fn text(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(_, text)| text)
    }

    /// The names of all files, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }

    /// Line and column of the start of a span, both from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        self.position(span.file, span.start)
    }

    pub(crate) fn position(&self, file: FileId, offset: u32) -> (usize, usize) {
        let text = self.text(file);
        let mut at = (offset as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}
