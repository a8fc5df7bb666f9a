//! Messages that look alike, counted and told once per period.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chain::log::Level;
use tokio::sync::Notify;

use super::config::Consolidate;

/// One `consolidate` option at work.
pub(super) struct Pattern {
    config: Consolidate,
    count: AtomicU64,
    /// Told of the first message of a period.
    first: Notify,
    /// Nobody will tell the sum any more: messages are logged one by one.
    stopped: AtomicBool,
}

impl Pattern {
    pub(super) fn new(config: Consolidate) -> Self {
        Self {
            config,
            count: AtomicU64::new(0),
            first: Notify::new(),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.config.pattern.is_match(text)
    }

    pub(super) fn level(&self) -> Level {
        self.config.level
    }

    /// Counts a message. `false` if it is to be logged now.
    pub(super) fn collect(&self) -> bool {
        if self.stopped.load(Ordering::Relaxed) {
            return false;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.notify_one();
            return !self.config.show_first;
        }
        true
    }

    /// Tells what was collected, and begins anew.
    pub(super) fn flush(&self) {
        let count = self.count.swap(0, Ordering::Relaxed);
        // The only one of its period was shown when it came.
        if count == 0 || (count == 1 && self.config.show_first) {
            return;
        }
        chain::log::line(
            self.config.level,
            format_args!(
                "plugin/errors: {count} errors like '{}' occurred in last {}",
                self.config.pattern.as_str(),
                go_duration(self.config.period),
            ),
        );
    }

    /// Tells the sum a period after each first message, until the configuration is replaced.
    pub(super) async fn flush_forever(&self) {
        let _stop = StopOnDrop(self);
        loop {
            self.first.notified().await;
            tokio::time::sleep(self.config.period).await;
            self.flush();
        }
    }
}

/// Tells what is left when the task ends with its configuration.
struct StopOnDrop<'a>(&'a Pattern);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        self.0.flush();
    }
}

/// A duration as Go prints it: `30s`, `5m0s`, `1h0m0s`, `1.5s`, `100ms`.
fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128| {
        let text = format!("{}.{:0width$}", nanos / unit, nanos % unit, width = digits(unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(1_000_000)),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = Duration::new(seconds % 60, duration.subsec_nanos()).as_secs_f64();
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// How many digits a fraction of `unit`, a power of ten, has.
fn digits(unit: u128) -> usize {
    unit.ilog10() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (300_000_000_000, "5m0s"),
            (3_661_500_000_000, "1h1m1.5s"),
            (7_200_000_000_000, "2h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
