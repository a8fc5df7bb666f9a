//! The text format of Prometheus.

use std::fmt::Write;

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
    let Family { name, help, kind, series } = family;
    let kind = match kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram => "histogram",
    };
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a string does not fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for Series { labels, value } in series {
        let mut sample = |suffix: &str, bound: Option<&str>, value: f64| {
            out.push_str(name);
            out.push_str(suffix);
            write_labels(out, labels, bound);
            let _ = writeln!(out, " {value}");
        };
        match value {
            Value::Counter(value) | Value::Gauge(value) => sample("", None, *value),
            Value::Histogram { bounds, counts, sum } => {
                let mut total = 0;
                for (bound, count) in bounds.iter().zip(counts) {
                    total += count;
                    sample("_bucket", Some(&bound.to_string()), total as f64);
                }
                let total = counts.iter().sum::<u64>() as f64;
                sample("_bucket", Some("+Inf"), total);
                sample("_sum", None, *sum);
                sample("_count", None, total);
            }
        }
    }
}

/// Writes the labels in braces, the bound of a bucket last; nothing if there are none.
fn write_labels(out: &mut String, labels: &[(&str, String)], bound: Option<&str>) {
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    let mut separator = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        out.push(separator);
        out.push_str(name);
        out.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
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
