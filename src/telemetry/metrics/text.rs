//! The text format of Prometheus, by its crate's encoder.

use prometheus::{TextEncoder, proto};

use super::kinds::{Type, Value};

/// The present state of a metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Type,
    pub(super) series: Vec<Series>,
}

/// One series.
pub(super) struct Series {
    /// Names and values, in the order of the names.
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

/// Appends a family.
pub(super) fn write(out: &mut String, family: &Family) {
    // It fails only for a family without a name or series.
    let _ = TextEncoder::new().encode_utf8(&[of(family)], out);
}

/// The family as the encoder takes it.
fn of(Family { name, help, kind, series }: &Family) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name((*name).to_owned());
    family.set_help((*help).to_owned());
    family.set_field_type(match kind {
        Type::Counter => proto::MetricType::COUNTER,
        Type::Gauge => proto::MetricType::GAUGE,
        Type::Histogram => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(series.iter().map(metric).collect());
    family
}

fn metric(Series { labels, value }: &Series) -> proto::Metric {
    let mut metric = proto::Metric::default();
    let pair = |(name, value): &(&str, String)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    match value {
        Value::Counter(value) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        Value::Gauge(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        Value::Histogram { bounds, counts, sum } => {
            metric.set_histogram(histogram(bounds, counts, *sum));
        }
    }
    metric
}

fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> proto::Histogram {
    let mut histogram = proto::Histogram::default();
    let mut total = 0;
    let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
        total += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_and_help_are_escaped() {
        let mut out = String::new();
        let labels = vec![("a", "q\"b\\s\nn".to_owned()), ("b", String::new())];
        let counts = vec![1, 2, 3];
        let value = Value::Histogram { bounds: &[0.5, 1.0], counts, sum: 2.25 };
        let series = vec![Series { labels, value }];
        write(&mut out, &Family { name: "x", help: "a\nb\\", kind: Type::Histogram, series });
        let labels = r#"a="q\"b\\s\nn",b="""#;
        let expected = format!(
            "# HELP x a\\nb\\\\\n# TYPE x histogram\nx_bucket{{{labels},le=\"0.5\"}} 1\n\
             x_bucket{{{labels},le=\"1\"}} 3\nx_bucket{{{labels},le=\"+Inf\"}} 6\n\
             x_sum{{{labels}}} 2.25\nx_count{{{labels}}} 6\n"
        );
        assert_eq!(out, expected);
    }
}
