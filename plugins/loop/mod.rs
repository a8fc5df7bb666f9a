//! `loop`: detects at the start whether forwarded queries come back to this server, and ends the
//! process if so.
//!
//! It sends probes with an unguessable name through its own chain and counts how often they arrive
//! here. It acts only on names that it generated itself, and only during the start.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use chain::setup::{ChainRef, Fatal};
use chain::{Kind, ServeDns, Served, Setup, Step};
use corefile::{Diagnostic, Diagnostics, Directive};
use exchange::Query;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::{Class, Failure, Moment, Name, NameBuf, Reply, Rtype, Transport, name};

/// The plugin.
pub static PLUGIN: Kind =
    Kind { name: "loop", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

/// How long to try to get a probe through.
const TRY_FOR: Duration = Duration::from_secs(30);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between a probe that did not get through and the next.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for more probes after one got through.
const LOOK_ON: Duration = Duration::from_secs(2);
/// The time between a probe that came back and the next one.
const RUN_ON: Duration = Duration::from_millis(100);
/// A probe that comes back this often is in a loop: with our own sending, it was seen more than twice.
const LOOP: u32 = 2;
/// Probes sent because one came back. More than one is needed where the cache lets a probe that is
/// in flight wait for itself, so that no second one of the same name arrives here.
const MAX_MORE: u32 = 3;
/// Numbers in a probe's name are below this, as CoreDNS's are.
const NUMBERS: u64 = 1 << 62;

/// What the plugin and the prober share.
struct Shared {
    zone: Name,
    /// The second label of all our probes, which identifies them.
    secret: u64,
    /// The first label of the latest two probes.
    latest: [AtomicU64; 2],
    /// How often they came back.
    returned: AtomicU32,
    /// The start is over.
    off: AtomicBool,
    /// The peer that sent the probe which proved a loop.
    culprit: OnceLock<SocketAddr>,
    /// A probe came back.
    came_back: Notify,
}

struct Loop(Arc<Shared>);

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    let random = || {
        random().ok_or_else(|| {
            let span =
                uses.first().map_or_else(corefile::Span::default, |directive| directive.span);
            Diagnostic::error(span, "the system provides no random numbers for the probe of `loop`")
                .label("the probe has a random name")
                .help("make /dev/urandom readable")
        })
    };
    let key = setup.keys().first();
    let zone = key.map_or_else(Name::root, |key| key.zone.clone());
    let port = key.map_or(53, chain::Key::port);
    let bound = setup.binds().first().and_then(|bind| bind.addresses.first());
    let address = match bound {
        Some((host, _)) if host.contains(':') => format!("[{host}]:{port}"),
        Some((host, _)) => format!("{host}:{port}"),
        None => format!(":{port}"),
    };
    let shared = Arc::new(Shared::new(zone, random()?));
    let prober = Prober {
        shared: Arc::clone(&shared),
        chain_ref: setup.chain_ref(),
        now: setup.clock().now,
        address,
        fatal: setup.fatal(),
    };
    setup.task(move || prober.run());
    setup.link(Loop(shared));
    Ok(())
}

/// An unguessable number.
fn random() -> Option<u64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes) % NUMBERS)
}

impl Shared {
    fn new(zone: Name, secret: u64) -> Self {
        Self {
            zone,
            secret,
            // No probe has these numbers: they are not below the bound.
            latest: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            returned: AtomicU32::new(0),
            off: AtomicBool::new(false),
            culprit: OnceLock::new(),
            came_back: Notify::new(),
        }
    }

    /// Whether the query is one of our latest probes.
    fn is_probe(&self, query: &Query) -> bool {
        let zone = self.zone.as_wire();
        if query.labels() < 2 || query.suffix(2) != zone {
            return false;
        }
        let mut labels = name::labels(query.name());
        let mut number = || {
            let digits = std::str::from_utf8(labels.next()?).ok()?;
            digits.parse::<u64>().ok()
        };
        let (Some(first), Some(second)) = (number(), number()) else { return false };
        second == self.secret
            && self.latest.iter().any(|latest| latest.load(Ordering::Relaxed) == first)
    }

    /// A probe passes.
    #[cold]
    fn saw(&self, query: &Query) -> Served {
        // Only a query from a listener has no depth: this one is being sent.
        if query.state.depth > 0 {
            return Ok(Step::Next);
        }
        let returned = self.returned.fetch_add(1, Ordering::Relaxed) + 1;
        if returned >= LOOP {
            let _ = self.culprit.set(query.client.peer);
        }
        self.came_back.notify_one();
        if returned < LOOP {
            return Ok(Step::Next);
        }
        // The loop ends here.
        Err(Failure::servfail("forwarding loop"))
    }
}

