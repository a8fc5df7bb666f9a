//! Consolidates similar messages: counts them and logs the count once per period.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use telemetry::log::Level;
use tokio::sync::Notify;

use super::config::Consolidate;

/// One `consolidate` option at work.
pub(super) struct Pattern {
    config: Consolidate,
    count: AtomicU64,
    /// Notified at the first message of a period.
    first: Notify,
    /// The task has ended: messages are logged one by one.
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

    /// Logs the count of the period and resets it.
    pub(super) fn flush(&self) {
        let count = self.count.swap(0, Ordering::Relaxed);
        // `show_first` has logged a single message on arrival.
        if count == 0 || (count == 1 && self.config.show_first) {
            return;
        }
        telemetry::log::line(
            self.config.level,
            format_args!(
                "plugin/errors: {count} errors like '{}' occurred in last {}",
                self.config.pattern.as_str(),
                corefile::show_duration(self.config.period),
            ),
        );
    }

    /// Logs the count one period after each first message, until the configuration is replaced.
    pub(super) async fn flush_forever(&self) {
        let _stop = StopOnDrop(self);
        loop {
            self.first.notified().await;
            tokio::time::sleep(self.config.period).await;
            self.flush();
        }
    }
}

/// Logs the remaining count when the task ends with its configuration.
struct StopOnDrop<'a>(&'a Pattern);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        self.0.flush();
    }
}
