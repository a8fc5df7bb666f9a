//! The families of metrics of the process, found by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::cells::Cells;
use super::kinds::{Counter, Gauge, Histogram, Sample, Type, Value};
use super::text::{self, Series};

/// A gauge whose value is computed at each scrape.
type GaugeFn = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Produces all series of a family at each scrape.
type Source = Arc<dyn Fn(&mut Vec<Sample>) + Send + Sync>;

#[derive(Clone)]
enum Child {
    Counter(Counter),
    Gauge(Gauge),
    Computed(GaugeFn),
    Histogram(Histogram),
}

/// A metric by name with its label names; the children differ in label values.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: Type,
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
    kind: Type,
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

    /// The present state, in the order of label values.
    fn read(&self) -> text::Family {
        let mut series = Vec::new();
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, child) in children.iter() {
            let value = match child {
                Child::Counter(counter) => Value::Counter(counter.get() as f64),
                Child::Gauge(gauge) => Value::Gauge(gauge.get()),
                Child::Computed(compute) => Value::Gauge(compute()),
                Child::Histogram(histogram) => histogram.value(),
            };
            if self.labels.is_empty() || has_counted(&value) {
                series.push(Series { labels: self.labels(values), value });
            }
        }
        drop(children);
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(source) = source {
            let mut samples = Vec::new();
            source(&mut samples);
            let read = |Sample { labels, value }| Series { labels: self.labels(&labels), value };
            series.extend(samples.into_iter().map(read));
        }
        series.sort_by(|a, b| values(a).cmp(values(b)));
        text::Family { name: self.name, help: self.help, kind: self.kind, series }
    }

    /// Label names with these values, in the order of the names, as all clients write them.
    fn labels(&self, values: &[String]) -> Vec<(&'static str, String)> {
        let pairs = self.labels.iter().zip(values);
        let mut labels: Vec<_> = pairs.map(|(name, value)| (*name, value.clone())).collect();
        labels.sort_by_key(|(name, _)| *name);
        labels
    }
}

/// Other Prometheus clients create a labelled series with its first count, so one that is still zero is
/// not exposed.
fn has_counted(value: &Value) -> bool {
    match value {
        Value::Counter(value) => *value > 0.0,
        Value::Gauge(_) => true,
        Value::Histogram { counts, .. } => counts.iter().any(|&count| count > 0),
    }
}

fn values(series: &Series) -> impl Iterator<Item = &str> {
    series.labels.iter().map(|(_, value)| value.as_str())
}

/// The counter `name` with these label values; the same one for the same values.
pub fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
) -> Counter {
    let family = family(name, help, labels, Type::Counter);
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
    let family = family(name, help, labels, Type::Gauge);
    match family.child(values, || Child::Gauge(Gauge::default())) {
        Child::Gauge(gauge) => gauge,
        _ => unreachable!("`{name}` is a plain gauge everywhere"),
    }
}

/// A gauge of its own with these label values, for one of several owners that follow each other: the series of
/// before is replaced, and its owner cannot remove this one.
pub fn own_gauge(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
) -> Gauge {
    let family = family(name, help, labels, Type::Gauge);
    let gauge = Gauge::default();
    let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
    let values = values.iter().map(ToString::to_string).collect();
    children.insert(values, Child::Gauge(gauge.clone()));
    gauge
}

/// A gauge whose value is computed at each scrape; a later call for the same labels replaces it.
pub fn gauge_fn(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: &[&str],
    compute: impl Fn() -> f64 + Send + Sync + 'static,
) {
    let family = family(name, help, labels, Type::Gauge);
    let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
    children.insert(
        values.iter().map(ToString::to_string).collect(),
        Child::Computed(Arc::new(compute)),
    );
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
    let family = family(name, help, labels, Type::Histogram);
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
    let family = family(name, help, labels, kind);
    *family.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(read));
}

/// Removes the series of `name` whose label values satisfy `gone`: those that a new configuration no
/// longer has.
pub fn forget(name: &str, mut gone: impl FnMut(&[String]) -> bool) {
    let families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(family) = families.get(name) {
        let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|values, _| !gone(values));
    }
}

/// Removes the series of a gauge, unless another one has replaced it.
pub fn forget_gauge(name: &str, gauge: &Gauge) {
    let families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(family) = families.get(name) {
        let mut children = family.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|_, child| !matches!(child, Child::Gauge(one) if one.is(gauge)));
    }
}

/// All metrics as Prometheus text, sorted by name.
pub fn text() -> String {
    // A source may take long or register a metric: it must not run under the lock.
    let mut families: Vec<Arc<Family>> = {
        let families = all().families.lock().unwrap_or_else(PoisonError::into_inner);
        families.values().cloned().collect()
    };
    families.sort_by_key(|family| family.name);
    let mut out = String::new();
    for family in families {
        let family = family.read();
        if !family.series.is_empty() {
            text::write(&mut out, &family);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{SHARED, TIME_BUCKETS};
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
    fn a_series_stays_when_the_owner_before_goes() {
        let own = || own_gauge("catena_test_owned", "Test.", &["zone"], &["a."]);
        let first = own();
        first.set(1.0);
        let second = own();
        second.set(2.0);
        forget_gauge("catena_test_owned", &first);
        assert!(text().contains("catena_test_owned{zone=\"a.\"} 2\n"));
        forget_gauge("catena_test_owned", &second);
        assert!(!text().contains("catena_test_owned"));
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
