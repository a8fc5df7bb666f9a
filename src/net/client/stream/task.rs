//! The task that owns the socket of a connection: it connects, writes what queries leave for it and hands
//! out the messages that come.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::connection::{Connection, Rest, Shared};
use crate::client::error::{Endpoints, GoError, Op};
use crate::client::network::Ends;
use crate::client::pooling::{CLOSE_TIMEOUT, DIAL_TIMEOUT};

/// The size of the read buffer; longer messages are read without it.
const READ: usize = 4096;

impl Connection {
    /// Returns when the connection is idle and has expired.
    async fn idle_expired(&self, expire: Duration) {
        while let Rest::Until(then) = self.rest(expire) {
            tokio::select! {
                () = tokio::time::sleep_until(then) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Waits for `dialled`, until it takes too long or no query needs the connection any more.
    async fn while_wanted<T>(&self, dialled: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let given_up = async {
            while !self.state().is_given_up() {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            dialled = tokio::time::timeout(DIAL_TIMEOUT, dialled) => {
                dialled.unwrap_or_else(|_| Err(self.late()))
            }
            () = given_up => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Reads and writes until the other side ends the connection, or it expires.
    async fn live<S>(&self, stream: &mut S, shared: &Shared) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.begin();
        let (reader, writer) = tokio::io::split(stream);
        tokio::select! {
            read = self.read(BufReader::with_capacity(READ, reader), shared) => {
                read.map_err(|error| self.endpoints().tell(Op::Read, error))
            }
            written = self.write(writer) => {
                written.map_err(|error| self.endpoints().tell(Op::Write, error))
            }
            () = self.idle_expired(shared.options.expire) => Ok(()),
        }
    }

    fn begin(&self) {
        let mut state = self.state();
        state.established = true;
        state.heard_at = Instant::now();
    }

    async fn read(&self, mut reader: impl AsyncRead + Unpin, shared: &Shared) -> io::Result<()> {
        loop {
            let length = usize::from(reader.read_u16().await?);
            let mut message = Vec::with_capacity(length);
            let mut rest = (&mut reader).take(length as u64);
            while message.len() < length {
                if rest.read_buf(&mut message).await? == 0 {
                    let text = "unexpected EOF".to_owned();
                    return Err(GoError { text, number: None }.error(io::ErrorKind::UnexpectedEof));
                }
            }
            if !self.deliver(message) {
                (shared.options.stray)();
            }
        }
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            std::mem::swap(&mut bytes, &mut self.state().out);
            if bytes.is_empty() {
                self.filled.notified().await;
                continue;
            }
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
    }
}

/// Ends a connection for all its queries, however its task ends.
struct EndGuard {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    error: Option<io::Error>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let gone = || io::ErrorKind::ConnectionAborted.into();
        self.connection.end(&self.error.take().unwrap_or_else(gone));
        self.shared.remove(&self.connection);
    }
}

/// The task of a connection.
pub(super) async fn run(connection: Arc<Connection>, shared: Arc<Shared>, socket: TcpSocket) {
    let mut end_guard =
        EndGuard { connection: Arc::clone(&connection), shared: Arc::clone(&shared), error: None };
    let dialled = dial(socket, connection.ends, &connection.local);
    let ended = match &shared.options.session {
        None => match connection.while_wanted(dialled).await {
            Ok(mut stream) => connection.live(&mut stream, &shared).await,
            Err(error) => Err(error),
        },
        Some(session) => {
            let greeted = async {
                let greeted = session.handshake(dialled.await?).await;
                greeted.map_err(|error| connection.endpoints().tell(Op::Read, error))
            };
            match connection.while_wanted(greeted).await {
                Ok(mut stream) => {
                    let ended = connection.live(&mut stream, &shared).await;
                    if ended.is_ok() {
                        // RFC 8446 section 6.1: close_notify is sent. Whether it arrives does
                        // not matter.
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
                    }
                    ended
                }
                Err(error) => Err(error),
            }
        }
    };
    end_guard.error = ended.err();
}

/// Connects, and stores the local address in `local`.
pub(crate) async fn dial(
    socket: TcpSocket,
    ends: Ends,
    local: &OnceLock<SocketAddr>,
) -> io::Result<TcpStream> {
    let stream = socket.connect(ends.to).await;
    let stream =
        stream.map_err(|error| Endpoints::dial_error("tcp", ends.source, ends.to, error))?;
    if let Ok(address) = stream.local_addr() {
        // A connection is dialled once.
        let _ = local.set(address);
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
