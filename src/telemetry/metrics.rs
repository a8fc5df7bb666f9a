//! Metrics: counted per worker without a shared cache line, summed when scraped.
//!
//! Families live as long as the process and are found by name, so a reload goes on counting where
//! the configuration before it stopped.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto;

/// The shard to count in: the number of a worker, or [`SHARED`] on any other thread.
pub type Worker = usize;

/// The shard for everything that is not a worker's own thread.
pub const SHARED: Worker = usize::MAX;

/// As many numbers as one cache line holds.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Line([AtomicU64; LINE]);

const LINE: usize = 8;

/// A group of numbers counted together: one contiguous stretch of memory per worker.
///
/// A clone shares the numbers.
#[derive(Clone, Debug)]
pub struct Cells {
    lines: Arc<[Line]>,
    /// Lines of one worker.
    stride: usize,
}

impl Cells {
    /// `len` numbers for each of the workers.
    pub fn new(len: usize) -> Self {
        // An even number of lines: processors fetch them in pairs, and no pair is shared.
        let stride = len.div_ceil(LINE).next_multiple_of(2);
        // One shard more, for SHARED.
        let lines = (0..(workers() + 1) * stride).map(|_| Line::default()).collect();
        Self { lines, stride }
    }

    /// Adds `n` to number `index`.
    #[inline]
    pub fn add(&self, worker: Worker, index: usize, n: u64) {
        self.shard(worker).add(index, n);
    }

    /// The numbers of one worker, to add to several at once.
    #[inline]
    pub fn shard(&self, worker: Worker) -> Shard<'_> {
        let others = self.lines.len() - self.stride;
        let start = worker.saturating_mul(self.stride);
        let shared = start >= others;
        let start = if shared { others } else { start };
        Shard { lines: &self.lines[start..start + self.stride], shared }
    }

    /// Prefetches the first `lines` cache lines of a worker's numbers, eight in each.
    #[inline]
    pub fn prefetch(&self, worker: Worker, lines: usize) {
        for line in self.shard(worker).lines.iter().take(lines) {
            wire::prefetch::fetch(line);
        }
    }

    /// The sum of number `index` over all workers.
    pub fn sum(&self, index: usize) -> u64 {
        self.lines
            .chunks_exact(self.stride)
            .map(|shard| shard[index / LINE].0[index % LINE].load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

/// One worker's numbers of a [`Cells`].
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    lines: &'a [Line],
    shared: bool,
}

impl Shard<'_> {
    /// Adds `n` to number `index`.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        let cell = &self.lines[index / LINE].0[index % LINE];
        if self.shared {
            cell.fetch_add(n, Ordering::Relaxed);
        } else {
            // Written by its worker's thread alone, so a load and a store will do.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }
}

/// Sets the number of workers; call once, before the first metric is made.
pub fn set_workers(count: usize) {
    let _ = WORKERS.set(count);
}

fn workers() -> usize {
    *WORKERS.get_or_init(|| 1)
}

static WORKERS: OnceLock<usize> = OnceLock::new();

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct Counter(Cells);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self, worker: Worker) {
        self.0.add(worker, 0, 1);
    }

    /// Adds `n`.
    pub fn add(&self, worker: Worker, n: u64) {
        self.0.add(worker, 0, n);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A distribution over fixed buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    cells: Cells,
    bounds: &'static [f64],
    /// What one unit of an observed integer is worth: 1e-9 for nanoseconds.
    scale: f64,
    /// The bounds in units.
    units: Arc<[u64]>,
}

impl Histogram {
    fn new(bounds: &'static [f64], scale: f64) -> Self {
        let units = bounds.iter().map(|bound| (bound / scale).round() as u64).collect();
        // Buckets, the one above the last bound, and the sum.
        Self { cells: Cells::new(bounds.len() + 2), bounds, scale, units }
    }

    /// Counts one observation, in units of the histogram's scale.
    #[inline]
    pub fn observe(&self, worker: Worker, units: u64) {
        let bucket = self.units.iter().position(|&bound| units <= bound);
        self.cells.add(worker, bucket.unwrap_or(self.units.len()), 1);
        self.cells.add(worker, self.units.len() + 1, units);
    }

    /// The number of observations.
    pub fn count(&self) -> u64 {
        (0..=self.units.len()).map(|bucket| self.cells.sum(bucket)).sum()
    }

    fn proto(&self) -> proto::Histogram {
        let counts: Vec<u64> = (0..=self.bounds.len()).map(|index| self.cells.sum(index)).collect();
        let sum = self.cells.sum(self.bounds.len() + 1) as f64 * self.scale;
        histogram_proto(self.bounds, &counts, sum)
    }
}

fn histogram_proto(bounds: &[f64], counts: &[u64], sum: f64) -> proto::Histogram {
    let mut histogram = proto::Histogram::default();
    let mut total = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        total += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}

