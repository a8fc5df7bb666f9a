//! Replies on their way out: of a batch, and of queries that waited.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::{io, mem};

use sys::{BATCH, Datagram, Sender, Sent};
use wire::{Moment, Transport};

use crate::pool::{self, Slots};
use exchange::{Exchange, Outcome};

/// Replies that a socket sends with one system call.
pub(super) trait Replies {
    /// Sends all replies but the first `skipped`.
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent;

    /// How many there are.
    fn count(&self) -> usize;
}

/// Whether the reply in this slot is sent. No client has port 0: such a source address is forged.
fn is_sent(slot: &Exchange) -> bool {
    slot.outcome.is_send() && slot.query.client.peer.port() != 0
}

/// The queries of one system call, and their replies.
pub(super) struct Batch {
    datagrams: sys::Batch,
    slots: Slots,
    /// Queries of this batch. Their buffers are in `slots`.
    received: usize,
}

impl Batch {
    /// An empty batch; `wildcard` for sockets that are bound to all addresses.
    pub(super) fn new(wildcard: bool) -> Self {
        Self { datagrams: sys::Batch::new(wildcard), slots: Vec::new(), received: 0 }
    }

    /// Whether the last receive filled the batch: there may be more queries.
    pub(super) fn is_full(&self) -> bool {
        self.datagrams.is_full()
    }

    /// Receives the datagrams in the socket, at most a batch. [`Batch::queries`] makes them queries.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let used = &mut self.slots[..mem::take(&mut self.received)];
        for (slot, buffer) in used.iter_mut().zip(self.datagrams.messages_mut()) {
            mem::swap(slot.query.buffer_mut(), buffer);
        }
        self.datagrams.receive(fd)
    }

    /// The queries received, each with its source and the time of its arrival.
    pub(super) fn queries(
        &mut self,
        local: SocketAddr,
        worker: usize,
        now: Moment,
    ) -> &mut [Box<Exchange>] {
        let received = self.datagrams.messages_mut().len();
        if self.slots.len() < received {
            self.slots.resize_with(received, pool::take);
        }
        for (n, slot) in self.slots[..received].iter_mut().enumerate() {
            slot.outcome = Outcome::Silent;
            let query = &mut slot.query;
            if n >= self.received {
                mem::swap(query.buffer_mut(), &mut self.datagrams.messages_mut()[n]);
            }
            let (peer, to) = self.datagrams.addresses(n);
            query.client.peer = peer;
            query.client.local = to.map_or(local, |ip| SocketAddr::new(ip, local.port()));
            query.client.transport = Transport::Udp;
            query.client.worker = worker;
            query.client.received = now;
        }
        self.received = received;
        self.slots()
    }

    /// The queries received.
    pub(super) fn slots(&mut self) -> &mut [Box<Exchange>] {
        &mut self.slots[..self.received]
    }

    fn replies(slots: &[Box<Exchange>]) -> impl Iterator<Item = (usize, &[u8])> {
        let sent = slots.iter().enumerate().filter(|(_, slot)| is_sent(slot));
        sent.map(|(n, slot)| (n, slot.reply.bytes()))
    }
}

impl Replies for Batch {
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent {
        let replies = Self::replies(&self.slots[..self.received]);
        self.datagrams.reply(fd, replies.skip(skipped))
    }

    fn count(&self) -> usize {
        Self::replies(&self.slots[..self.received]).count()
    }
}

/// Replies to queries that waited.
pub(super) struct DeferredReplies {
    slots: Slots,
    sender: Sender,
    wildcard: bool,
}

impl DeferredReplies {
    /// For replies that leave through a socket of this address family; `wildcard` if it is bound to
    /// all addresses.
    pub(super) fn new(wildcard: bool, v6: bool) -> Self {
        Self { slots: Vec::with_capacity(BATCH), sender: Sender::new(v6), wildcard }
    }

    /// Whether one system call cannot take more.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() == BATCH
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a reply, if it is one to be sent and there is room.
    pub(super) fn push(&mut self, slot: Box<Exchange>) {
        if is_sent(&slot) && !self.is_full() {
            self.slots.push(slot);
        } else {
            pool::give(slot);
        }
    }

    /// Returns all slots to the pool.
    pub(super) fn clear(&mut self) {
        self.slots.drain(..).for_each(pool::give);
    }
}

impl Replies for DeferredReplies {
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent {
        let wildcard = self.wildcard;
        let datagrams = self.slots.iter().skip(skipped).map(|slot| Datagram {
            bytes: slot.reply.bytes(),
            to: slot.query.client.peer,
            from: source(slot, wildcard),
        });
        self.sender.send(fd, datagrams)
    }

    fn count(&self) -> usize {
        self.slots.len()
    }
}

/// The source address of a reply: the destination of the query, if the socket has several.
fn source(slot: &Exchange, wildcard: bool) -> Option<SocketAddr> {
    let mut from = slot.query.client.local;
    if !wildcard || from.ip().is_multicast() {
        return None;
    }
    if let (SocketAddr::V6(from), SocketAddr::V6(peer)) = (&mut from, slot.query.client.peer)
        && from.ip().is_unicast_link_local()
    {
        from.set_scope_id(peer.scope_id());
    }
    Some(from)
}
