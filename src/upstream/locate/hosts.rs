//! Resolves host names, with the resolvers in the Corefile or the system's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::client::{Network, Outgoing, PoolOptions, StreamPool};
use net::random;
use wire::record::Message;
use wire::{Name, Rtype, Section};

use crate::config::DNS_PORT;

/// The timeout of one query to a resolver.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The TTL of the system's answers, which have none.
const SYSTEM_TTL: Duration = Duration::from_secs(30);

/// The number of hosts whose last addresses are kept.
const REMEMBERED: usize = 256;

/// Resolves host names.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// Empty: the system's resolver.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) network: Arc<Network>,
}

/// A host name, as written and as a domain name.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) text: String,
    pub(crate) name: Name,
}

/// Receives the answer to a lookup.
pub(crate) type Answer = Receiver<Result<Addresses, String>>;

/// The addresses of a host, and their TTL.
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
                        // Without an answer to the first query, the second would only time out, too.
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
        // A name of several labels is absolute: a search domain must not redirect DNS. The
        // final dot makes the system treat it so.
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

    /// The same for code that cannot wait. Setup is not async and may run inside a runtime, so the
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
            // Fails if set-up has stopped waiting.
            let _ = tell.send(found);
        };
        let name = "catena-lookup".to_owned();
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
    /// Stores the addresses of the host.
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
    let sent = Outgoing::new(to, &message, TIMEOUT).from(source);
    let mut reply = network.ask_udp(sent, &mut accept).await?;
    if is_truncated(&reply) {
        let once = StreamPool::new(PoolOptions::once(None));
        let sent = Outgoing::new(to, &message, TIMEOUT).from(source);
        (reply, _) = once.ask(network, sent, &mut accept).await?;
    }
    read(&reply, rtype)
}

/// TC.
fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// The addresses in a reply. Their TTL is the shortest in its answer section, aliases
/// included.
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