impl ServeDns for Loop {
    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        let shared = &*self.0;
        if query.qtype() != Rtype::HINFO
            || shared.off.load(Ordering::Relaxed)
            || !shared.is_probe(query)
        {
            return Ok(Step::Next);
        }
        shared.saw(query)
    }
}

/// Sends the probes.
struct Prober {
    shared: Arc<Shared>,
    chain_ref: ChainRef,
    now: fn() -> Moment,
    address: String,
    /// Ends the process: a loop would use up all memory and CPU.
    fatal: Fatal,
}

impl Prober {
    async fn run(self) {
        let deadline = Instant::now() + TRY_FOR;
        let mut more = 0;
        while Instant::now() < deadline && more <= MAX_MORE {
            let Some(first) = random() else { break };
            let answered = self.probe(first).await;
            let returned = self.shared.returned.load(Ordering::Relaxed);
            if returned >= LOOP {
                break;
            } else if returned > 0 {
                more += 1;
            } else if answered {
                // A probe that was answered may still be on its way back.
                self.look_on(LOOK_ON).await;
                break;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.shared.off.store(true, Ordering::Relaxed);
        if let Some(peer) = self.shared.culprit.get() {
            (self.fatal)(&self.message(*peer));
        }
    }

    /// Sends one probe; whether it was answered.
    async fn probe(&self, first: u64) -> bool {
        let (Some(chain), Some(mut query)) = (self.chain_ref.chain(), self.query(first)) else {
            return false;
        };
        let before = self.shared.latest[0].swap(first, Ordering::Relaxed);
        self.shared.latest[1].store(before, Ordering::Relaxed);
        let answered = async move {
            let mut reply = Reply::new();
            reply.begin(&query);
            if let Some(at) = chain.run(&mut query, &mut reply) {
                chain.resume(at, &mut query, &mut reply).await;
            }
        };
        let mut answered = pin!(answered);
        // Once the probe has come back, its answer does not matter.
        let mut back = pin!(self.look_on(PROBE_TIMEOUT));
        poll_fn(|context| {
            if answered.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            back.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    /// Waits for a probe to come back, and then a moment for it to do so again.
    async fn look_on(&self, most: Duration) {
        if tokio::time::timeout(most, self.shared.came_back.notified()).await.is_ok() {
            tokio::time::sleep(RUN_ON).await;
        }
    }

    /// The probe `first`.`secret`.`zone` HINFO, as if sent from this machine.
    fn query(&self, first: u64) -> Option<Query> {
        let zone = &self.shared.zone;
        let mut bytes = vec![0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(probe_name(first, self.shared.secret, zone)?.as_wire());
        bytes.extend_from_slice(&Rtype::HINFO.0.to_be_bytes());
        bytes.extend_from_slice(&Class::IN.0.to_be_bytes());
        bytes[..2].copy_from_slice(&first.to_be_bytes()[6..]);
        let mut query = Query::new();
        query.receive(&bytes).ok()?;
        query.client.peer = SocketAddr::from(([127, 0, 0, 1], 0));
        query.client.local = query.client.peer;
        query.client.transport = Transport::Udp;
        query.client.worker = telemetry::metrics::SHARED;
        query.client.received = (self.now)();
        query.client.now = query.client.received;
        query.set_zone(2);
        // A subquery of this server: one level deep.
        query.state.depth = 1;
        Some(query)
    }

    /// CoreDNS's words, which scripts search for.
    fn message(&self, peer: SocketAddr) -> String {
        let Shared { zone, secret, latest, .. } = &*self.shared;
        let first = latest[0].load(Ordering::Relaxed);
        let probe = probe_name(first, *secret, zone);
        let probe = probe.map_or_else(String::new, |name| name.to_string());
        format!(
            "plugin/loop: Loop ({peer} -> {}) detected for zone \"{zone}\", see \
             https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {probe}\"",
            self.address
        )
    }
}

fn probe_name(first: u64, secret: u64, zone: &Name) -> Option<Name> {
    let mut name = NameBuf::new();
    name.push_label(first.to_string().as_bytes()).ok()?;
    name.push_label(secret.to_string().as_bytes()).ok()?;
    name.push_name(zone.as_wire()).ok()?;
    Some(name.to_name())
}

#[cfg(test)]
mod tests;
