//! The listeners that are open, by endpoint, and their change from one configuration to the next.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corefile::Diagnostic;
use net::{Change, Handler, Listener, Workers};
use tokio::task::JoinSet;
use wire::Endpoint;

use super::super::plan::Wanted;

/// How long listeners that close wait for queries that wait.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The listeners that are open.
#[derive(Default)]
pub(super) struct Listeners {
    open: HashMap<Endpoint, Listener>,
}

/// Listeners that were opened for a configuration which is not served yet.
pub(super) struct Opened(Vec<(Endpoint, Listener)>);

impl Listeners {
    /// Opens the listeners that `wanted` adds, and those that replace one with other sockets: the old
    /// sockets close once the configuration is served. Nothing changes for listeners that are open.
    ///
    /// Errors: an endpoint that cannot be listened on.
    pub(super) fn open(
        &self,
        workers: &Workers,
        wanted: &[Wanted],
        handler: impl Fn(&Wanted) -> Arc<dyn Handler>,
    ) -> Result<Opened, Diagnostic> {
        let mut opened = Opened(Vec::new());
        for wanted in wanted {
            let mut spec = wanted.spec.clone();
            let endpoint = spec.endpoint;
            if let Some(open) = self.open.get(&endpoint) {
                if open.change_to(&spec, workers.count()) != Change::Reopen {
                    continue;
                }
                // Where the system chose the port it is that one.
                spec.endpoint.address.set_port(open.local_addr().port());
            }
            match workers.listen(&spec, handler(wanted)) {
                Ok(listener) => opened.0.push((endpoint, listener)),
                Err(error) => {
                    // They may have been asked already.
                    close(opened.0.into_iter().map(|(_, listener)| listener));
                    return Err(busy(endpoint.address, &error));
                }
            }
        }
        Ok(opened)
    }

    /// Makes the listeners what `wanted` says: changes settings in place, puts `opened` in place, and closes
    /// what is replaced or no longer wanted.
    pub(super) fn apply(&mut self, opened: Opened, wanted: &[Wanted], workers: usize) {
        let spec = |endpoint| wanted.iter().map(|it| &it.spec).find(|it| it.endpoint == endpoint);
        let gone = self.open.extract_if(|endpoint, _| spec(*endpoint).is_none());
        let mut closing: Vec<Listener> = gone.map(|(_, listener)| listener).collect();
        for (endpoint, listener) in opened.0 {
            closing.extend(self.open.insert(endpoint, listener));
        }
        for (endpoint, listener) in &self.open {
            if let Some(spec) = spec(*endpoint)
                && listener.change_to(spec, workers) == Change::Apply
            {
                listener.apply(spec);
            }
        }
        close(closing);
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub(super) fn local_addresses(&self) -> Vec<SocketAddr> {
        self.open.values().map(Listener::local_addr).collect()
    }

    /// Closes all of them, each after it has answered all that it received.
    pub(super) async fn close(self) {
        let mut closing = JoinSet::new();
        for (_, listener) in self.open {
            closing.spawn(listener.close(GRACE));
        }
        while closing.join_next().await.is_some() {}
    }
}

/// How many sockets such listeners have, of UDP and of TCP.
pub(super) fn sockets(wanted: &[Wanted], workers: usize) -> usize {
    wanted.iter().map(|it| it.spec.descriptors(workers)).sum()
}

/// Lets listeners answer what they have, beside everything else.
fn close(listeners: impl IntoIterator<Item = Listener>) {
    for listener in listeners {
        tokio::spawn(listener.close(GRACE));
    }
}

/// The error of an address that cannot be listened on.
fn busy(address: SocketAddr, error: &io::Error) -> Diagnostic {
    let shown = match address.ip() {
        ip if ip.is_unspecified() => format!(":{}", address.port()),
        _ => address.to_string(),
    };
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens on this address: stop it, or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE, or choose another port with -dns.port"
        }
        _ if net::descriptors::is_limit_reached(error) => {
            "the limit on open files is reached: raise it (`ulimit -n`, LimitNOFILE), or open \
             fewer sockets with `multisocket`"
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
        _ => "the address cannot be used: choose another one with `bind`",
    };
    Diagnostic::general(format!("Listen: listen {shown}: {error}")).help(remedy)
}
