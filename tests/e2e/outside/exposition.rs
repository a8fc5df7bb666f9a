//! Metrics as lines that can be compared: the same for every run of the same script.

use std::collections::BTreeMap;

/// All families that start with `prefix`, sorted: name, type and help, then the children. What only
/// this run has (times, what the process uses, versions) is `*`.
pub(super) fn lines(text: &str, prefix: &str) -> Vec<String> {
    let mut families: BTreeMap<&str, Family> = BTreeMap::new();
    // Go's runtime metrics are left out: there is no Go runtime.
    for line in text.lines().filter(|line| !line.starts_with("go_") && !line.contains(" go_")) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name).or_default().help = help;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name).or_default().kind = kind;
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
                let family = name.strip_suffix(part)?;
                (families.get(family)?.kind == "histogram").then_some((family, *part))
            });
            let (family, part) = of_histogram.unwrap_or((name, ""));
            families.get_mut(family).expect("a type above").sample(
                &series[name.len()..],
                part,
                value,
            );
        }
    }
    let wanted = |name: &str| name.starts_with(prefix);
    let wanted = families.iter().filter(|(name, _)| wanted(name));
    wanted.flat_map(|(name, family)| family.lines(name)).collect()
}

/// The line; the sum without `octets` if it is that of the UDP sizes of the block with `loop`.
pub(super) fn without(line: &str, way: &str, octets: u64) -> String {
    let of =
        format!("coredns_dns_{way}_size_bytes{{proto=\"udp\",server=\"dns://127.0.0.1:{{port}}\"");
    if !line.starts_with(&of) {
        return line.to_owned();
    }
    let less = |word: &str| match word.strip_prefix('s').and_then(|sum| sum.parse::<u64>().ok()) {
        Some(sum) => format!("s{}", sum - octets),
        None => word.to_owned(),
    };
    line.split(' ').map(less).collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Family<'a> {
    kind: &'a str,
    help: &'a str,
    /// By labels: values, or parts of a histogram.
    children: BTreeMap<String, Vec<String>>,
}

impl Family<'_> {
    fn sample(&mut self, labels: &str, part: &str, value: &str) {
        // `le` comes last.
        let (labels, bound) = match labels.rsplit_once("le=\"") {
            Some((labels, bound)) if part == "_bucket" => {
                let rest = labels.trim_end_matches(',').trim_end_matches('{');
                let labels = if rest.is_empty() { String::new() } else { format!("{rest}}}") };
                (labels, Some(bound.trim_end_matches("\"}")))
            }
            _ => (labels.to_owned(), None),
        };
        let part = match bound {
            Some(bound) => format!("{bound}:{value}"),
            None => format!("{}{value}", if part.is_empty() { "" } else { &part[1..2] }),
        };
        self.children.entry(labels).or_default().push(part);
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let mut lines = vec![format!("{name} {}: {}", self.kind, self.help)];
        let children = self.children.iter().map(|(labels, values)| {
            let values: Vec<String> = values.iter().map(|value| self.stable(name, value)).collect();
            format!("{name}{} {}", stable_labels(name, labels), values.join(" "))
        });
        lines.extend(children);
        // Our own metrics are compared by name.
        lines.truncate(if name.starts_with("catena_") { 1 } else { usize::MAX });
        lines
    }

    /// The value, or `*` where it depends on the run.
    fn stable(&self, name: &str, value: &str) -> String {
        let timed = name.ends_with("duration_seconds");
        match value.split_once(':') {
            Some((bound, _)) if timed => bound.to_owned(),
            Some(_) => value.to_owned(),
            // How often health asks itself depends on how long the test takes.
            None if timed && (value.starts_with('s') || name.contains("health")) => "*".to_owned(),
            None if name.starts_with("process_") => "*".to_owned(),
            None if name.ends_with("timestamp_seconds") => "*".to_owned(),
            None => value.to_owned(),
        }
    }
}

/// Labels whose values are another build's or configuration's keep their names only.
fn stable_labels(name: &str, labels: &str) -> String {
    let foreign: &[&str] = match name {
        "coredns_build_info" => &["goversion", "revision", "version"],
        "coredns_reload_version_info" => &["value"],
        _ => return labels.to_owned(),
    };
    let inner = labels.trim_matches(['{', '}']);
    let labels = inner.split(',').map(|label| match label.split_once('=') {
        Some((key, _)) if foreign.contains(&key) => format!("{key}=*"),
        _ => label.to_owned(),
    });
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}
