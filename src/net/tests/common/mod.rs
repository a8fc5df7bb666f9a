//! What the tests of sockets share: a handler that echoes, and messages to be echoed.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exchange::{BoxFuture, Complete, Drive, Exchange, Outcome, Pending, Place, Query};
use net::{Handler, Limits, ListenSpec, Workers};
use wire::Reply;

/// The byte after the header says what becomes of the query.
pub const READY: u8 = 0;
/// Waits as many milliseconds as the byte after says, then echoes.
pub const WAITS: u8 = 1;
/// Waits for ever.
pub const NEVER: u8 = 2;
/// Gets nothing.
pub const SILENT: u8 = 3;
/// Makes the handler panic.
pub const PANIC: u8 = 4;
/// Waits, then makes the handler panic.
pub const LATE_PANIC: u8 = 5;
/// Gets its own source address and the one it was sent to, as text.
pub const ADDRESSES: u8 = 6;
/// Set in the flags of a refusal.
pub const REFUSED: u8 = 5;

/// Answers with the same message, its QR flag set.
#[derive(Default)]
pub struct Echo(Arc<Driver>);

impl Deref for Echo {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.0
    }
}

/// Continues queries that wait, and counts.
#[derive(Default)]
pub struct Driver {
    pub served: AtomicU64,
    pub refused: AtomicU64,
    /// The largest memory of a query that waits, in octets.
    pub room: AtomicU64,
}

fn echo(slot: &mut Exchange) {
    let Exchange { query, reply, outcome, .. } = slot;
    reply.begin_rejection(&query.bytes()[12..]);
    if query.bytes().get(12) == Some(&ADDRESSES) {
        let text = format!("{} {}", query.client.peer, query.client.local);
        reply.begin_rejection(text.as_bytes());
    }
    reply.seal(query.id(), 0x8000);
    *outcome = Outcome::Send;
}

impl Handler for Echo {
    fn serve_batch(&self, slots: &mut [Box<Exchange>]) {
        self.served.fetch_add(slots.len() as u64, Ordering::Relaxed);
        for slot in slots {
            match slot.query.bytes().get(12).copied().unwrap_or(READY) {
                WAITS | NEVER | LATE_PANIC => {
                    let pending = Pending { driver: self.0.clone(), place: Place::In(0) };
                    slot.outcome = Outcome::Wait(pending);
                }
                SILENT => slot.outcome = Outcome::Silent,
                PANIC => panic!("as asked"),
                _ if slot.query.bytes().len() < 12 => slot.outcome = Outcome::Silent,
                _ => echo(slot),
            }
        }
    }
}

impl Drive for Driver {
    fn resume(
        self: Arc<Self>,
        _: Place,
        mut slot: Box<Exchange>,
    ) -> BoxFuture<'static, Box<Exchange>> {
        self.room.fetch_max(slot.query.room() as u64, Ordering::Relaxed);
        Box::pin(async move {
            match slot.query.bytes()[12] {
                NEVER => std::future::pending().await,
                LATE_PANIC => {
                    tokio::task::yield_now().await;
                    panic!("as asked, later");
                }
                _ => {
                    let millis = u64::from(slot.query.bytes()[13]);
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    echo(&mut slot);
                }
            }
            slot
        })
    }

    fn refuse(&self, slot: &mut Exchange) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        slot.reply.begin_rejection(&slot.query.bytes()[12..]);
        slot.reply.seal(slot.query.id(), 0x8000 | u16::from(REFUSED));
        slot.outcome = Outcome::Send;
    }
}

impl Complete for Driver {
    fn complete(&self, query: &mut Query, reply: &mut Reply) -> bool {
        reply.seal(query.id(), 0x8000);
        true
    }
}

/// A message with this id that asks for `what`.
pub fn message(id: u16, what: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    bytes.push(what);
    bytes.extend_from_slice(rest);
    bytes
}

/// The message with its length before it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    bytes
}

/// The id of a message.
pub fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// Workers with these limits.
pub fn workers(count: usize, limits: Limits) -> Workers {
    Workers::start(count, limits).unwrap()
}

/// Listens on this address with an echo handler.
pub fn listen(workers: &Workers, addr: &str) -> (net::Listener, SocketAddr, Arc<Echo>) {
    listen_with(workers, &ListenSpec::dns(addr.parse().unwrap()))
}

/// Listens as the spec says with an echo handler.
pub fn listen_with(workers: &Workers, spec: &ListenSpec) -> (net::Listener, SocketAddr, Arc<Echo>) {
    let echo = Arc::new(Echo::default());
    let listener = workers.listen(spec, Arc::<Echo>::clone(&echo)).unwrap();
    let addr = listener.local_addr();
    (listener, addr, echo)
}

/// A client's UDP socket with patience.
pub fn client(to: SocketAddr) -> std::net::UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = std::net::UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Waits until `done` or five seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not in time: {what}");
}
