//! Metrics of the process, under the names that all Prometheus client libraries use.
//!
//! They are read from `/proc` at each scrape. A system without `/proc` exposes none.

use std::fs;
use std::sync::Once;

use telemetry::metrics::{self, Sample, Type, Value};

/// Clock ticks a second in `/proc`; Linux shows 100 to every program, whatever the kernel uses.
const TICKS: f64 = 100.0;

/// Makes the metrics known.
pub(super) fn expose() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            || Some((stat(14)? + stat(15)?) / TICKS),
        );
        gauge("process_open_fds", "Number of open file descriptors.", open_fds);
        gauge("process_max_fds", "Maximum number of open file descriptors.", || {
            limit("Max open files")
        });
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", || stat(23));
        gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            || limit("Max address space"),
        );
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", || {
            Some(status("VmRSS:")? * 1024.0)
        });
        gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            || Some(boot_time()? + stat(22)? / TICKS),
        );
        counter(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            || octets("InOctets"),
        );
        counter(
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            || octets("OutOctets"),
        );
    });
}

/// Makes those of `runtime_metrics` known; once on they stay on, as in CoreDNS.
pub(super) fn expose_runtime(workers: usize) {
    gauge("catena_workers", "Worker threads that answer queries.", move || Some(workers as f64));
    gauge("catena_threads", "Threads of the process.", || status("Threads:"));
    metrics::source(
        "catena_context_switches_total",
        "Context switches of the main thread, voluntary and nonvoluntary.",
        &["kind"],
        Type::Counter,
        |out| {
            push(out, "voluntary", status("voluntary_ctxt_switches:"));
            push(out, "nonvoluntary", status("nonvoluntary_ctxt_switches:"));
        },
    );
    metrics::source(
        "catena_page_faults_total",
        "Page faults, minor (without a read from disk) and major (with one).",
        &["kind"],
        Type::Counter,
        |out| {
            push(out, "minor", stat(10));
            push(out, "major", stat(12));
        },
    );
}

fn push(out: &mut Vec<Sample>, kind: &str, value: Option<f64>) {
    if let Some(value) = value {
        out.push(Sample { labels: vec![kind.to_owned()], value: Value::Counter(value) });
    }
}

fn gauge(
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    metrics::source(name, help, &[], Type::Gauge, move |out| {
        let value = read().map(Value::Gauge);
        out.extend(value.map(|value| Sample { labels: Vec::new(), value }));
    });
}

fn counter(
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    metrics::source(name, help, &[], Type::Counter, move |out| {
        let value = read().map(Value::Counter);
        out.extend(value.map(|value| Sample { labels: Vec::new(), value }));
    });
}

/// Field `number` of `/proc/self/stat`, counted from 1 as its manual page does.
fn stat(number: usize) -> Option<f64> {
    nth_stat(&files::read_kernel("/proc/self/stat").ok()?, number)
}

fn nth_stat(text: &str, number: usize) -> Option<f64> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The number in a line of `/proc/self/status`.
fn status(label: &str) -> Option<f64> {
    let text = files::read_kernel("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The soft limit in a line of `/proc/self/limits`.
fn limit(label: &str) -> Option<f64> {
    soft_limit(&files::read_kernel("/proc/self/limits").ok()?, label)
}

fn soft_limit(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

fn open_fds() -> Option<f64> {
    // One of them is the directory that is being read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn boot_time() -> Option<f64> {
    let text = files::read_kernel("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn octets(column: &str) -> Option<f64> {
    ip_ext(&files::read_kernel("/proc/self/net/netstat").ok()?, column)
}

/// A column of the `IpExt` table, which is a line of names above a line of numbers.
fn ip_ext(text: &str, column: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == column)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_what_linux_writes() {
        let stat =
            "7 (odd ) name) S 1 7 7 0 -1 4194560 10 11 12 13 140 150 0 0 20 0 9 0 2200 2300 24";
        assert_eq!(nth_stat(stat, 3), None, "not a number");
        assert_eq!(nth_stat(stat, 10), Some(10.0));
        assert_eq!(nth_stat(stat, 14), Some(140.0));
        assert_eq!(nth_stat(stat, 22), Some(2200.0));
        assert_eq!(nth_stat(stat, 23), Some(2300.0));
        assert_eq!(nth_stat(stat, 99), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 524288               files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(soft_limit(limits, "Max address space"), Some(18_446_744_073_709_551_615.0));
        let netstat =
            "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 5 6\n";
        assert_eq!(ip_ext(netstat, "OutOctets"), Some(6.0));
        assert_eq!(ip_ext("", "OutOctets"), None);
    }
}