/// Buckets in seconds as CoreDNS times requests: 0.25 ms doubling fifteen times.
pub const TIME_BUCKETS: &[f64] = &[
    0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
    2.048, 4.096, 8.192,
];

/// Buckets in bytes as CoreDNS sizes messages.
pub const SIZE_BUCKETS: &[f64] = &[
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16000.0, 32000.0,
    48000.0, 64000.0,
];

/// A gauge whose value is computed at each scrape.
pub type GaugeFn = Arc<dyn Fn() -> f64 + Send + Sync>;

/// A number read when scraped.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number that only grows.
    Counter(f64),
    /// A number that goes up and down.
    Gauge(f64),
    /// A distribution.
    Histogram {
        /// Upper bounds of the buckets.
        bounds: &'static [f64],
        /// Observations in each bucket alone, and above the last bound: one more than bounds.
        counts: Vec<u64>,
        /// The sum of all observations.
        sum: f64,
    },
}

/// One child of a [`source`]'s family.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A value for each label.
    pub labels: Vec<String>,
    /// The number.
    pub value: Value,
}

/// The kinds of family a [`source`] may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Of [`Value::Counter`].
    Counter,
    /// Of [`Value::Gauge`].
    Gauge,
    /// Of [`Value::Histogram`].
    Histogram,
}

/// Produces all children of a family at each scrape.
pub type Source = Arc<dyn Fn(&mut Vec<Sample>) + Send + Sync>;

#[derive(Clone)]
enum Child {
    Counter(Counter),
    Gauge(Gauge),
    Ask(GaugeFn),
    Histogram(Histogram),
}

/// A metric by name with its label names; the children differ in label values.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: proto::MetricType,
    children: Mutex<BTreeMap<Vec<String>, Child>>,
    source: Mutex<Option<Source>>,
}

/// The metrics of the process.
#[derive(Default)]
struct All {
    families: Mutex<HashMap<&'static str, Arc<Family>>>,
}

fn all() -> &'static All {
    static ALL: OnceLock<All> = OnceLock::new();
    ALL.get_or_init(All::default)
}

fn family(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: proto::MetricType,
) -> Arc<Family> {
    let mut families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
    let family = families.entry(name).or_insert_with(|| {
        Arc::new(Family {
            name,
            help,
            labels,
            kind,
            children: Mutex::default(),
            source: Mutex::default(),
        })
    });
    debug_assert_eq!(family.labels, labels, "one metric, one set of labels");
    Arc::clone(family)
}

impl Family {
    fn child(&self, values: &[&str], make: impl FnOnce() -> Child) -> Child {
        debug_assert_eq!(values.len(), self.labels.len(), "a value for each label");
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let values = values.iter().map(ToString::to_string).collect();
        children.entry(values).or_insert_with(make).clone()
    }

    fn proto(&self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metrics: Vec<proto::Metric> = Vec::with_capacity(children.len());
        for (values, child) in children.iter() {
            let mut metric = self.metric(values);
            match child {
                Child::Counter(counter) => metric.set_counter(counter_proto(counter.get() as f64)),
                Child::Gauge(gauge) => metric.set_gauge(gauge_proto(gauge.get())),
                Child::Ask(ask) => metric.set_gauge(gauge_proto(ask())),
                Child::Histogram(histogram) => metric.set_histogram(histogram.proto()),
            }
            if !self.never_counted(&metric) {
                metrics.push(metric);
            }
        }
        drop(children);
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(source) = source {
            let mut samples = Vec::new();
            source(&mut samples);
            metrics.extend(samples.into_iter().map(|sample| {
                let mut metric = self.metric(&sample.labels);
                match sample.value {
                    Value::Counter(value) => metric.set_counter(counter_proto(value)),
                    Value::Gauge(value) => metric.set_gauge(gauge_proto(value)),
                    Value::Histogram { bounds, counts, sum } => {
                        metric.set_histogram(histogram_proto(bounds, &counts, sum));
                    }
                }
                metric
            }));
        }
        metrics.sort_by(|a, b| values(a).cmp(values(b)));
        family.set_metric(metrics);
        family
    }

    /// Other Prometheus clients create a labelled child with its first count, so a series that is
    /// always zero is not exposed.
    fn never_counted(&self, metric: &proto::Metric) -> bool {
        let counted = match self.kind {
            proto::MetricType::COUNTER => metric.get_counter().get_value() > 0.0,
            proto::MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() > 0,
            _ => true,
        };
        !counted && !self.labels.is_empty()
    }

    /// A child without its number yet; labels in the order of their names, as all clients give them.
    fn metric(&self, values: &[String]) -> proto::Metric {
        let mut metric = proto::Metric::default();
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        });
        let mut pairs: Vec<proto::LabelPair> = pairs.collect();
        pairs.sort_by(|a, b| a.name().cmp(b.name()));
        metric.set_label(pairs);
        metric
    }
}

fn values(metric: &proto::Metric) -> impl Iterator<Item = &str> {
    metric.get_label().iter().map(|pair| pair.value())
}

