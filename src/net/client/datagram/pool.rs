//! Datagrams to one upstream: many sockets, each with few queries at a time.
//!
//! A socket for each query costs as much as the rest of it. So sockets are kept open and queries share
//! them, in a way that leaves a forger the port to guess besides the id (RFC 5452 section 9.2):
//!
//! - The system chooses each port at random. As many sockets as permitted are opened, one at a time
//!   as queries come, before a socket is used again.
//! - A handful of queries that leave at the same time go by one socket, chosen at random among
//!   those that were not used for the longest time. A forger who finds an open port has one of a thousand,
//!   and one that was just used is not used again soon.
//! - A socket lives for a few seconds.
//!
//! The sockets are connected, so the system hands up nothing that others send.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::descriptor::{Descriptor, LEAST_PORTS};
use super::port::{Admission, Port, PortOwner, Ticket, Watch};
use crate::client::network::{Accept, Ends, Network, Outgoing, Patience};
use crate::client::simulated;
use crate::random;

/// Sockets to one upstream that a worker opens: so many ports have ten thousand queries in a row, where
/// nine of them leave together at most.
const PORTS: usize = 1100;
/// The same for all workers together, however many there are.
const PORTS_OF_ALL: usize = 16_384;
/// The next socket is one of this share of all: those that were not used for the longest time.
const CHOICE: usize = 8;

/// Sockets to one upstream, of one worker or of all.
pub struct DatagramPool {
    pool: Arc<Pool>,
}

/// What a pool and its sockets share.
struct Pool {
    open: Mutex<Open>,
    /// Sockets that are open at the same time.
    most: usize,
    watch: Arc<dyn Watch>,
}

#[derive(Default)]
struct Open {
    /// Those that new queries may go by; the one that was used last is the last.
    ports: VecDeque<Arc<Port>>,
    /// The one by which those that leave now go.
    filling: Option<Arc<Port>>,
    /// Sockets that ended since all of them were looked through.
    ended: usize,
}

impl Open {
    /// One of those that were not used for long. It is the last now.
    fn draw(&mut self) -> io::Result<Option<Arc<Port>>> {
        let choice = (self.ports.len() / CHOICE).max(self.ports.len().min(LEAST_PORTS));
        if choice == 0 {
            return Ok(None);
        }
        let chosen = usize::from(u16::from_le_bytes(random::bytes()?)) % choice;
        self.ports.swap(0, chosen);
        self.ports.rotate_left(1);
        Ok(self.ports.back().map(Arc::clone))
    }

    /// Takes out this one, which is one of the last.
    fn take_out(&mut self, port: &Arc<Port>) {
        if let Some(at) = self.ports.iter().rposition(|one| Arc::ptr_eq(one, port)) {
            self.ports.remove(at);
        }
        port.retire();
    }
}

impl DatagramPool {
    /// No sockets yet. There is such a pool for each of so many workers.
    pub fn new(watch: Arc<dyn Watch>, workers: usize) -> Self {
        let most = PORTS.min(PORTS_OF_ALL / workers.max(1)).max(LEAST_PORTS);
        Self { pool: Arc::new(Pool { open: Mutex::default(), most, watch }) }
    }

    /// Sends a message and waits for a reply that
    /// `accept` accepts; other messages (forged, late) are ignored.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, which `patience` may extend; otherwise the system's error,
    /// `ConnectionRefused` among it.
    pub async fn ask(
        &self,
        network: &Network,
        sent: Outgoing<'_>,
        patience: Patience<'_>,
        accept: Accept<'_>,
    ) -> io::Result<Vec<u8>> {
        if let Network::Simulated(world) = network {
            self.pool.watch.leaves(false);
            // Boxed, as all that is rare here: what waits for each query stays small.
            return Box::pin(simulated::datagram(&**world, sent, patience, accept)).await;
        }
        let (ticket, reused) = self.pool.enter(sent.ends(), sent.message, sent.deadline)?;
        self.pool.watch.leaves(reused);
        sent.source.tell(|| ticket.port.local.ok_or_else(|| io::ErrorKind::NotConnected.into()));
        loop {
            match ticket.next().await {
                Ok(datagram) if accept(&datagram) => return Ok(datagram),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let more = patience().ok_or_else(|| ticket.port.tell(error))?;
                    let deadline = Instant::now() + more.wait;
                    ticket.wait_until(deadline, more.again.then_some(sent.message));
                }
                Err(error) => return Err(ticket.port.tell(error)),
            }
        }
    }
}

impl Pool {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a query on a socket; whether that carried others before.
    fn enter(
        self: &Arc<Self>,
        ends: Ends,
        message: &[u8],
        deadline: Instant,
    ) -> io::Result<(Ticket, bool)> {
        let mut open = self.open();
        if let Some(port) = open.filling.as_ref().filter(|port| port.ends == ends)
            && let Some(ticket) = port.enter(message, deadline, Admission::Batched)
        {
            return Ok((ticket, true));
        }
        if open.ports.len() < self.most
            && let Some(place) = Descriptor::take(open.ports.len())
        {
            match self.fresh(&mut open, place, ends, message, deadline) {
                // The system has no more of them than there are.
                Err(_) if !open.ports.is_empty() => {}
                outcome => return outcome,
            }
        }
        while let Some(port) = open.draw()? {
            let fits = port.ends == ends;
            let admission = Admission::Normal;
            if let Some(ticket) = fits.then(|| port.enter(message, deadline, admission)).flatten() {
                open.filling = Some(port);
                return Ok((ticket, true));
            }
            // Another takes its place; if there can be none, it goes on.
            let place = Descriptor::take(open.ports.len());
            if let Some(place) = place
                && let Ok(entered) = self.fresh(&mut open, place, ends, message, deadline)
            {
                open.take_out(&port);
                return Ok(entered);
            }
            let admission = Admission::Overflow;
            if let Some(ticket) = fits.then(|| port.enter(message, deadline, admission)).flatten() {
                open.filling = None;
                return Ok((ticket, true));
            }
            open.take_out(&port);
        }
        // The first of a pool always has a place.
        let place = Descriptor::take(0).ok_or(io::ErrorKind::QuotaExceeded)?;
        self.fresh(&mut open, place, ends, message, deadline)
    }

    /// Puts a query on a socket that is opened for it.
    fn fresh(
        self: &Arc<Self>,
        open: &mut Open,
        place: Descriptor,
        ends: Ends,
        message: &[u8],
        deadline: Instant,
    ) -> io::Result<(Ticket, bool)> {
        let owner: Arc<dyn PortOwner> = Arc::clone(self) as _;
        let port = Port::open(ends, owner, place)?;
        let ticket = port
            .enter(message, deadline, Admission::Normal)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        open.filling = Some(Arc::clone(&port));
        open.ports.push_back(port);
        Ok((ticket, false))
    }
}

impl PortOwner for Pool {
    fn stray(&self) {
        self.watch.stray();
    }

    /// A socket has ended. What is left of those that did goes when they are half of all.
    fn ended(&self) {
        let mut open = self.open();
        open.ended += 1;
        if open.ended * 2 > open.ports.len() {
            open.ended = 0;
            open.filling = None;
            open.ports.retain(|port| !port.is_retired());
            open.ports.shrink_to_fit();
        }
    }
}

impl Drop for DatagramPool {
    fn drop(&mut self) {
        let open = mem::take(&mut *self.pool.open());
        open.ports.iter().for_each(|port| port.retire());
    }
}
