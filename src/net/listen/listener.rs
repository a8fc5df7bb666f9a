//! A listener: one endpoint, over all workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::spec::{Change, ListenSpec, StreamSettings, has_datagrams};
use super::{bind, tcp, udp};
use crate::listen::handler::Handler;
use crate::workers::Signal;
use crate::workers::Workers;

/// Sockets that answer. Dropping it closes them without grace.
pub struct Listener {
    local: SocketAddr,
    signal: Arc<Signal>,
    tasks: Vec<JoinHandle<()>>,
    sockets: usize,
    /// What is read for each connection.
    streams: watch::Sender<StreamSettings>,
}

impl Listener {
    pub(crate) fn open(
        workers: &Workers,
        spec: &ListenSpec,
        handler: &Arc<dyn Handler>,
    ) -> io::Result<Self> {
        let count = spec.sockets.unwrap_or_else(|| workers.count()).max(1);
        let datagrams = has_datagrams(spec.endpoint.scheme);
        let bound = bind::bind(spec.endpoint.address, count, datagrams)?;
        let first = workers.turn(count);
        let signal = Arc::new(Signal::default());
        let settings = watch::Sender::new(StreamSettings::from(spec));
        // Everything that can fail comes first: bind, then register with each runtime.
        let mut ready = Vec::with_capacity(count);
        for (n, pair) in (first..).zip(bound.pairs) {
            let _context = workers.handle(n).enter();
            let worker = workers.worker(n);
            let datagrams = pair.udp.map(|udp| {
                let (worker, handler) = (Arc::clone(worker), Arc::clone(handler));
                udp::Socket::new(udp, bound.local, worker, handler, Arc::clone(&signal))
            });
            let datagrams = datagrams.transpose()?;
            let streams = tcp::Acceptor::new(
                pair.tcp,
                settings.subscribe(),
                Arc::clone(worker),
                Arc::clone(handler),
                Arc::clone(&signal),
            )?;
            ready.push((datagrams, streams));
        }
        let tasks = (first..)
            .zip(ready)
            .flat_map(|(n, (datagrams, streams))| {
                let runtime = workers.handle(n);
                let datagrams = datagrams.map(|datagrams| runtime.spawn(datagrams.run()));
                datagrams.into_iter().chain([runtime.spawn(streams.run())])
            })
            .collect();
        Ok(Self { local: bound.local, signal, tasks, sockets: count, streams: settings })
    }

    /// The address, with the port that the system chose if it did.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How many sockets it has, of each kind.
    pub fn sockets(&self) -> usize {
        self.sockets
    }

    /// What has to happen for it to become what `spec` says for its endpoint, on a server with so many
    /// workers. Changes nothing yet, so that a configuration may still be refused.
    pub fn change_to(&self, spec: &ListenSpec, workers: usize) -> Change {
        // Every setting is named here: one that were forgotten would be ignored by reloads.
        let ListenSpec { endpoint: _, sockets, tcp: _, tls: _, http: _ } = spec;
        if sockets.unwrap_or(workers).max(1) != self.sockets {
            Change::Reopen
        } else if !self.streams.borrow().are_of(spec) {
            Change::Apply
        } else {
            Change::None
        }
    }

    /// Takes the settings of `spec` that need no other sockets. Connections that are open keep theirs.
    pub fn apply(&self, spec: &ListenSpec) {
        self.streams.send_replace(spec.into());
    }

    /// Stops accepting, answers all that has arrived, waits up to `grace` for queries that wait,
    /// then closes.
    pub async fn close(mut self, grace: Duration) {
        self.signal.raise(grace);
        for task in self.tasks.drain(..) {
            // A task that panicked or whose worker is gone is closed as well.
            let _ = task.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.tasks.is_empty() {
            self.signal.raise(Duration::ZERO);
        }
    }
}

impl Workers {
    /// Binds on every worker, then starts to answer: all or nothing.
    pub fn listen(&self, spec: &ListenSpec, handler: Arc<dyn Handler>) -> io::Result<Listener> {
        Listener::open(self, spec, &handler)
    }
}
