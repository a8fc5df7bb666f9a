//! The transport's end of replies with several messages.

use crate::BoxFuture;

/// The client, or the transport's connection to it, no longer takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The transport's end for messages before the last one of a reply. The transport bounds the messages
/// in flight, and sends none before the client has read enough of the earlier ones.
pub trait Channel: Send + Sync {
    /// Sends one finished message; resolves when the next one may be made.
    ///
    /// Errors: the connection has ended.
    fn send<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), Gone>>;
}
