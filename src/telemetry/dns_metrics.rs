//! The request metrics of CoreDNS, counted for a few nanoseconds a query.
//!
//! All numbers of one server block's key are in one [`Cells`] at fixed indices; counting hashes nothing and
//! looks nothing up. Names, labels and buckets are CoreDNS's to the letter. The
//! `prometheus` plugin counts the queries of its chain, the server those that no chain receives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use exchange::Query;
use wire::{Rcode, Reply, Rtype, Transport};

use crate::metrics::{self, Cells, SIZE_BUCKETS, Sample, TIME_BUCKETS, Type, Value};

/// The zone label of queries that no server block takes: no dot at its end, so never a zone.
pub const DROPPED: &str = "dropped";

/// Octets of an OPT record without options.
const BARE_OPT: u32 = 11;

/// The types that have a label of their own; all others are `other`.
const TYPES: [(Rtype, &str); 19] = [
    (Rtype::A, "A"),
    (Rtype::AAAA, "AAAA"),
    (Rtype::CNAME, "CNAME"),
    (Rtype::DNSKEY, "DNSKEY"),
    (Rtype::DS, "DS"),
    (Rtype::MX, "MX"),
    (Rtype::NSEC, "NSEC"),
    (Rtype::NSEC3, "NSEC3"),
    (Rtype::NS, "NS"),
    (Rtype::PTR, "PTR"),
    (Rtype::RRSIG, "RRSIG"),
    (Rtype::SOA, "SOA"),
    (Rtype::SRV, "SRV"),
    (Rtype::TXT, "TXT"),
    (Rtype::HTTPS, "HTTPS"),
    (Rtype::SVCB, "SVCB"),
    (Rtype::IXFR, "IXFR"),
    (Rtype::AXFR, "AXFR"),
    (Rtype::ANY, "ANY"),
];

/// The index in [`TYPES`], or its length.
#[inline]
const fn type_index(rtype: Rtype) -> usize {
    match rtype {
        Rtype::A => 0,
        Rtype::AAAA => 1,
        Rtype::CNAME => 2,
        Rtype::DNSKEY => 3,
        Rtype::DS => 4,
        Rtype::MX => 5,
        Rtype::NSEC => 6,
        Rtype::NSEC3 => 7,
        Rtype::NS => 8,
        Rtype::PTR => 9,
        Rtype::RRSIG => 10,
        Rtype::SOA => 11,
        Rtype::SRV => 12,
        Rtype::TXT => 13,
        Rtype::HTTPS => 14,
        Rtype::SVCB => 15,
        Rtype::IXFR => 16,
        Rtype::AXFR => 17,
        Rtype::ANY => 18,
        _ => TYPES.len(),
    }
}

// The numbers of a block, as the families read them; [`PLACES`] has the cell of each.
const DO: usize = 0;
const DURATION: usize = 1;
const DURATION_BUCKETS: usize = TIME_BUCKETS.len() + 1;
const DURATION_SUM: usize = DURATION + DURATION_BUCKETS;
/// Two groups (requests, responses) of two (UDP, TCP) size histograms.
const SIZES: usize = DURATION_SUM + 1;
const SIZE_CELLS: usize = SIZE_BUCKETS.len() + 2;
/// By protocol, family and type.
const REQUESTS: usize = SIZES + 4 * SIZE_CELLS;
/// Responses by rcode, of the plugin that writes them.
const WRITTEN: usize = REQUESTS + 4 * (TYPES.len() + 1);
const CELLS: usize = WRITTEN + RCODES + 1;

