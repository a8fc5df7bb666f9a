//! The octets that a connection writes: answers, and at most one message of a reply of several.

use std::time::Duration;

use tokio::time::Instant;

use super::outbox::Ticket;
use super::scratch;

/// Octets of answers beyond which no more queries are taken up, and no more answers collected.
pub(super) const ENOUGH: usize = 64 << 10;

/// The output of one connection.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Octets of `bytes` that the socket has taken.
    written: usize,
    /// Since when the socket takes no octet.
    blocked: Option<Instant>,
    part: Option<Part>,
}

/// A message of several in the output.
struct Part {
    /// Where it ends.
    end: usize,
    len: usize,
    _ticket: Ticket,
}

impl Output {
    /// Takes the worker's buffer, unless this connection has its own.
    pub(super) fn borrow_buffer(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = scratch::take_output();
        }
    }

    /// Returns the buffer when all of it is written.
    pub(super) fn return_buffer(&mut self) {
        if self.bytes.is_empty() {
            scratch::give_output(std::mem::take(&mut self.bytes));
        }
    }

    /// Appends an answer. A message that is longer than DNS permits is left out.
    pub(super) fn push(&mut self, message: &[u8]) {
        if let Ok(len) = u16::try_from(message.len()) {
            self.bytes.extend_from_slice(&len.to_be_bytes());
            self.bytes.extend_from_slice(message);
        }
    }

    /// Appends a message of several. Its ticket is released when it is written.
    pub(super) fn push_part(&mut self, message: &[u8], ticket: Ticket) {
        let before = self.bytes.len();
        self.push(message);
        let end = self.bytes.len();
        self.part = (end > before).then_some(Part { end, len: end - before, _ticket: ticket });
    }

    /// Whether a message of several is in the output.
    pub(super) fn has_part(&self) -> bool {
        self.part.is_some()
    }

    /// Octets of answers in the output.
    pub(super) fn answers(&self) -> usize {
        self.bytes.len() - self.part.as_ref().map_or(0, |part| part.len)
    }

    /// Octets that the socket has not taken.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether octets wait for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.written < self.bytes.len()
    }

    /// Whether no more queries are read until the client reads. Behind a message of several, answers go on.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_blocked() && (self.part.is_none() || self.answers() >= ENOUGH)
    }

    /// The socket has taken octets.
    pub(super) fn wrote(&mut self, octets: usize) {
        self.written += octets;
        self.blocked = None;
        if self.part.as_ref().is_some_and(|part| part.end <= self.written) {
            self.part = None;
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// The socket takes no more octets now; it may have taken some that are not counted as written yet.
    pub(super) fn block(&mut self, progressed: bool) {
        if progressed || self.blocked.is_none() {
            self.blocked = Some(Instant::now());
        }
    }

    /// When the client must have taken an octet.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.blocked.map(|since| since + timeout)
    }
}
