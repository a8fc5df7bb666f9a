//! What a plugin decides about a query.

use wire::Failure;

/// What a plugin decided about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pass the query to the next plugin.
    Next,
    /// The reply is written.
    Done,
    /// Send no reply to the client.
    Drop,
    /// The reply is written. Also run this plugin's `serve_dns` in the background, on a copy of the
    /// query with `refresh` set.
    Refresh,
    /// The plugin must wait: call its `serve_dns`.
    Wait,
}

/// A decision, or the reason why the query fails here.
pub type Served = Result<Step, Failure>;