/// The numbers that a usual query changes: UDP, IPv4, an address, short, answered at once. The first
/// eight are a cache line.
const USUAL: [usize; 16] = [
    DURATION,
    DURATION_SUM,
    SIZES + 1,
    SIZES + SIZE_CELLS - 1,
    SIZES + 2 * SIZE_CELLS + 2,
    SIZES + 3 * SIZE_CELLS - 1,
    REQUESTS,
    WRITTEN,
    DO,
    DURATION + 1,
    SIZES + 2 * SIZE_CELLS + 1,
    SIZES + 2 * SIZE_CELLS + 3,
    REQUESTS + 1,
    REQUESTS + 9,
    REQUESTS + 14,
    WRITTEN + Rcode::NXDOMAIN.0 as usize,
];

/// The cell of each number. The numbers of a usual query share two cache lines: with thousands of
/// blocks each further line is a cache miss.
static PLACES: [u16; CELLS] = {
    let mut places = [u16::MAX; CELLS];
    let mut next = 0;
    while (next as usize) < USUAL.len() {
        places[USUAL[next as usize]] = next;
        next += 1;
    }
    let mut number = 0;
    while number < CELLS {
        if places[number] == u16::MAX {
            places[number] = next;
            next += 1;
        }
        number += 1;
    }
    places
};

/// The cell of a number.
#[inline]
fn place(number: usize) -> usize {
    usize::from(PLACES[number])
}

/// Rcodes with a cell of their own: those that CoreDNS has a name for. The next cell is `other`.
const RCODES: usize = 24;

/// The bounds of [`SIZE_BUCKETS`] as integers.
const SIZE_BOUNDS: [u32; SIZE_BUCKETS.len()] = {
    let mut bounds = [0; SIZE_BUCKETS.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = SIZE_BUCKETS[index] as u32;
        index += 1;
    }
    bounds
};

/// Whether the `proto` label is `tcp`; [`Transport::proto`] without comparing text.
#[inline]
const fn is_tcp(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp | Transport::Tls | Transport::Https | Transport::Grpc)
}

/// Whether the `family` label is `2`; [`Query::family`] for the many clients with an IPv4 address
/// that needs no look inside.
#[inline]
const fn is_v6(peer: &SocketAddr) -> bool {
    match peer {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(peer) => peer.ip().to_ipv4_mapped().is_none(),
    }
}

/// The first bound of [`TIME_BUCKETS`] in nanoseconds; each further one is twice the one before.
const FIRST_TIME: u64 = 250_000;

#[inline]
fn time_bucket(nanos: u64) -> usize {
    if nanos <= FIRST_TIME {
        return 0;
    }
    // The number of doublings of the first bound that it takes to reach `nanos`.
    let doublings = u64::BITS - ((nanos - 1) / FIRST_TIME).leading_zeros();
    (doublings as usize).min(TIME_BUCKETS.len())
}

#[inline]
fn size_bucket(size: u32) -> usize {
    SIZE_BOUNDS.iter().position(|&bound| size <= bound).unwrap_or(SIZE_BOUNDS.len())
}

/// Server, zone and view.
type Labels = [String; 3];

/// The numbers of every (server, zone, view), and those of its responses by plugin.
#[derive(Default)]
struct All {
    requests: Mutex<BTreeMap<Labels, Numbers>>,
    responses: Mutex<BTreeMap<(Labels, String), Cells>>,
}

/// The numbers of a (server, zone, view).
#[derive(Clone)]
struct Numbers {
    cells: Cells,
    /// The plugin whose responses are counted with the requests, the first that wrote one. Only a reload
    /// can bring another, whose responses are counted elsewhere.
    writer: Arc<OnceLock<String>>,
}

fn all() -> &'static All {
    static ALL: OnceLock<All> = OnceLock::new();
    ALL.get_or_init(All::default)
}

/// The request metrics of one key of a server block. The same labels are the same numbers, also
/// after a reload. A usual query reads one cache line of it.
#[repr(C, align(64))]
pub struct DnsMetrics {
    requests: Cells,
    /// The cells for responses that the plugin wrote, set with the first of them; `None` inside if they
    /// are counted with the requests.
    written: OnceLock<Option<Cells>>,
    /// Responses that no plugin wrote.
    unwritten: Cells,
    writer: Arc<OnceLock<String>>,
    labels: Box<Labels>,
}

