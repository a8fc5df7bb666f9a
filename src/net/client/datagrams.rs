//! Datagrams to one upstream: many sockets, each with few queries at a time.
//!
//! A socket for each query costs as much as the rest of it. So sockets are kept open and queries share
//! them, in a way that leaves a forger the port to guess besides the id (RFC 5452 section 9.2):
//!
//! - The system chooses each port at random. As many sockets as permitted are opened, one at a time
//!   as queries come, before a socket is used again.
//! - A handful of queries that leave at the same time go by one socket, chosen at random among
//!   those that were not used for the longest time. Who finds an open port has one of a thousand,
//!   and one that was just used is not used again soon.
//! - A socket lives for a few seconds.
//!
//! The sockets are connected, so the system hands up nothing that others send.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::port::{Company, Port, Ticket};
use super::{Accept, Ends, Network, Patience, Source, simulated};
use crate::workers::current_worker;
use crate::{descriptors, random};

/// Sockets to one upstream that a worker opens: so many ports have ten thousand queries in a row, where
/// nine of them leave together at most.
const PORTS: usize = 1100;
/// The same for all workers together, however many there are.
const PORTS_OF_ALL: usize = 16_384;
/// A pool has so many, however many pools there are, unless descriptors are scarce.
const LEAST_PORTS: usize = 16;
/// Sockets to all upstreams of the process, those of pools with no more than the least aside.
const ALL_PORTS: usize = 16_384;
/// The next socket is one of this share of all: those that were not used for the longest time.
const CHOICE: usize = 8;

/// Sockets to one upstream, of one worker or of all.
pub struct DatagramPool {
    pool: Arc<Pool>,
}

/// What a pool and its sockets share.
pub(super) struct Pool {
    open: Mutex<Open>,
    /// Sockets that are open at the same time.
    most: usize,
    pub(super) watch: Arc<dyn Watch>,
}

/// Whoever counts what goes by the sockets of a pool.
pub trait Watch: Send + Sync {
    /// A query leaves: by a socket that carried others, or by a fresh one.
    fn leaves(&self, reused: bool);

    /// A datagram came that nobody waits for.
    fn stray(&self);
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

    /// Sends `message`, which begins with an id that cannot be guessed, and waits for a reply that
    /// `accept` says yes to; whatever else comes (forged, late) is ignored.
    ///
    /// # Errors
    /// `TimedOut` at `until`, or when what `patience` adds to it is over; else what the system says,
    /// `ConnectionRefused` among it.
    #[expect(clippy::too_many_arguments, reason = "a question, whom to ask, and for how long")]
    pub async fn ask(
        &self,
        network: &Network,
        source: impl Into<Source<'_>>,
        to: SocketAddr,
        message: &[u8],
        until: Instant,
        patience: Patience<'_>,
        into: &mut Vec<u8>,
        accept: Accept<'_>,
    ) -> io::Result<()> {
        if let Network::Simulated(world) = network {
            self.pool.watch.leaves(false);
            // Boxed, as all that is rare here: what waits for each query stays small.
            let wait = until.saturating_duration_since(Instant::now());
            let asking = simulated(&**world, to, message, wait, patience, into, accept);
            return Box::pin(asking).await;
        }
        let source = source.into();
        let ends = Ends { source: source.address, to, worker: current_worker() };
        let (ticket, reused) = self.pool.enter(ends, message, until)?;
        self.pool.watch.leaves(reused);
        source.tell(|| ticket.port.local.ok_or_else(|| io::ErrorKind::NotConnected.into()));
        loop {
            match ticket.next().await {
                Ok(datagram) if accept(&datagram) => {
                    *into = datagram;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let more = patience().ok_or_else(|| ticket.port.tell(error))?;
                    ticket.wait_until(Instant::now() + more.wait, more.again.then_some(message));
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
            && let Some(ticket) = port.enter(message, deadline, Company::Needed)
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
            let company = Company::Welcome;
            if let Some(ticket) = fits.then(|| port.enter(message, deadline, company)).flatten() {
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
            let company = Company::Crowd;
            if let Some(ticket) = fits.then(|| port.enter(message, deadline, company)).flatten() {
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
        let port = Port::open(ends, self, place)?;
        let ticket = port
            .enter(message, deadline, Company::Welcome)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        open.filling = Some(Arc::clone(&port));
        open.ports.push_back(port);
        Ok((ticket, false))
    }

    /// A socket has ended. What is left of those that did goes when they are half of all.
    pub(super) fn ended(&self) {
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

/// The place of one socket among all that the process has to upstreams.
pub(super) struct Descriptor;

/// How many there are.
static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Descriptor {
    /// A place, if there is one for a pool that has so many already. The rest of what the process may
    /// open is for others: listeners, clients, connections to upstreams, files.
    fn take(had: usize) -> Option<Self> {
        // Connections to upstreams need the rest of their share.
        let most = descriptors::for_upstreams() / 3 * 2;
        // A pool that is late gets some all the same, but not where there are hardly any.
        let least = LEAST_PORTS.min(most / 4).max(1);
        let place =
            (OPEN.load(Ordering::Relaxed) < most.min(ALL_PORTS) || had < least).then_some(Self)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
