//! The Corefile: text to server blocks, with the place of everything.
//!
//! The grammar is that of CoreDNS (snippets, `import`, environment, quotes, the comment rule) with
//! sub-blocks at any depth. Parsing never stops at the first mistake: it returns what it understood
//! and every [`Diagnostic`].
//!
//! It must never know: DNS, plugins, or files other than through its [`Loader`].

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests read clocks, write files and open sockets"
    )
)]

mod block;
mod braces;
mod diagnostic;
mod import;
mod lex;
mod loader;
mod parse;
mod record;
mod render;
mod source;
mod suggest;
mod value;
mod variables;

pub use block::{Args, Corefile, Directive, ServerBlock, Token};
pub use diagnostic::{Diagnostic, Diagnostics, Location, Place, Severity};
pub use loader::{Loader, MAX_FILE, MemoryLoader, NoFiles, OsLoader};
pub use parse::{parse, parse_behind};
pub use record::Record;
pub use render::{render, render_json};
pub use source::{FileId, Sources, Span};
pub use suggest::nearest;
pub use value::{Cidr, FromToken, Percent, Seconds, counted, show_duration};
