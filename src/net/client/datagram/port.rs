//! One socket that datagrams to an upstream go by.
//!
//! One task owns it: it sends what queries leave with it and gives each datagram that comes to
//! the query with its id. It must never know what a message means beyond its id.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::time::{Instant, sleep_until};

use super::descriptor::Descriptor;
use crate::client::error::{Endpoints, Op, late};
use crate::client::network::Ends;
use crate::client::socket::{INTEREST, connected};
use crate::writable::writable;
use sys::connected::{Inbound, Outbound};

/// Queries that leave by one socket at the same time: of 10,000 queries no more may go by one port.
const LEAVE: usize = 9;
/// Queries that a socket carries until it is replaced.
const CARRIES: usize = 1024;
/// Queries in flight on a socket, if others can be opened.
const WAITING: usize = 128;
/// For how long a socket gets new queries.
const LIFE: Duration = Duration::from_secs(10);
/// Datagrams with one id that are kept until they are looked at.
const INBOX: usize = 8;
/// How long to wait for room in the send buffer.
const PATIENCE: Duration = Duration::from_millis(50);

thread_local! {
    // What was received is handed on before anything else is, so one is enough for a worker.
    static INBOUND: RefCell<Inbound> = RefCell::new(Inbound::default());
}

/// Counts the datagrams of a pool.
pub trait Watch: Send + Sync {
    /// A query leaves: by a socket that carried others, or by a fresh one.
    fn leaves(&self, reused: bool);

    /// A datagram came that no query waits for.
    fn stray(&self);
}

/// The pool that a socket belongs to.
pub(super) trait PortOwner: Send + Sync {
    /// A datagram came that no query waits for.
    fn stray(&self);

    /// A socket has ended.
    fn ended(&self);
}

/// When a socket takes on a query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// If it leaves in a batch with others that have not been sent yet.
    Batched,
    /// If the socket has not carried too many.
    Normal,
    /// If there is any room: no other socket is available.
    Overflow,
}

/// One socket as queries see it.
pub(super) struct Port {
    pub(super) ends: Ends,
    /// Its address and port on our side.
    pub(super) local: Option<SocketAddr>,
    state: Mutex<State>,
    owner: Arc<dyn PortOwner>,
}

#[derive(Default)]
struct State {
    /// The ids of the queries in flight, and the queries, in the same order.
    ids: Vec<u16>,
    queries: Vec<Query>,
    /// Messages to send.
    out: Outbound,
    carried: usize,
    /// The socket gets no new queries, and closes after the last one.
    retired: bool,
    /// When the earliest deadline may pass; never too late.
    look_at: Option<Instant>,
    /// Wakes the task.
    task: Option<Waker>,
}

/// A query in flight.
struct Query {
    deadline: Instant,
    /// Received datagrams; nearly always one.
    first: Option<Vec<u8>>,
    more: VecDeque<Vec<u8>>,
    error: Option<io::Error>,
    waker: Option<Waker>,
}

impl Query {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What the task of a socket has to do.
enum Event<'a> {
    /// There are messages to send.
    Leave,
    /// Something came, or went wrong.
    Came(io::Result<AsyncFdReadyGuard<'a, UdpSocket>>),
    /// A deadline may have passed.
    Look,
    /// The socket is retired and idle.
    End,
}

impl State {
    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    fn find(&mut self, id: u16) -> Option<&mut Query> {
        let at = self.ids.iter().position(|&known| known == id)?;
        self.queries.get_mut(at)
    }

    /// All queries in flight fail.
    fn fail(&mut self, error: &io::Error) {
        self.retired = true;
        for query in &mut self.queries {
            let copy = match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => error.kind().into(),
            };
            query.error.get_or_insert(copy);
            query.wake();
        }
    }
}

