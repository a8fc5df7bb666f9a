//! NOTIFY messages to secondary servers when zones change (RFC 1996).
//!
//! Each target has a queue of its own, so that a target that is down delays no other. A zone is in the
//! queue of a target once, however often it changes, and the message has the version of the moment it is
//! sent.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{BoxFuture, KeyRef};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use net::client::Network;
use telemetry::metrics;
use tokio::sync::Notify as Wake;
use tokio::time::{Instant, sleep_until};
use transfer::{Client, Limits, Peer};
use wire::Name;
use zone::live::Listener;
use zone::{Live, Zone};

use super::config::{Host, Notify, Rule};
use super::metrics::NotifyMetrics;

/// Zones in the queue of one target at most.
const MAX_QUEUED: usize = 100_000;
/// NOTIFY messages to one target that wait for their acknowledgement at most.
const MAX_PENDING: usize = 32;
/// The wait for the first acknowledgement; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait (RFC 1996 section 3.6 has 60 seconds as the interval).
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Acknowledgements that are remembered over a reload at most.
const MAX_TOLD: usize = 1_000_000;

/// One server that is notified.
struct Target {
    address: SocketAddr,
    source: Option<IpAddr>,
    /// The key that messages to it are signed with.
    key: Option<KeyRef>,
    /// A key is wanted that does not exist: nothing is sent.
    mute: bool,
    tries: u32,
    delay: Duration,
}

/// The versions that targets have acknowledged. It survives reloads, so that a reload notifies nobody of
/// what it knows.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<(Name, SocketAddr), u32>>);

/// Notifies the targets of a block.
pub(super) struct Notifier {
    targets: Vec<Target>,
    rules: Arc<[Rule]>,
    /// The indices of each directive's targets.
    of_rules: Vec<Vec<usize>>,
    queues: Mutex<Vec<Queue>>,
    wake: Wake,
    network: Network,
    told: Arc<Told>,
    metrics: NotifyMetrics,
}

/// The zones that a target is to be told of.
#[derive(Default)]
struct Queue {
    /// In the order of their times.
    due: VecDeque<(Instant, Arc<Live>)>,
    zones: HashMap<Name, State>,
    /// Messages that wait for their acknowledgement.
    pending: usize,
}

/// The state of a zone that is in the map of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the queue.
    Queued,
    /// A message waits for its acknowledgement.
    Pending,
    /// The same, and the zone has changed since.
    Changed,
}

/// A message that was acknowledged or given up.
struct Ended {
    target: usize,
    zone: Arc<Live>,
}

impl Notifier {
    /// For these directives; `None` if they notify nobody.
    pub(super) fn new(rules: &Arc<[Rule]>, network: Network, told: Arc<Told>) -> Option<Arc<Self>> {
        let mut targets = Vec::new();
        let mut of_rules = Vec::new();
        for rule in rules.iter() {
            let first = targets.len();
            for to in rule.to.iter().filter(|to| to.notify != Notify::Off) {
                for host in &to.hosts {
                    let Host::One(address) = *host else { continue };
                    let same = |ip: &&IpAddr| ip.is_ipv4() == address.is_ipv4();
                    targets.push(Target {
                        address,
                        source: rule.source.iter().find(same).copied(),
                        key: to.keys.first().cloned(),
                        mute: to.signed && to.keys.is_empty(),
                        tries: rule.notify_tries,
                        delay: rule.notify_delay,
                    });
                }
            }
            of_rules.push((first..targets.len()).collect());
        }
        if targets.is_empty() {
            return None;
        }
        let queues = targets.iter().map(|_| Queue::default()).collect();
        Some(Arc::new(Self {
            targets,
            rules: Arc::clone(rules),
            of_rules,
            queues: Mutex::new(queues),
            wake: Wake::new(),
            network,
            told,
            metrics: NotifyMetrics::new(),
        }))
    }

    /// The targets of a zone: those of its directive.
    fn targets_of(&self, zone: &Name) -> &[usize] {
        Rule::of(&self.rules, zone).map_or(&[], |at| &self.of_rules[at])
    }

    /// Queues a zone for its targets; `at_start`: only for those that do not know its version.
    pub(super) fn enqueue(&self, zone: &Arc<Live>, at_start: bool) {
        let serial = match &*zone.zone() {
            Some(version) => version.serial(),
            None => return,
        };
        let name = zone.origin();
        let targets = self.targets_of(name);
        if targets.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut queues = self.queues();
        for &target in targets {
            let Target { address, delay, .. } = self.targets[target];
            if at_start && self.told.knows(name, address, serial) {
                continue;
            }
            if !queues[target].push(zone, now + delay + jitter(delay)) {
                self.metrics.dropped.inc(metrics::SHARED);
            }
        }
        drop(queues);
        self.wake.notify_one();
    }