const _: () = assert!(std::mem::offset_of!(DnsMetrics, unwritten) <= 64);

impl DnsMetrics {
    /// The metrics of `zone` on the listener `server` (`dns://:53`), for the view `view`.
    pub fn new(server: &str, zone: &str, view: &str) -> Self {
        static SOURCES: Once = Once::new();
        SOURCES.call_once(expose);
        let labels = [server, zone, view].map(ToOwned::to_owned);
        let Numbers { cells: requests, writer } = {
            let mut known = all().requests.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Numbers { cells: Cells::new(CELLS), writer: Arc::default() };
            known.entry(labels.clone()).or_insert_with(new).clone()
        };
        let unwritten = responses(&labels, "");
        let labels = Box::new(labels);
        Self { requests, written: OnceLock::new(), unwritten, writer, labels }
    }

    /// Bytes of the value that the usual query reads.
    pub const READS: usize = std::mem::offset_of!(Self, unwritten);

    /// Prefetches the numbers that a query of `worker` will change.
    #[inline]
    pub fn prefetch(&self, worker: metrics::Worker) {
        self.requests.prefetch(worker, 1);
    }

    /// Counts a query and the reply of its chain. `plugin` names the plugin that is counted as the writer
    /// of replies; it is called once.
    ///
    /// As in CoreDNS, a reply that no plugin wrote, such as a failure, has no plugin and no size, and a
    /// dropped query counts as NOERROR.
    #[inline]
    pub fn replied(&self, query: &Query, reply: &Reply, plugin: impl FnOnce() -> &'static str) {
        if reply.is_silent() || reply.failure().is_some() {
            let rcode = if reply.is_silent() { Rcode::NOERROR } else { reply.rcode() };
            self.count(query, Some(&self.unwritten), rcode, 0);
            return;
        }
        // CoreDNS measures OPT records of upstreams and plugins, but not the one that the server adds.
        let options = reply.opt.as_wire().len() as u32;
        let opt = if reply.opt.own || options > 0 { BARE_OPT + options } else { 0 };
        let written = self.written.get_or_init(|| self.written_by(plugin()));
        self.count(query, written.as_ref(), reply.rcode(), reply.plain_len() + opt);
    }

    /// The cells for responses of `plugin`, if they are not counted with the requests.
    #[cold]
    fn written_by(&self, plugin: &str) -> Option<Cells> {
        if plugin.is_empty() {
            return Some(self.unwritten.clone());
        }
        let writer = self.writer.get_or_init(|| plugin.to_owned());
        (writer != plugin).then(|| responses(&self.labels, plugin))
    }

    /// Counts a query that no chain received and that the server answered with `rcode`.
    pub fn refused(&self, query: &Query, rcode: Rcode) {
        let opt = if query.edns().is_some() { BARE_OPT } else { 0 };
        self.count(query, Some(&self.unwritten), rcode, query.question_end() as u32 + opt);
    }

    #[inline]
    fn count(&self, query: &Query, responses: Option<&Cells>, rcode: Rcode, size: u32) {
        let cells = self.requests.shard(query.client.worker);
        let add = |number, n| cells.add(place(number), n);
        if query.wants_dnssec() {
            add(DO, 1);
        }
        let tcp = usize::from(is_tcp(query.client.transport));
        let v6 = usize::from(is_v6(&query.client.peer));
        add(REQUESTS + (tcp * 2 + v6) * (TYPES.len() + 1) + type_index(query.qtype()), 1);
        let nanos = query.client.now.0.saturating_sub(query.client.received.0);
        add(DURATION + time_bucket(nanos), 1);
        // A query that is answered within its batch takes no measurable time.
        if nanos > 0 {
            add(DURATION_SUM, nanos);
        }
        let request = query.bytes().len() as u32;
        for (stretch, size) in [request, size].into_iter().enumerate() {
            let base = SIZES + (stretch * 2 + tcp) * SIZE_CELLS;
            add(base + size_bucket(size), 1);
            add(base + SIZE_CELLS - 1, u64::from(size));
        }
        let rcode = usize::from(rcode.0).min(RCODES);
        match responses {
            None => add(WRITTEN + rcode, 1),
            Some(apart) => apart.add(query.client.worker, rcode, 1),
        }
    }