impl Port {
    /// A fresh socket, and its task.
    pub(super) fn open(
        ends: Ends,
        owner: Arc<dyn PortOwner>,
        place: Descriptor,
    ) -> io::Result<Arc<Self>> {
        let socket = connected(ends.source, ends.to)?;
        let port = Arc::new(Self {
            ends,
            local: socket.get_ref().local_addr().ok(),
            state: Mutex::default(),
            owner,
        });
        tokio::spawn(Arc::clone(&port).run(socket, place));
        Ok(port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on a query, if the socket has room for it.
    pub(super) fn enter(
        self: &Arc<Self>,
        message: &[u8],
        deadline: Instant,
        with: Admission,
    ) -> Option<Ticket> {
        let id = u16::from_be_bytes(*message.first_chunk()?);
        let mut state = self.state();
        let fits = match with {
            Admission::Batched => (1..LEAVE).contains(&state.out.len()),
            Admission::Normal => state.carried < CARRIES && state.ids.len() < WAITING,
            Admission::Overflow => state.ids.len() < CARRIES,
        };
        if !fits || state.retired || state.ids.contains(&id) {
            return None;
        }
        state.carried += 1;
        state.ids.push(id);
        state.queries.push(Query {
            deadline,
            first: None,
            more: VecDeque::new(),
            error: None,
            waker: None,
        });
        state.out.push(message);
        state.look_at = Some(state.look_at.map_or(deadline, |at| at.min(deadline)));
        state.wake();
        Some(Ticket { port: Arc::clone(self), id })
    }

    /// An error of the socket, or that of time, in words.
    pub(super) fn tell(&self, error: io::Error) -> io::Error {
        // RFC 1122 section 4.1.3.3: the next system call of any kind reports that the port is closed.
        let op = if error.kind() == io::ErrorKind::PermissionDenied { Op::Write } else { Op::Read };
        Endpoints { proto: "udp", local: self.local, remote: self.ends.to }.tell(op, error)
    }

    /// Retires the socket: it closes after the last query in flight.
    pub(super) fn retire(&self) {
        let mut state = self.state();
        state.retired = true;
        state.wake();
    }

    /// Whether it gets no new queries.
    pub(super) fn is_retired(&self) -> bool {
        self.state().retired
    }

    /// The task of the socket.
    async fn run(self: Arc<Self>, socket: AsyncFd<UdpSocket>, place: Descriptor) {
        self.serve(&socket).await;
        // The place is free once the socket is closed.
        drop(socket);
        drop(place);
        *self.state() = State { retired: true, ..State::default() };
        self.owner.ended();
    }

    /// Sends and receives until the socket is retired and no query is in flight.
    async fn serve(&self, socket: &AsyncFd<UdpSocket>) {
        let retires_at = Instant::now() + LIFE;
        let mut alarm = pin!(sleep_until(retires_at));
        let mut out = Outbound::default();
        loop {
            let mut ready = pin!(socket.ready(INTEREST));
            let event = poll_fn(|context| {
                {
                    let mut state = self.state();
                    if !state.out.is_done() {
                        mem::swap(&mut state.out, &mut out);
                        return Poll::Ready(Event::Leave);
                    }
                    if state.retired && state.ids.is_empty() {
                        return Poll::Ready(Event::End);
                    }
                    let at = state.look_at.map_or(retires_at, |at| at.min(retires_at));
                    if alarm.deadline() != at {
                        alarm.as_mut().reset(at);
                    }
                    state.task = Some(context.waker().clone());
                }
                if let Poll::Ready(ready) = ready.as_mut().poll(context) {
                    return Poll::Ready(Event::Came(ready));
                }
                alarm.as_mut().poll(context).map(|()| Event::Look)
            })
            .await;
            let done = match event {
                Event::Leave => send_all(socket, &mut out).await,
                Event::Came(Ok(ready)) => self.receive(ready),
                Event::Came(Err(error)) => Err(error),
                Event::Look => {
                    self.look(retires_at);
                    Ok(())
                }
                Event::End => return,
            };
            if let Err(error) = done {
                self.state().fail(&error);
            }
        }
    }

    /// Passes received datagrams to their queries.
    fn receive(&self, mut ready: AsyncFdReadyGuard<'_, UdpSocket>) -> io::Result<()> {
        INBOUND.with_borrow_mut(|inbound| match inbound.receive(ready.get_inner().as_fd()) {
            Ok(more) => {
                if !more {
                    ready.clear_ready();
                }
                inbound.datagrams().for_each(|datagram| self.deliver(datagram));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.clear_ready();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        })
    }

    fn deliver(&self, datagram: &[u8]) {
        let id = datagram.first_chunk().map(|&id| u16::from_be_bytes(id));
        let mut state = self.state();
        match id.and_then(|id| state.find(id)) {
            Some(query) if query.first.is_none() => {
                query.first = Some(datagram.to_vec());
                query.wake();
            }
            Some(query) if query.more.len() < INBOX => query.more.push_back(datagram.to_vec()),
            _ => self.owner.stray(),
        }
    }

    /// Fails the queries whose deadline has passed, and retires at the end of the socket's life.
    fn look(&self, retires_at: Instant) {
        let now = Instant::now();
        let mut state = self.state();
        state.retired |= retires_at <= now;
        for query in state.queries.iter_mut().filter(|query| query.deadline <= now) {
            query.error.get_or_insert_with(late);
            query.wake();
        }
        let left = state.queries.iter().map(|query| query.deadline).filter(|&at| at > now);
        state.look_at = left.min();
    }
}

/// Sends all of `out`.
async fn send_all(socket: &AsyncFd<UdpSocket>, out: &mut Outbound) -> io::Result<()> {
    while !out.is_done() {
        let Err(error) = out.send(socket.get_ref().as_fd()) else { continue };
        let again = match error.kind() {
            io::ErrorKind::Interrupted => true,
            io::ErrorKind::WouldBlock => {
                writable(socket.get_ref(), Instant::now() + PATIENCE).await
            }
            _ => false,
        };
        if !again {
            out.clear();
            return Err(error);
        }
    }
    out.clear();
    Ok(())
}

/// A query's place on a socket.
pub(super) struct Ticket {
    pub(super) port: Arc<Port>,
    id: u16,
}

impl Ticket {
    /// The next datagram with this query's id.
    pub(super) async fn next(&self) -> io::Result<Vec<u8>> {
        poll_fn(|context| {
            let mut state = self.port.state();
            // It is there until the ticket is dropped.
            let Some(query) = state.find(self.id) else { return Poll::Ready(Err(late())) };
            if let Some(datagram) = query.first.take() {
                query.first = query.more.pop_front();
                return Poll::Ready(Ok(datagram));
            }
            if let Some(error) = query.error.take() {
                return Poll::Ready(Err(error));
            }
            match &mut query.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

impl Ticket {
    /// Its time was up, and is not; `again` is sent.
    pub(super) fn wait_until(&self, deadline: Instant, again: Option<&[u8]>) {
        let mut state = self.port.state();
        let Some(query) = state.find(self.id) else { return };
        query.deadline = deadline;
        let sooner = state.look_at.is_none_or(|at| deadline < at);
        if sooner {
            state.look_at = Some(deadline);
        }
        if let Some(message) = again {
            state.out.push(message);
        }
        if sooner || again.is_some() {
            state.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.port.state();
        if let Some(at) = state.ids.iter().position(|&id| id == self.id) {
            state.ids.swap_remove(at);
            state.queries.swap_remove(at);
        }
        if state.retired && state.ids.is_empty() {
            state.wake();
        }
    }
}
