//! TLS below a connection.
//!
//! rustls runs without buffers of its own: octets are decrypted from the worker's buffer, and encrypted
//! into one that a connection has only while the socket does not take it. An idle connection has neither.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{Error, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::{Carrier, Connection, close};
use super::scratch;
use crate::listen::setup::Setup;
use crate::workers::{OpenConnection, Worker};

/// Handshakes of one listening socket at once. Beyond them the oldest is ended for a new one.
const MAX_HANDSHAKES: usize = 512;
/// Octets that are encrypted at once: a record (RFC 8446 section 5.1).
const RECORD: usize = 16 << 10;
/// What encryption may add to it: headers and tags of two records, and a message of rustls before them.
const OVERHEAD: usize = 512;
/// Octets of a record of a handshake at most.
const FLIGHT: usize = RECORD + OVERHEAD;
/// Octets of records that may be incomplete: the longest message of a handshake, and what surrounds it.
const MAX_INCOMPLETE: usize = 80 << 10;
/// Octets that may wait for a client that does not read while it makes rustls answer.
const MAX_OUTGOING: usize = 128 << 10;

/// The handshakes of one listening socket.
#[derive(Default)]
pub(super) struct Handshakes {
    /// Oldest first. Some of them have ended.
    begun: VecDeque<Arc<OpenConnection>>,
    count: Arc<AtomicUsize>,
}

/// One handshake, until this is dropped.
pub(super) struct Handshake {
    entry: Arc<OpenConnection>,
    count: Arc<AtomicUsize>,
}

