//! Resolves host names, with the resolvers in the Corefile or the system's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::client::{Network, PoolOptions, StreamPool};
use net::random;
use wire::record::Message;
use wire::{Name, Rtype, Section};

use crate::config::DNS_PORT;

/// How long a resolver may take for one question.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The system does not tell for how long its answers hold.
const SYSTEM_TTL: Duration = Duration::from_secs(30);

/// Hosts whose last addresses are remembered.
const REMEMBERED: usize = 256;

/// Who knows where hosts are.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// Nobody: the system.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) network: Arc<Network>,
}

/// A host as it was written, and as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) text: String,
    pub(crate) name: Name,
}

/// Where the answer to a lookup comes in.
pub(crate) type Answer = Receiver<Result<Addresses, String>>;

/// Where a host is, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) ttl: Duration,
}

impl Resolver {
    /// Queries the resolvers in turn until one returns an address.
    ///
    /// Errors: the failure of the last resolver.
    pub(crate) async fn lookup(&self, host: &Host) -> Result<Addresses, String> {
        if self.servers.is_empty() {
            return self.ask_system(&host.text).await;
        }
        let mut last = "the name has no addresses".to_owned();
        for &to in &self.servers {
            let source = self.source.filter(|source| source.is_ipv4() == to.is_ipv4());
            let mut found = Addresses { ips: Vec::new(), ttl: Duration::MAX };
            for rtype in [Rtype::A, Rtype::AAAA] {
                match ask(&self.network, source, to, &host.name, rtype).await {
                    Ok(Addresses { ips, ttl }) => {
                        found.ips.extend(ips);
                        found.ttl = found.ttl.min(ttl);
                    }
                    Err(error) => {
                        last = format!("{to}: {error}");
                        // Without the first answer the second is not worth another timeout.
                        break;
                    }
                }
            }
            if !found.ips.is_empty() {
                return Ok(found);
            }
        }
        Err(last)
    }

    async fn ask_system(&self, host: &str) -> Result<Addresses, String> {
        if matches!(*self.network, Network::Simulated(_)) {
            return Err("a simulation has no system resolver".to_owned());
        }
        // A name of several labels is meant as it stands: a search domain must not redirect DNS. The
        // final dot says so to the system.
        let mut absolute = host.to_owned();
        if host.contains('.') && !host.ends_with('.') {
            absolute.push('.');
        }
        let asked = tokio::task::spawn_blocking(move || {
            let mut ips = Vec::new();
            for address in (absolute.as_str(), DNS_PORT).to_socket_addrs()? {
                if !ips.contains(&address.ip()) {
                    ips.push(address.ip());
                }
            }
            Ok::<_, io::Error>(ips)
        });
        let ips = asked.await.map_err(|error| error.to_string())?;
        let ips = ips.map_err(|error| error.to_string())?;
        if ips.is_empty() {
            return Err("the name has no addresses".to_owned());
        }
        Ok(Addresses { ips, ttl: SYSTEM_TTL })
    }

    /// The same for code that cannot wait: setup is not async and may run inside a runtime, so the
    /// lookup gets its own thread.
    pub(crate) fn begin(&self, host: &Host) -> Answer {
        let (tell, told) = mpsc::channel();
        let (resolver, host, failed) = (self.clone(), host.clone(), tell.clone());
        let asking = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let found = match runtime {
                Ok(runtime) => runtime.block_on(resolver.lookup(&host)),
                Err(error) => Err(error.to_string()),
            };
            // Whoever asked may have waited for long enough.
            let _ = tell.send(found);
        };
        let name = "catena-forward-lookup".to_owned();
        if let Err(error) = std::thread::Builder::new().name(name).spawn(asking) {
            let _ = failed.send(Err(error.to_string()));
        }
        told
    }
}

/// The last addresses of hosts. They go from one configuration to the next.
#[derive(Default)]
pub(crate) struct KnownHosts(Mutex<HashMap<String, Vec<IpAddr>>>);

impl KnownHosts {
    /// Remembers the addresses of the host.
    pub(crate) fn remember(&self, resolver: &Resolver, host: &Host, ips: &[IpAddr]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(Self::key(resolver, host), ips.to_vec());
    }

    /// The last known addresses of the host.
    pub(crate) fn known(&self, resolver: &Resolver, host: &Host) -> Option<Vec<IpAddr>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&Self::key(resolver, host)).cloned()
    }

    fn key(resolver: &Resolver, host: &Host) -> String {
        format!("{} {:?}", host.text, resolver.servers)
    }
}

async fn ask(
    network: &Network,
    source: Option<IpAddr>,
    to: SocketAddr,
    name: &Name,
    rtype: Rtype,
) -> io::Result<Addresses> {
    let id = random::bytes::<2>()?;
    let mut message = vec![id[0], id[1], 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let question = message[12..].to_vec();
    let mut accept = |reply: &[u8]| {
        reply.get(..2) == Some(&id)
            && reply[2..].first().is_some_and(|flags| flags & 0x80 != 0)
            && reply.get(12..12 + question.len()).is_some_and(|echo| {
                let fixed = question.len() - 4;
                echo[fixed..] == question[fixed..]
                    && echo[..fixed].eq_ignore_ascii_case(&question[..fixed])
            })
    };
    let mut reply = Vec::new();
    network.ask_udp(source, to, &message, TIMEOUT, &mut reply, &mut accept).await?;
    if is_truncated(&reply) {
        let once = StreamPool::new(PoolOptions::once(None));
        once.ask(network, source, to, &message, TIMEOUT, &mut reply, &mut accept).await?;
    }
    read(&reply, rtype)
}

/// TC.
fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// The addresses in a reply. They hold for as long as the shortest of its answers, aliases among
/// them.
fn read(reply: &[u8], rtype: Rtype) -> io::Result<Addresses> {
    let view = Message::new(reply).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut found = Addresses { ips: Vec::new(), ttl: Duration::MAX };
    let records = view.records().filter_map(Result::ok);
    for record in records.filter(|record| record.section == Section::Answer) {
        found.ttl = found.ttl.min(Duration::from_secs(u64::from(record.ttl)));
        if record.rtype != rtype {
            continue;
        }
        let bytes = record.rdata();
        let ip = match rtype {
            Rtype::A => <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(octets.into())),
            _ => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(octets.into())),
        };
        found.ips.extend(ip);
    }
    Ok(found)
}