fn counter_proto(value: f64) -> proto::Counter {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    counter
}

fn gauge_proto(value: f64) -> proto::Gauge {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    gauge
}

/// The counter `name` with these label values; the same one for the same values.
pub fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
) -> Counter {
    let family = family(name, help, labels, proto::MetricType::COUNTER);
    match family.child(values, || Child::Counter(Counter(Cells::new(1)))) {
        Child::Counter(counter) => counter,
        _ => unreachable!("`{name}` is a counter everywhere"),
    }
}

/// The gauge `name` with these label values.
pub fn gauge(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
) -> Gauge {
    let family = family(name, help, labels, proto::MetricType::GAUGE);
    match family.child(values, || Child::Gauge(Gauge::default())) {
        Child::Gauge(gauge) => gauge,
        _ => unreachable!("`{name}` is a plain gauge everywhere"),
    }
}

/// A gauge whose value is computed at each scrape; a later call for the same labels replaces it.
pub fn gauge_fn(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
    ask: impl Fn() -> f64 + Send + Sync + 'static,
) {
    let family = family(name, help, labels, proto::MetricType::GAUGE);
    let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
    children.insert(values.iter().map(ToString::to_string).collect(), Child::Ask(Arc::new(ask)));
}

/// The histogram `name` with these label values. Observations are integers worth `scale` each.
pub fn histogram(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
    bounds: &'static [f64],
    scale: f64,
) -> Histogram {
    let family = family(name, help, labels, proto::MetricType::HISTOGRAM);
    match family.child(values, || Child::Histogram(Histogram::new(bounds, scale))) {
        Child::Histogram(histogram) => histogram,
        _ => unreachable!("`{name}` is a histogram everywhere"),
    }
}

/// The family `name`, whose children `read` produces at each scrape; a later call replaces `read`.
///
/// For numbers that share one [`Cells`], that only the system knows, or whose label values are not
/// known beforehand. A child that `read` omits is not exposed.
pub fn source(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: Type,
    read: impl Fn(&mut Vec<Sample>) + Send + Sync + 'static,
) {
    let kind = match kind {
        Type::Counter => proto::MetricType::COUNTER,
        Type::Gauge => proto::MetricType::GAUGE,
        Type::Histogram => proto::MetricType::HISTOGRAM,
    };
    let family = family(name, help, labels, kind);
    *family.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(read));
}

/// Removes the children of `name` for whose label values `gone` is true: those that a new
/// configuration no longer has.
pub fn forget(name: &str, mut gone: impl FnMut(&[String]) -> bool) {
    let families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(family) = families.get(name) {
        let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|values, _| !gone(values));
    }
}

/// All our families as a collector of the prometheus crate.
pub struct Families;

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        // Families come and go with configurations: described by what they collect.
        Vec::new()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        // A source may take long or make a metric itself: not while holding the lock.
        let families: Vec<Arc<Family>> = {
            let families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
            families.values().cloned().collect()
        };
        families
            .iter()
            .map(|family| family.proto())
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

/// Everything as Prometheus text, sorted by name.
pub fn text() -> String {
    let mut families = Families.collect();
    families.sort_by(|a, b| a.name().cmp(b.name()));
    prometheus::TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_workers_and_elsewhere_add_up() {
        let requests = counter("catena_test_total", "Test.", &["zone"], &["a."]);
        requests.inc(0);
        requests.inc(SHARED);
        counter("catena_test_total", "Test.", &["zone"], &["a."]).inc(7);
        assert_eq!(requests.get(), 3);
        let seconds = histogram("catena_test_seconds", "Test.", &[], &[], TIME_BUCKETS, 1e-9);
        seconds.observe(0, 250_000);
        seconds.observe(0, 250_001);
        seconds.observe(0, u64::from(u32::MAX) * 1000);
        let text = text();
        assert!(text.contains("catena_test_total{zone=\"a.\"} 3\n"), "{text}");
        assert!(text.contains("catena_test_seconds_bucket{le=\"0.00025\"} 1\n"), "{text}");
        assert!(text.contains("catena_test_seconds_bucket{le=\"0.0005\"} 2\n"), "{text}");
        assert!(text.contains("catena_test_seconds_bucket{le=\"+Inf\"} 3\n"), "{text}");
        forget("catena_test_total", |values| values[0] == "a.");
        assert!(!super::text().contains("catena_test_total"));
    }

    #[test]
    fn labels_are_sorted_and_need_a_count() {
        let sorted = counter("catena_sorted_total", "Test.", &["zone", "server"], &["a.", "s"]);
        counter("catena_bare_total", "Test.", &[], &[]);
        let text = text();
        assert!(!text.contains("catena_sorted_total"), "{text}");
        assert!(text.contains("catena_bare_total 0\n"), "{text}");
        sorted.inc(SHARED);
        let text = super::text();
        assert!(text.contains("catena_sorted_total{server=\"s\",zone=\"a.\"} 1\n"), "{text}");
    }
}
