//! The memory budget: measures the memory in use from time to time and divides it anew.
//!
//! Caches get what zones, connections and waiting queries leave, up to half of the limit. A quarter of
//! that stays free for new queries. When more queries wait, the oldest cache entries are evicted. When
//! the caches are down to their minimum, no more queries may wait, and new ones are refused. Waiting
//! queries and cache entries are counted; the resident memory of the process, which the system
//! reports, shows everything else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::memory::{self, Memory};
use net::{LimitControl, Stats, WaitingLimit};
use telemetry::metrics::{self, Sample, Type, Value};

/// What a waiting query takes, with its buffers, its task and the exchange with an upstream.
const QUERY: u64 = 12 << 10;
/// What a connection takes: its task and buffers that are not shared.
const CONNECTION: u64 = 16 << 10;
/// Looks while much is used, and while little is.
const OFTEN: Duration = Duration::from_millis(25);
const SELDOM: Duration = Duration::from_millis(250);
/// Memory is given back to the system no more often than this; the first while more than permitted is
/// in use, until that does not help.
const SHORT_PAUSE: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_secs(5);
/// Shortage is logged no more often than this.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// What the process takes for itself is the least in so long, up to twice that.
const WINDOW: Duration = Duration::from_secs(30);

/// What is used at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Octets in memory, as the system counts.
    resident: u64,
    /// Octets that caches hold.
    held: u64,
    waiting: u64,
    connections: u64,
}

/// How much each may have from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    /// Octets for caches.
    stores: u64,
    waiting: WaitingLimit,
    connections: u64,
}

/// What may be used of `limit`: what is counted too low has a sixteenth.
fn usable(limit: u64) -> u64 {
    limit - limit / 16
}

/// Shares `limit` out, of which `base` is taken by what is neither cache nor query.
fn share(limit: u64, base: u64, used: &Use) -> Shares {
    let usable = usable(limit);
    let room = usable.saturating_sub(base);
    let connections = room / 2 / CONNECTION;
    let room = room.saturating_sub(used.connections * CONNECTION);
    let waiting = used.waiting * QUERY;
    let least = limit / 16;
    let mut stores = room.saturating_sub(waiting + room / 4).clamp(least, limit / 2);
    // Caches may have grown a little until the next look.
    let more = room.saturating_sub(waiting + used.held + limit / 32) / QUERY;
    let mut queries = WaitingLimit::More(usize::try_from(more).unwrap_or(usize::MAX));
    let over = used.resident.saturating_sub(usable);
    if over > 0 {
        stores = stores.min(used.held.saturating_sub(over)).max(least);
        // Before the limit is reached: what waits already may grow a little until the next look.
        let full = used.resident > limit - limit / 64;
        queries = if full { WaitingLimit::Fewer } else { WaitingLimit::More(0) };
    }
    Shares { stores, waiting: queries, connections }
}

/// The least of late: memory that was freed stays with the allocator for a while, and counts as used.
struct Base {
    now: u64,
    before: u64,
    since: Instant,
}

impl Base {
    fn of(&mut self, used: &Use, now: Instant) -> u64 {
        if now.duration_since(self.since) >= WINDOW {
            self.before = std::mem::replace(&mut self.now, u64::MAX);
            self.since = now;
        }
        let counted = used.held + used.waiting * QUERY + used.connections * CONNECTION;
        self.now = self.now.min(used.resident.saturating_sub(counted));
        self.now.min(self.before)
    }
}

/// Looks, and shares out, for as long as the process serves.
pub(super) async fn keep(memory: Arc<Memory>, stats: Stats, room: LimitControl) {
    show(&memory, &stats);
    let began = Instant::now();
    let mut base = Base { now: u64::MAX, before: u64::MAX, since: began };
    let (mut given_back, mut logged) = (None::<Instant>, None::<Instant>);
    let mut pause = SHORT_PAUSE;
    let due = |last: Option<Instant>, pause, now: Instant| {
        last.is_none_or(|last| now.duration_since(last) >= pause)
    };
    loop {
        let (now, limit) = (Instant::now(), memory.limit());
        let counts = stats.snapshot();
        let mut used = Use {
            resident: resident().unwrap_or(0),
            held: memory.held(),
            waiting: counts.waiting,
            connections: counts.tcp_open,
        };
        let base = base.of(&used, now);
        let counted = base + used.held + used.waiting * QUERY + used.connections * CONNECTION;
        let over = used.resident > usable(limit);
        let wait = if over { pause } else { PAUSE };
        if used.resident > counted + limit / 8 && due(given_back, wait, now) {
            given_back = Some(now);
            sys::trim_heap();
            used.resident = resident().unwrap_or(used.resident);
            let helped = used.resident <= usable(limit);
            pause = if helped { SHORT_PAUSE } else { (pause * 2).min(PAUSE) };
        }
        let shares = share(limit, base, &used);
        memory.set_store_budget(shares.stores);
        if used.held > shares.stores {
            memory.evict();
        }
        let connections = usize::try_from(shares.connections).unwrap_or(usize::MAX);
        room.give(shares.waiting, connections);
        if used.resident > limit && due(logged, LOG_PAUSE, now) {
            logged = Some(now);
            telemetry::warning!(
                "memory limit reached: {} of {} in use, {} of it by caches and {} by zones and the \
                 server itself; new queries that must wait are refused",
                memory::shown(used.resident),
                memory::shown(limit),
                memory::shown(used.held),
                memory::shown(base)
            );
        }
        let much = used.resident > limit / 2 || used.waiting > 100;
        tokio::time::sleep(if much { OFTEN } else { SELDOM }).await;
    }
}