    /// The number of queries.
    pub fn requests(&self) -> u64 {
        (REQUESTS..WRITTEN).map(|cell| self.requests.sum(place(cell))).sum()
    }

    /// The sum of their durations.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.requests.sum(place(DURATION_SUM)))
    }
}

fn responses(labels: &Labels, plugin: &str) -> Cells {
    let mut known = all().responses.lock().unwrap_or_else(PoisonError::into_inner);
    known
        .entry((labels.clone(), plugin.to_owned()))
        .or_insert_with(|| Cells::new(RCODES + 1))
        .clone()
}

/// Registers the families, each with a source that reads the cells. Series that never counted are left
/// out: CoreDNS creates a series with its first count.
fn expose() {
    metrics::source(
        "coredns_dns_requests_total",
        "Counter of DNS requests made per zone, protocol and family.",
        &["server", "zone", "view", "proto", "family", "type"],
        Type::Counter,
        |out| each(out, request_counters),
    );
    metrics::source(
        "coredns_dns_do_requests_total",
        "Counter of DNS requests with DO bit set per zone.",
        &["server", "zone", "view"],
        Type::Counter,
        |out| each(out, |labels, cells, out| push_count(out, labels, &[], cells.sum(place(DO)))),
    );
    metrics::source(
        "coredns_dns_request_duration_seconds",
        "Histogram of the time (in seconds) each request took per zone.",
        &["server", "zone", "view"],
        Type::Histogram,
        |out| {
            each(out, |labels, cells, out| {
                push_histogram(out, labels, &[], cells, DURATION, TIME_BUCKETS, 1e-9);
            });
        },
    );
    metrics::source(
        "coredns_dns_request_size_bytes",
        "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
        &["server", "zone", "view", "proto"],
        Type::Histogram,
        |out| each(out, |labels, cells, out| sizes(labels, cells, 0, out)),
    );
    metrics::source(
        "coredns_dns_response_size_bytes",
        "Size of the returned response in bytes.",
        &["server", "zone", "view", "proto"],
        Type::Histogram,
        |out| each(out, |labels, cells, out| sizes(labels, cells, 1, out)),
    );
    metrics::source(
        "coredns_dns_responses_total",
        "Counter of response status codes.",
        &["server", "zone", "view", "rcode", "plugin"],
        Type::Counter,
        response_counters,
    );
}

fn each(out: &mut Vec<Sample>, read: impl Fn(&Labels, &Cells, &mut Vec<Sample>)) {
    let known = all().requests.lock().unwrap_or_else(PoisonError::into_inner);
    for (labels, numbers) in known.iter() {
        read(labels, &numbers.cells, out);
    }
}

fn request_counters(labels: &Labels, cells: &Cells, out: &mut Vec<Sample>) {
    let mut cell = REQUESTS;
    for proto in ["udp", "tcp"] {
        for family in ["1", "2"] {
            for rtype in TYPES.iter().map(|(_, text)| *text).chain(["other"]) {
                push_count(out, labels, &[proto, family, rtype], cells.sum(place(cell)));
                cell += 1;
            }
        }
    }
}

fn sizes(labels: &Labels, cells: &Cells, stretch: usize, out: &mut Vec<Sample>) {
    for (tcp, proto) in ["udp", "tcp"].into_iter().enumerate() {
        let base = SIZES + (stretch * 2 + tcp) * SIZE_CELLS;
        push_histogram(out, labels, &[proto], cells, base, SIZE_BUCKETS, 1.0);
    }
}

