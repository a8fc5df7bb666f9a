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
mod loader;
mod parse;
mod report;
mod source;
mod token;
mod value;

pub use block::{Args, Corefile, Directive, ServerBlock};
pub use loader::{Loader, MAX_FILE, MemoryLoader, NoFiles, OsLoader};
pub use parse::{parse, parse_behind};
pub use report::{
    Diagnostic, Diagnostics, Location, Place, Record, Severity, nearest, render, render_json,
};
pub use source::{FileId, Sources, Span};
pub use token::{FromToken, Token};
pub use value::{Cidr, Percent, Seconds, counted, show_duration};