/// The metrics of the budget.
fn show(memory: &Arc<Memory>, stats: &Stats) {
    let gauge = |name, help, read: fn(&Memory) -> u64| {
        let memory = Arc::clone(memory);
        metrics::gauge_fn(name, help, &[], &[], move || read(&memory) as f64);
    };
    gauge("catena_memory_limit_bytes", "Memory limit of the process, in bytes.", Memory::limit);
    gauge("catena_memory_stores_bytes", "Memory that the caches hold, in bytes.", Memory::held);
    gauge(
        "catena_memory_stores_limit_bytes",
        "Memory limit of the caches at present, in bytes.",
        Memory::store_budget,
    );
    let stats = stats.clone();
    metrics::source(
        "catena_memory_refused_total",
        "Queries refused because the memory limit was reached.",
        &[],
        Type::Counter,
        move |samples| {
            let refused = stats.snapshot().memory_refused as f64;
            samples.push(Sample { labels: Vec::new(), value: Value::Counter(refused) });
        },
    );
}

/// The resident size of the process.
fn resident() -> Option<u64> {
    kib(&files::read_kernel("/proc/self/status").ok()?, "VmRSS:")
}

/// What the process may use where neither the Corefile nor the environment says so: four fifths of
/// what its control group may, or half of what the machine has.
pub(crate) fn allowed() -> u64 {
    let read = |path: &str| files::read_kernel(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| kib(&text, "MemTotal:"));
    let half = machine.map_or(u64::MAX, |total| total / 2);
    match read("/proc/self/cgroup").and_then(|groups| group_limit(&groups, read)) {
        // A group without a limit has one that no machine reaches.
        Some(limit) if machine.is_none_or(|total| limit < total) => limit / 5 * 4,
        _ => half,
    }
}

/// The least limit of the control groups named in `/proc/self/cgroup`, and of those around them.
fn group_limit(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        // The second version has one tree for all controllers.
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            let limit = read(&format!("{root}{path}/{file}"));
            let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
            least = least.into_iter().chain(limit).min();
            // Inside a container the path may be that of the host, and the root is what counts.
            match path.rfind('/') {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
    }
    least
}

/// The number of KiB behind `key`, in octets.
fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn used(resident: u64, held: u64, waiting: u64) -> Use {
        Use { resident: resident * MIB, held: held * MIB, waiting, connections: 0 }
    }

    fn more(shares: &Shares) -> u64 {
        match shares.waiting {
            WaitingLimit::More(more) => more as u64,
            WaitingLimit::Fewer => panic!("fewer"),
        }
    }

    #[test]
    fn caches_get_half_as_long_as_nothing_else_wants_it() {
        let idle = share(128 * MIB, 8 * MIB, &used(8, 0, 0));
        assert_eq!(idle.stores, 64 * MIB);
        assert_eq!(more(&idle), (120 - 8 - 4) * MIB / QUERY);
    }

    #[test]
    fn waiting_queries_push_out_what_is_cached_and_then_wait_no_more() {
        let limit = 128 * MIB;
        // Caches are full and queries come as fast as they are let in.
        let (mut held, mut waiting) = (64, 0);
        let mut refused = false;
        for _ in 0..50 {
            let resident = 8 + held + waiting * QUERY / MIB;
            assert!(resident * MIB <= limit, "{held} {waiting}");
            let shares = share(limit, 8 * MIB, &used(resident, held, waiting));
            held = held.min(shares.stores / MIB);
            refused |= more(&shares) == 0;
            waiting += more(&shares);
        }
        assert_eq!((held, refused), (8, true), "the least that caches keep");
        assert!(waiting * QUERY > 96 * MIB, "{waiting}");
    }

    #[test]
    fn what_was_counted_too_low_shows() {
        let over = share(128 * MIB, 8 * MIB, &used(125, 60, 100));
        assert_eq!((over.stores, over.waiting), (55 * MIB, WaitingLimit::More(0)));
        let far_over = share(128 * MIB, 8 * MIB, &used(140, 20, 100));
        assert_eq!((far_over.stores, far_over.waiting), (8 * MIB, WaitingLimit::Fewer));
    }

    #[test]
    fn a_limit_without_room_leaves_the_least() {
        let none = share(32 * MIB, 100 * MIB, &used(100, 0, 0));
        assert_eq!((none.stores, none.waiting), (2 * MIB, WaitingLimit::Fewer));
        assert_eq!(none.connections, 0);
    }

    #[test]
    fn freed_memory_is_no_need() {
        let began = Instant::now();
        let mut base = Base { now: u64::MAX, before: u64::MAX, since: began };
        assert_eq!(base.of(&used(8, 0, 0), began), 8 * MIB);
        let seconds = |count| began + Duration::from_secs(count);
        assert_eq!(base.of(&used(100, 0, 0), seconds(10)), 8 * MIB, "a burst is over");
        assert_eq!(base.of(&used(100, 0, 0), seconds(40)), 8 * MIB);
        assert_eq!(base.of(&used(100, 0, 0), seconds(80)), 100 * MIB, "it has grown");
    }

    #[test]
    fn limits_of_control_groups() {
        let files = |path: &str| {
            let text = match path {
                "/sys/fs/cgroup/pod/one/memory.max" => "max\n",
                "/sys/fs/cgroup/pod/memory.max" => "178257920\n",
                "/sys/fs/cgroup/memory.max" => "4294967296\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes" => "1000\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(group_limit("0::/pod/one\n", files), Some(170 << 20));
        assert_eq!(group_limit("0::/\n", files), Some(4 << 30));
        assert_eq!(group_limit("4:cpu:/\n3:hugetlb,memory:/docker/x\n", files), Some(1000));
        assert_eq!(group_limit("0::/pod/one\n", |_| None), None);
        assert_eq!(kib("VmPeak: 7 kB\nVmRSS:\t 12 kB\n", "VmRSS:"), Some(12 << 10));
    }
}