fn response_counters(out: &mut Vec<Sample>) {
    let by_rcode = |labels: &Labels, plugin: &str, count: &dyn Fn(usize) -> u64, out: &mut _| {
        for code in 0..=RCODES {
            let rcode = match code {
                RCODES => "other".to_owned(),
                code => Rcode(code as u16).to_string(),
            };
            push_count(out, labels, &[&rcode, plugin], count(code));
        }
    };
    let known = all().requests.lock().unwrap_or_else(PoisonError::into_inner);
    for (labels, Numbers { cells, writer }) in known.iter() {
        if let Some(writer) = writer.get() {
            by_rcode(labels, writer, &|code| cells.sum(place(WRITTEN + code)), out);
        }
    }
    drop(known);
    let known = all().responses.lock().unwrap_or_else(PoisonError::into_inner);
    for ((labels, plugin), cells) in known.iter() {
        by_rcode(labels, plugin, &|code| cells.sum(code), out);
    }
}

fn all_labels(labels: &Labels, more: &[&str]) -> Vec<String> {
    labels.iter().cloned().chain(more.iter().map(ToString::to_string)).collect()
}

fn push_count(out: &mut Vec<Sample>, labels: &Labels, more: &[&str], count: u64) {
    if count > 0 {
        let value = Value::Counter(count as f64);
        out.push(Sample { labels: all_labels(labels, more), value });
    }
}

