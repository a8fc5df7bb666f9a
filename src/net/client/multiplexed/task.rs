//! The task that owns a connection: it opens it, keeps it going and ends it.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::carrier::{Carrier, Link, Rest, Shared};
use super::over::Over;
use super::{h3, https, quic};
use crate::client::error::{Op, late};
use crate::client::network::Ends;
use crate::client::pooling::{CLOSE_TIMEOUT, DIAL_TIMEOUT};

/// Open connections of one pool.
pub(super) const CONNECTIONS: usize = 32;
/// Drives a connection.
enum Driver {
    Https(Box<https::Driver>),
    Quic(quic::Line),
    H3(Box<h3::Driver>),
}

impl Driver {
    /// Drives the connection until the other side ends it; returns the error.
    async fn run(&mut self) -> io::Error {
        match self {
            Self::Https(driver) => https::run(driver).await,
            Self::Quic(line) => line.ended().await,
            Self::H3(driver) => h3::run(driver).await,
        }
    }

    /// Closes it; no query uses it any more.
    async fn close(self) {
        match self {
            Self::Https(mut driver) => drop(https::run(&mut driver).await),
            Self::Quic(line) => line.close(quic::NO_ERROR).await,
            Self::H3(driver) => h3::close(*driver).await,
        }
    }
}

impl Shared {
    /// The other side ended a connection that was of use: another is opened before the next query
    /// comes, once, and not if the upstream has not been asked for a while.
    pub(super) fn renew(self: &Arc<Self>, gone: &Arc<Carrier>) {
        let expire = self.options.expire;
        let asked = self.used.last().is_some_and(|used| used + expire > Instant::now());
        if asked && !expire.is_zero() && !self.closed.load(Ordering::Relaxed) {
            self.warm(gone.ends, Some(gone));
        }
    }

    /// Opens a connection, if there is none endpoints these ends but `except`.
    pub(super) fn warm(self: &Arc<Self>, ends: Ends, except: Option<&Arc<Carrier>>) {
        let mut open = self.open();
        let other = |one: &&Arc<Carrier>| except.is_none_or(|except| !Arc::ptr_eq(one, except));
        let there = open.iter().filter(other).any(|one| one.ends == ends && one.is_kept());
        if !there && open.len() < CONNECTIONS {
            let carrier = Arc::new(Carrier::new(ends));
            open.push(Arc::clone(&carrier));
            drop(open);
            start(carrier, Arc::clone(self));
        }
    }
}

impl Carrier {
    /// Returns when the connection is idle and has expired.
    async fn idle_expired(&self, shared: &Shared) {
        while let Rest::Until(then) = self.rest(shared) {
            tokio::select! {
                () = tokio::time::sleep_until(then) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Waits for `opening`, until it takes too long or no query needs the connection any more.
    async fn while_wanted<T>(&self, opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let given_up = async {
            while !self.state().is_given_up() {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            opened = tokio::time::timeout(DIAL_TIMEOUT, opening) => opened.unwrap_or_else(|_| Err(late())),
            () = given_up => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Returns when queries wait, we send, and nothing comes, not even acknowledgements. TCP would
    /// notice a restarted server by itself; with QUIC it just does not answer.
    async fn unresponsive(&self, line: Option<&quic::Line>) {
        let Some(line) = line else { return pending().await };
        loop {
            while self.state().waiting == 0 {
                self.busy.notified().await;
            }
            let mut last = line.traffic();
            // Whether more was asked since something was heard, when that was looked at.
            let mut unanswered = false;
            while self.state().waiting > 0 {
                tokio::time::sleep(line.patience()).await;
                let now = line.traffic();
                if now.heard != last.heard {
                    last = now;
                    unanswered = false;
                } else if unanswered && self.state().waiting > 0 {
                    return;
                } else {
                    unanswered = now.asked > last.asked;
                }
            }
        }
    }
}

/// Ends a connection for all its queries, however its task ends.
struct EndGuard {
    carrier: Arc<Carrier>,
    shared: Arc<Shared>,
    error: Option<io::Error>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let gone = || io::ErrorKind::ConnectionAborted.into();
        self.carrier.end(&self.error.take().unwrap_or_else(gone));
        self.shared.remove(&self.carrier);
    }
}

/// Starts the task of a connection.
pub(super) fn start(carrier: Arc<Carrier>, shared: Arc<Shared>) {
    // Boxed, for the task of a connection may start that of the next one.
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(run(carrier, shared));
    tokio::spawn(task);
}

async fn run(carrier: Arc<Carrier>, shared: Arc<Shared>) {
    let mut end_guard =
        EndGuard { carrier: Arc::clone(&carrier), shared: Arc::clone(&shared), error: None };
    let opening = open(&shared.over, carrier.ends, &carrier.local);
    let (link, mut driver) = match carrier.while_wanted(opening).await {
        Ok(opened) => opened,
        Err(error) => {
            // During the handshake the server has been reached.
            let op = if carrier.local.get().is_some() { Op::Read } else { Op::Dial };
            end_guard.error = Some(carrier.endpoints(&shared).tell(op, error));
            return;
        }
    };
    let line = link.line().cloned();
    carrier.begin(link);
    let error = tokio::select! {
        error = driver.run() => Some(error),
        () = carrier.unresponsive(line.as_ref()) => Some(late()),
        () = carrier.idle_expired(&shared) => None,
    };
    // Its link goes with it.
    let ours = error.is_none();
    let error = error.map(|error| carrier.endpoints(&shared).tell(Op::Read, error));
    carrier.end(&error.unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()));
    if !ours && carrier.was_used() {
        shared.renew(&carrier);
    }
    if ours || line.is_some() {
        // The close is sent. Whether it arrives does not matter.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, driver.close()).await;
    }
}

async fn open(over: &Over, ends: Ends, local: &OnceLock<SocketAddr>) -> io::Result<(Link, Driver)> {
    match over {
        Over::Https(session, _) => {
            let (link, driver) = https::open(session, ends, local).await?;
            Ok((Link::Https(link), Driver::Https(Box::new(driver))))
        }
        Over::Quic(session) => {
            let line = quic::open(session, ends, local).await?;
            Ok((Link::Quic(line.clone()), Driver::Quic(line)))
        }
        Over::H3(session, _) => {
            let (link, driver) = h3::open(session, ends, local).await?;
            Ok((Link::H3(link), Driver::H3(Box::new(driver))))
        }
        Over::Tcp | Over::Tls(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}