impl Handshakes {
    /// Counts one more; ends the oldest if there are too many.
    pub(super) fn begin(&mut self, worker: &Worker, entry: &Arc<OpenConnection>) -> Handshake {
        if self.count.fetch_add(1, Ordering::Relaxed) >= MAX_HANDSHAKES {
            while let Some(oldest) = self.begun.pop_front() {
                if oldest.is_greeting() {
                    worker.sessions.evicted.add(1);
                    oldest.abort();
                    break;
                }
            }
        }
        while self.begun.front().is_some_and(|first| !first.is_greeting()) {
            self.begun.pop_front();
        }
        if self.begun.len() >= 4 * MAX_HANDSHAKES {
            self.begun.retain(|one| one.is_greeting());
        }
        entry.set_greeting(true);
        self.begun.push_back(Arc::clone(entry));
        Handshake { entry: Arc::clone(entry), count: Arc::clone(&self.count) }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.entry.set_greeting(false);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shakes hands, then serves the connection.
pub(super) async fn serve(
    session: Result<UnbufferedServerConnection, Error>,
    socket: TcpStream,
    setup: Setup,
    handshake: Handshake,
) {
    if let Some((stream, setup)) = greet(session, socket, setup, handshake).await {
        Connection::new(stream, setup).run().await;
    }
}

/// Shakes hands; nothing if that fails or takes too long.
pub(super) async fn greet(
    session: Result<UnbufferedServerConnection, Error>,
    socket: TcpStream,
    mut setup: Setup,
    handshake: Handshake,
) -> Option<(TlsStream, Setup)> {
    let mut stream = match session {
        Ok(session) => TlsStream::new(session, socket),
        Err(_) => {
            setup.worker.sessions.failed.add(1);
            return None;
        }
    };
    let greeted = poll_fn(|cx| {
        setup.entry.set_waker(cx.waker());
        stream.poll_handshake(cx)
    });
    let greeted = tokio::time::timeout(setup.timeouts.read, greeted).await;
    drop(handshake);
    let sessions = &setup.worker.sessions;
    match greeted {
        Ok(Ok(())) => {
            match stream.session.handshake_kind() {
                Some(HandshakeKind::Resumed) => sessions.resumed.add(1),
                _ => sessions.full.add(1),
            }
            setup.tls13 = stream.session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            Some((stream, setup))
        }
        Ok(Err(_)) => {
            sessions.failed.add(1);
            close(stream).await;
            None
        }
        Err(_) => {
            sessions.timed_out.add(1);
            None
        }
    }
}

/// A session over a socket.
pub(in crate::listen) struct TlsStream {
    socket: TcpStream,
    session: Box<UnbufferedServerConnection>,
    /// Records that are incomplete.
    incoming: Vec<u8>,
    /// Plain text that came with the end of the handshake.
    early: Vec<u8>,
    /// Encrypted octets, and how many of them the socket has taken.
    outgoing: Vec<u8>,
    sent: usize,
    /// Octets of a write that are in `outgoing`.
    promised: usize,
    progressed: bool,
    /// The client sends no more.
    ended: bool,
    /// We send no more.
    closed: bool,
}

impl TlsStream {
    fn new(session: UnbufferedServerConnection, socket: TcpStream) -> Self {
        Self {
            socket,
            session: Box::new(session),
            incoming: Vec::new(),
            early: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            promised: 0,
            progressed: false,
            ended: false,
            closed: false,
        }
    }

    /// The protocol that was agreed on (ALPN).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// Ready when the session is established, or failed; then an alert says why.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let taken = scratch::with_cipher_buffer(|buffer| {
                let kept = self.refill(buffer);
                self.process(&mut buffer[..kept], &mut [])
            });
            if taken.is_err() {
                // With the alert that says why.
                let _ = self.poll_send(cx);
                return Poll::Ready(taken.map(drop));
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(cx))?;
            let read = scratch::with_cipher_buffer(|buffer| {
                let mut into = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into))?;
                self.incoming.extend_from_slice(into.filled());
                Poll::Ready(Ok::<_, io::Error>(into.filled().len()))
            });
            if ready!(read)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Moves what is incomplete to the start of `buffer`; returns its octets.
    fn refill(&mut self, buffer: &mut [u8]) -> usize {
        let kept = self.incoming.len().min(buffer.len());
        buffer[..kept].copy_from_slice(&self.incoming[..kept]);
        self.incoming = Vec::new();
        kept
    }

    /// Takes records up, and keeps those that are incomplete; returns the octets of plain text that are in
    /// `into`. What has no room there is kept for the next read.
    fn process(&mut self, records: &mut [u8], into: &mut [u8]) -> io::Result<usize> {
        let (mut at, mut filled) = (0, 0);
        loop {
            let rest = &mut records[at..];
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(rest);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.alert(&mut records[at + discard..]);
                    return Err(io::Error::other(error));
                }
            };
            let more = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(io::Error::other)?.payload;
                        let (now, later) = payload.split_at(payload.len().min(into.len() - filled));
                        into[filled..filled + now.len()].copy_from_slice(now);
                        filled += now.len();
                        self.early.extend_from_slice(later);
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut self.outgoing, FLIGHT, |room| {
                        data.encode(room).map_err(io::Error::other)
                    })?;
                    true
                }
                // It leaves in this order, whenever it does.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    true
                }
                ConnectionState::PeerClosed => {
                    self.ended = true;
                    true
                }
                ConnectionState::ReadEarlyData(_) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                _ => false,
            };
            at += discard;
            if !more {
                break;
            }
        }
        let rest = &records[at..];
        if rest.len() > MAX_INCOMPLETE || self.outgoing.len() > MAX_OUTGOING {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.incoming.extend_from_slice(rest);
        Ok(filled)
    }

    /// Collects the alert that tells the client what is wrong. rustls wants the records that it knows.
    fn alert(&mut self, records: &mut [u8]) {
        let state = self.session.process_tls_records(records).state;
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            let _ = encode(&mut self.outgoing, FLIGHT, |room| {
                data.encode(room).map_err(io::Error::other)
            });
        }
    }

    /// Encrypts into the outgoing octets.
    fn encrypt(&mut self, plain: Plain<'_>) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            let done = match state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    encode(&mut self.outgoing, plain.len() + OVERHEAD, |room| {
                        match plain {
                            Plain::Data(data) => traffic.encrypt(data, room),
                            Plain::End => traffic.queue_close_notify(room),
                        }
                        .map_err(io::Error::other)
                    })?;
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut self.outgoing, FLIGHT, |room| {
                        data.encode(room).map_err(io::Error::other)
                    })?;
                    false
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::PeerClosed => {
                    self.ended = true;
                    false
                }
                _ => return Err(io::ErrorKind::NotConnected.into()),
            };
            self.incoming.drain(..discard);
            if done {
                return Ok(());
            }
        }
    }

    /// Writes the outgoing octets.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
            self.progressed = true;
        }
        self.sent = 0;
        self.outgoing.clear();
        scratch::give_cipher(std::mem::take(&mut self.outgoing));
        Poll::Ready(Ok(()))
    }

    /// Fills `into` with plain text of octets that `read` gets; zero when the client sends no more.
    fn read_with(
        &mut self,
        into: &mut [u8],
        mut read: impl FnMut(&mut TcpStream, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.early.is_empty() {
                let octets = self.early.len().min(into.len());
                into[..octets].copy_from_slice(&self.early[..octets]);
                self.early.drain(..octets);
                if self.early.is_empty() {
                    self.early = Vec::new();
                }
                return Poll::Ready(Ok(octets));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let filled = scratch::with_cipher_buffer(|buffer| {
                let kept = self.incoming.len();
                // There is always room: `MAX_INCOMPLETE` is less.
                let most = buffer.len().min(kept + into.len());
                let octets = ready!(read(&mut self.socket, &mut buffer[kept..most]))?;
                // Whether or not the client said that this is the end: messages have a length.
                self.ended |= octets == 0;
                self.refill(buffer);
                Poll::Ready(self.process(&mut buffer[..kept + octets], into))
            });
            match ready!(filled) {
                Ok(0) => {}
                Ok(filled) => return Poll::Ready(Ok(filled)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// What is encrypted.
#[derive(Clone, Copy)]
enum Plain<'a> {
    Data(&'a [u8]),
    /// The notice that no more follows.
    End,
}

impl Plain<'_> {
    const fn len(self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::End => 0,
        }
    }
}

/// Appends to `outgoing` what `write` writes into so much room.
fn encode(
    outgoing: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    if outgoing.capacity() == 0 {
        *outgoing = scratch::take_cipher();
    }
    let before = outgoing.len();
    outgoing.resize(before + room, 0);
    let written = write(&mut outgoing[before..]);
    outgoing.truncate(before + *written.as_ref().unwrap_or(&0));
    written.map(drop)
}

impl Carrier for TlsStream {
    fn read_now(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.read_with(into, |socket, room| match socket.read_now(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        });
        match read {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.socket.poll_drop(cx)
    }

    fn has_progressed(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.read_with(into.initialize_unfilled(), |socket, room| {
            let mut room = ReadBuf::new(room);
            Pin::new(socket).poll_read(cx, &mut room).map_ok(|()| room.filled().len())
        });
        // Tickets, answers to new keys, an alert. Where the socket takes no more, it wakes us.
        if this.promised == 0 && !this.outgoing.is_empty() {
            let _ = this.poll_send(cx)?;
        }
        into.advance(ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    /// Is ready when the socket has taken what was encrypted. Until then the caller offers the same octets
    /// again; others may follow them.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        plain: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.promised == 0 {
            let part = &plain[..plain.len().min(RECORD)];
            this.encrypt(Plain::Data(part))?;
            this.promised = part.len();
        }
        ready!(this.poll_send(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut this.promised)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    /// Tells the client that no more follows, and closes our side of the socket.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.session.is_handshaking() && !this.closed {
            this.closed = true;
            // Without it the client sees the end of the socket.
            let _ = this.encrypt(Plain::End);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