/// A histogram whose buckets start at `base`, followed by the sum of the observations.
fn push_histogram(
    out: &mut Vec<Sample>,
    labels: &Labels,
    more: &[&str],
    cells: &Cells,
    base: usize,
    bounds: &'static [f64],
    scale: f64,
) {
    let counts: Vec<u64> =
        (0..=bounds.len()).map(|bucket| cells.sum(place(base + bucket))).collect();
    if counts.iter().any(|&count| count > 0) {
        let sum = cells.sum(place(base + bounds.len() + 1)) as f64 * scale;
        let value = Value::Histogram { bounds, counts, sum };
        out.push(Sample { labels: all_labels(labels, more), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Failure, Moment, Name, Rdata};

    #[test]
    fn buckets_are_those_of_the_bounds() {
        for (index, bound) in TIME_BUCKETS.iter().enumerate() {
            let nanos = (bound * 1e9).round() as u64;
            assert_eq!(time_bucket(nanos), index, "{bound}");
            assert_eq!(time_bucket(nanos + 1), index + 1, "just above {bound}");
        }
        assert_eq!(time_bucket(0), 0);
        assert_eq!(time_bucket(u64::MAX), TIME_BUCKETS.len());
        assert_eq!(size_bucket(0), 0);
        assert_eq!(size_bucket(511), 5);
        assert_eq!(size_bucket(512), 6);
        assert_eq!(size_bucket(65_535), 14);
        for (index, (rtype, text)) in TYPES.iter().enumerate() {
            assert_eq!(type_index(*rtype), index);
            assert_eq!(rtype.to_string(), *text);
        }
        assert_eq!(type_index(Rtype::NAPTR), TYPES.len());
    }

    #[test]
    fn labels_are_those_of_the_query() {
        use Transport::{Grpc, Https, Https3, Quic, Tcp, Tls, Udp};
        for transport in [Udp, Tcp, Tls, Https, Https3, Quic, Grpc] {
            assert_eq!(is_tcp(transport), transport.proto() == "tcp", "{transport:?}");
        }
        let mut query = Query::new();
        for peer in ["192.0.2.1:5", "[2001:db8::1]:5", "[::ffff:192.0.2.1]:5", "[::1]:5"] {
            query.client.peer = peer.parse().unwrap();
            assert_eq!(
                is_v6(&query.client.peer),
                query.client.family() == wire::Family::V6,
                "{peer}"
            );
        }
    }

    fn ask(qtype: Rtype, dnssec: bool) -> Query {
        let mut query = Query::new();
        let name = Name::from_text("www.example.org.").unwrap();
        query.make_subquery(&Query::new(), name.as_wire(), qtype, dnssec);
        query
    }

    #[test]
    fn another_plugin_after_a_reload_gets_its_own_counts() {
        let query = ask(Rtype::A, false);
        let mut reply = Reply::new();
        reply.begin(&query);
        for (plugin, times) in [("file", 1), ("hosts", 2), ("file", 4)] {
            let metrics = DnsMetrics::new("dns://:1", "turns.test.", "");
            (0..times).for_each(|_| metrics.replied(&query, &reply, || plugin));
        }
        let text = metrics::text();
        for (plugin, times) in [("file", 5), ("hosts", 2)] {
            let labels = r#"rcode="NOERROR",server="dns://:1",view="",zone="turns.test.""#;
            let line =
                format!(r#"coredns_dns_responses_total{{plugin="{plugin}",{labels}}} {times}"#);
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_counted_is_exposed_and_nothing_else() {
        let metrics = DnsMetrics::new("dns://:1", "count.test.", "");
        let mut query = ask(Rtype::HTTPS, true);
        query.client.now = Moment(300_000);
        let mut reply = Reply::new();
        reply.begin(&query);
        reply.answer(1, Rdata::A([1, 2, 3, 4].into()));
        metrics.replied(&query, &reply, || "errors");
        reply.fail(Failure::rcode(Rcode::SERVFAIL));
        metrics.replied(&query, &reply, || unreachable!("a failure is nobody's"));
        DnsMetrics::new("dns://:1", "count.test.", "")
            .refused(&ask(Rtype::NAPTR, false), Rcode(77));
        assert_eq!(metrics.requests(), 3);
        assert_eq!(metrics.duration(), Duration::from_micros(600));
        let text = metrics::text();
        let mine: Vec<&str> = text.lines().filter(|line| line.contains("count.test.")).collect();
        let has = |line: &str| assert!(mine.contains(&line), "{line} in {mine:#?}");
        let server = r#"server="dns://:1""#;
        let zone = r#"view="",zone="count.test.""#;
        let requests = "coredns_dns_requests_total";
        has(&format!(r#"{requests}{{family="1",proto="udp",{server},type="HTTPS",{zone}}} 2"#));
        has(&format!(r#"{requests}{{family="1",proto="udp",{server},type="other",{zone}}} 1"#));
        assert_eq!(mine.iter().filter(|line| line.starts_with(requests)).count(), 2);
        let responses = "coredns_dns_responses_total";
        has(&format!(r#"{responses}{{plugin="errors",rcode="NOERROR",{server},{zone}}} 1"#));
        has(&format!(r#"{responses}{{plugin="",rcode="SERVFAIL",{server},{zone}}} 1"#));
        has(&format!(r#"{responses}{{plugin="",rcode="other",{server},{zone}}} 1"#));
        has(&format!("coredns_dns_do_requests_total{{{server},{zone}}} 2"));
        let seconds = "coredns_dns_request_duration_seconds";
        has(&format!(r#"{seconds}_bucket{{{server},{zone},le="0.00025"}} 1"#));
        has(&format!(r#"{seconds}_bucket{{{server},{zone},le="0.0005"}} 3"#));
        has(&format!("{seconds}_count{{{server},{zone}}} 3"));
        let sizes = "coredns_dns_response_size_bytes";
        has(&format!(r#"{sizes}_bucket{{proto="udp",{server},{zone},le="0"}} 1"#));
        has(&format!(r#"{sizes}_sum{{proto="udp",{server},{zone}}} {}"#, 33 + 31 + 33 + 11));
        assert!(!mine.iter().any(|line| line.contains(r#"proto="tcp""#)), "{mine:#?}");
    }
}