    /// Sends what is due until the configuration is replaced.
    pub(super) async fn run(self: Arc<Self>) {
        let mut sending = FuturesUnordered::new();
        loop {
            let next = self.begin(&mut sending);
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = sending.next(), if !sending.is_empty() => self.end(&ended),
                () = self.wake.notified() => {}
                () = due => {}
            }
        }
    }

    /// Begins to send what is due. Returns when more will be.
    fn begin(
        self: &Arc<Self>,
        sending: &mut FuturesUnordered<BoxFuture<'static, Ended>>,
    ) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut queues = self.queues();
        for (target, queue) in queues.iter_mut().enumerate() {
            while queue.pending < MAX_PENDING
                && let Some(&(due, _)) = queue.due.front()
            {
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                    break;
                }
                let Some((_, zone)) = queue.due.pop_front() else { break };
                queue.zones.insert(zone.origin().clone(), State::Pending);
                queue.pending += 1;
                sending.push(Box::pin(Arc::clone(self).tell(target, zone)));
            }
        }
        next
    }

    fn end(&self, ended: &Ended) {
        let name = ended.zone.origin();
        let mut queues = self.queues();
        let queue = &mut queues[ended.target];
        queue.pending -= 1;
        if queue.zones.remove(name) == Some(State::Changed) {
            let delay = self.targets[ended.target].delay;
            queue.push(&ended.zone, Instant::now() + delay);
        }
    }

    /// Sends the NOTIFY of a zone until it is acknowledged or given up.
    async fn tell(self: Arc<Self>, target: usize, zone: Arc<Live>) -> Ended {
        let to = &self.targets[target];
        let name = zone.origin();
        let mut wait = FIRST_WAIT;
        let mut trouble = String::new();
        for _ in 0..to.tries {
            let until = Instant::now() + wait;
            // The newest version: it may have changed since the last attempt.
            let Some(version) = zone.zone_to_keep() else { return Ended { target, zone } };
            match self.send(to, &zone, &version, wait).await {
                Ok(()) => {
                    self.metrics.acknowledged.inc(metrics::SHARED);
                    self.told.note(name, to.address, version.serial());
                    let address = to.address;
                    telemetry::debug!(
                        "plugin/transfer: Sent notifies for zone \"{name}\" to [{address}]"
                    );
                    return Ended { target, zone };
                }
                Err(why) => trouble = why,
            }
            // A refusal comes at once, and the server may just be starting.
            sleep_until(until).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.metrics.failed.inc(metrics::SHARED);
        let address = to.address;
        telemetry::warning!(
            "plugin/transfer: notify for zone \"{name}\" was not accepted by \"{address}\": {trouble}"
        );
        Ended { target, zone }
    }

    /// Sends one message and waits for its acknowledgement.
    async fn send(
        &self,
        to: &Target,
        zone: &Live,
        version: &Zone,
        wait: Duration,
    ) -> Result<(), String> {
        let key = match (&to.key, to.mute) {
            (Some(key), _) => match key.get() {
                Some(key) => Some(key),
                None => return Err(format!("the key `{}` does not exist any more", key.name())),
            },
            (None, true) => return Err("its key does not exist".to_owned()),
            (None, false) => None,
        };
        let peer = Peer { source: to.source, key, ..Peer::new(to.address) };
        let limits = Limits { datagram: wait, ..Limits::default() };
        let client = Client::new(self.network.clone(), peer, limits);
        let told = client.notify(zone.origin(), &version.soa()).await;
        told.map_err(|error| error.trouble.to_string())
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Notifier {
    fn changed(&self, zone: &Arc<Live>) {
        self.enqueue(zone, false);
    }
}

impl Queue {
    /// Adds a zone that is not in the queue; `false` if there is no room.
    fn push(&mut self, zone: &Arc<Live>, due: Instant) -> bool {
        let name = zone.origin();
        if let Some(state) = self.zones.get_mut(name) {
            if *state == State::Pending {
                *state = State::Changed;
            }
            return true;
        }
        if self.zones.len() >= MAX_QUEUED {
            return false;
        }
        self.zones.insert(name.clone(), State::Queued);
        self.due.push_back((due, Arc::clone(zone)));
        true
    }
}

impl Told {
    fn knows(&self, zone: &Name, target: SocketAddr, serial: u32) -> bool {
        self.lock().get(&(zone.clone(), target)) == Some(&serial)
    }

    fn note(&self, zone: &Name, target: SocketAddr, serial: u32) {
        let mut told = self.lock();
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        told.insert((zone.clone(), target), serial);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Name, SocketAddr), u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to a quarter of a delay, so that zones that change together are not told of all at once.
fn jitter(delay: Duration) -> Duration {
    let random = net::random::bytes::<2>().map_or(0, u16::from_be_bytes);
    delay / 4 * u32::from(random) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_in_a_queue_once_and_again_if_it_changes_while_a_message_is_pending() {
        let zone = Arc::new(Live::new(Name::from_text("example.org.").unwrap()));
        let mut queue = Queue::default();
        let now = Instant::now();
        assert!(queue.push(&zone, now) && queue.push(&zone, now));
        assert_eq!(queue.due.len(), 1, "changes before it is sent cause one message");
        queue.due.pop_front();
        queue.zones.insert(zone.origin().clone(), State::Pending);
        assert!(queue.push(&zone, now));
        assert_eq!(queue.due.len(), 0, "one message at a time");
        assert_eq!(queue.zones.remove(zone.origin()), Some(State::Changed));
        assert!(queue.push(&zone, now));
        assert_eq!(queue.due.len(), 1);
    }

    #[test]
    fn a_full_queue_takes_no_more_zones() {
        let zones = |count: usize| {
            (0..count).map(|at| Arc::new(Live::new(Name::from_text(&format!("z{at}.")).unwrap())))
        };
        let mut queue = Queue::default();
        for zone in zones(MAX_QUEUED) {
            assert!(queue.push(&zone, Instant::now()));
        }
        let first = zones(1).next().unwrap();
        assert!(queue.push(&first, Instant::now()), "it is in the queue already");
        let other = Arc::new(Live::new(Name::from_text("other.").unwrap()));
        assert!(!queue.push(&other, Instant::now()));
    }

    #[test]
    fn acknowledgements_are_remembered_by_zone_target_and_serial() {
        let told = Told::default();
        let zone = Name::from_text("example.org.").unwrap();
        let target = "192.0.2.1:53".parse().unwrap();
        told.note(&zone, target, 7);
        assert!(told.knows(&zone, target, 7));
        assert!(!told.knows(&zone, target, 8));
        assert!(!told.knows(&zone, "192.0.2.1:54".parse().unwrap(), 7));
    }
}
