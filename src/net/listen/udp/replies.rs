//! Replies on their way out: of a batch, and of queries that waited.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::{io, mem};

use exchange::{Exchange, Outcome};
use sys::{BATCH, Datagram, Sender, Sent};
use wire::{Moment, Transport};

use crate::listen::pool::{self, Exchanges};

/// Replies that a socket sends with one system call.
pub(super) trait Replies {
    /// Sends all replies but the first `skipped`.
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent;

    /// How many there are.
    fn count(&self) -> usize;
}

/// Whether the reply is sent. No client has port 0: such a source address is forged.
fn is_sent(exchange: &Exchange) -> bool {
    exchange.outcome.is_send() && exchange.query.client.peer.port() != 0
}

/// The queries of one system call, and their replies.
pub(super) struct Batch {
    datagrams: sys::Batch,
    exchanges: Exchanges,
    /// Queries of this batch. Their buffers are in `exchanges`.
    received: usize,
}

impl Batch {
    /// An empty batch; `wildcard` for sockets that are bound to all addresses.
    pub(super) fn new(wildcard: bool) -> Self {
        Self { datagrams: sys::Batch::new(wildcard), exchanges: Vec::new(), received: 0 }
    }

    /// Whether the last receive filled the batch: there may be more queries.
    pub(super) fn is_full(&self) -> bool {
        self.datagrams.is_full()
    }

    /// Receives the datagrams in the socket, at most a batch. [`Batch::queries`] makes them queries.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let used = &mut self.exchanges[..mem::take(&mut self.received)];
        for (exchange, buffer) in used.iter_mut().zip(self.datagrams.messages_mut()) {
            mem::swap(exchange.query.buffer_mut(), buffer);
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
        if self.exchanges.len() < received {
            self.exchanges.resize_with(received, pool::take);
        }
        for (n, exchange) in self.exchanges[..received].iter_mut().enumerate() {
            exchange.outcome = Outcome::Silent;
            let query = &mut exchange.query;
            if n >= self.received {
                mem::swap(query.buffer_mut(), &mut self.datagrams.messages_mut()[n]);
            }
            let (peer, to) = self.datagrams.addresses(n);
            query.client.peer = peer;
            query.client.local = to.map_or(local, |ip| SocketAddr::new(ip, local.port()));
            query.client.transport = Transport::Udp;
            query.client.tls13 = false;
            query.client.worker = worker;
            query.client.received = now;
        }
        self.received = received;
        self.exchanges()
    }

    /// The queries received.
    pub(super) fn exchanges(&mut self) -> &mut [Box<Exchange>] {
        &mut self.exchanges[..self.received]
    }

    fn replies(exchanges: &[Box<Exchange>]) -> impl Iterator<Item = (usize, &[u8])> {
        let sent = exchanges.iter().enumerate().filter(|(_, exchange)| is_sent(exchange));
        sent.map(|(n, exchange)| (n, exchange.reply.bytes()))
    }
}

impl Replies for Batch {
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent {
        let replies = Self::replies(&self.exchanges[..self.received]);
        self.datagrams.reply(fd, replies.skip(skipped))
    }

    fn count(&self) -> usize {
        Self::replies(&self.exchanges[..self.received]).count()
    }
}

/// Replies to queries that waited.
pub(super) struct DeferredReplies {
    exchanges: Exchanges,
    sender: Sender,
    wildcard: bool,
}

impl DeferredReplies {
    /// For replies that leave through a socket of this address family; `wildcard` if it is bound to
    /// all addresses.
    pub(super) fn new(wildcard: bool, v6: bool) -> Self {
        Self { exchanges: Vec::with_capacity(BATCH), sender: Sender::new(v6), wildcard }
    }

    /// Whether one system call cannot take more.
    pub(super) fn is_full(&self) -> bool {
        self.exchanges.len() == BATCH
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Adds a reply, if it is one to be sent and there is room.
    pub(super) fn push(&mut self, exchange: Box<Exchange>) {
        if is_sent(&exchange) && !self.is_full() {
            self.exchanges.push(exchange);
        } else {
            pool::give(exchange);
        }
    }

    /// Returns all exchanges to the pool.
    pub(super) fn clear(&mut self) {
        self.exchanges.drain(..).for_each(pool::give);
    }
}

impl Replies for DeferredReplies {
    fn send(&mut self, fd: BorrowedFd<'_>, skipped: usize) -> Sent {
        let wildcard = self.wildcard;
        let datagrams = self.exchanges.iter().skip(skipped).map(|exchange| Datagram {
            bytes: exchange.reply.bytes(),
            to: exchange.query.client.peer,
            from: source(exchange, wildcard),
        });
        self.sender.send(fd, datagrams)
    }

    fn count(&self) -> usize {
        self.exchanges.len()
    }
}

/// The source address of a reply: the destination of the query, if the socket has several.
fn source(exchange: &Exchange, wildcard: bool) -> Option<SocketAddr> {
    let mut from = exchange.query.client.local;
    if !wildcard || from.ip().is_multicast() {
        return None;
    }
    if let (SocketAddr::V6(from), SocketAddr::V6(peer)) = (&mut from, exchange.query.client.peer)
        && from.ip().is_unicast_link_local()
    {
        from.set_scope_id(peer.scope_id());
    }
    Some(from)
}
