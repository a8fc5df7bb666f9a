//! A stream that remembers since when its socket takes no octets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Since when a stream takes no octets; the protocols above it do not tell.
pub(in crate::listen) struct Blocked {
    began: Instant,
    /// Milliseconds from then, and one; 0: it takes octets.
    since: AtomicU64,
}

impl Blocked {
    fn millis(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// When the client must have taken an octet.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(since) + timeout)
    }

    fn note<T>(&self, result: &Poll<T>) {
        match result {
            Poll::Ready(_) => self.since.store(0, Ordering::Relaxed),
            Poll::Pending if self.since.load(Ordering::Relaxed) == 0 => {
                self.since.store(self.millis() + 1, Ordering::Relaxed);
            }
            Poll::Pending => {}
        }
    }
}

/// A stream that is watched.
pub(in crate::listen) struct Watched<S> {
    stream: S,
    blocked: Arc<Blocked>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Blocked>) {
        let blocked = Arc::new(Blocked { began: Instant::now(), since: AtomicU64::new(0) });
        (Self { stream, blocked: Arc::clone(&blocked) }, blocked)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.blocked.note(&result);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
