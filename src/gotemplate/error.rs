//! Mistakes, and the bounds of an evaluation.

/// The longest text that a template or one of its functions may produce, in bytes.
pub const MAX_OUTPUT: usize = 1 << 16;
/// How many steps an evaluation may take. Commands, turns of a loop and invoked templates are steps;
/// so are 64 bytes of a function's text.
pub(crate) const MAX_STEPS: u32 = 20_000;
/// How deep templates may invoke each other.
pub(crate) const MAX_DEPTH: u32 = 50;
/// How deep an evaluation may nest: invoked templates, blocks and parentheses together. Each level
/// takes up to five stack frames, and a worker's stack has 2 MB.
pub(crate) const MAX_NESTING: u32 = 200;

/// A mistake in a template, or an evaluation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The offset in the template.
    pub at: usize,
    /// The mistake.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Error {
    #[cold]
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }
}
