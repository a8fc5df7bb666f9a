//! `errors`: logs why queries fail.
//!
//! It reads failures on their way out and writes log lines. Similar messages can be consolidated and
//! logged once per period. It never changes a reply.

mod config;
mod pattern;

use std::sync::Arc;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::log::Level;
use wire::Failure;
use wire::name::Text;

use pattern::Pattern;

/// The `errors` directive.
pub static PLUGIN: Kind =
    Kind { name: "errors", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

struct Errors {
    patterns: Arc<[Pattern]>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    config.stacktrace.into_iter().for_each(|span| setup.log_stacks(span));
    let patterns: Arc<[Pattern]> = config.consolidate.into_iter().map(Pattern::new).collect();
    for at in 0..patterns.len() {
        let patterns = Arc::clone(&patterns);
        setup.task(move || async move { patterns[at].flush_forever().await });
    }
    if !patterns.is_empty() {
        let patterns = Arc::clone(&patterns);
        setup.on_shutdown(move || async move { patterns.iter().for_each(Pattern::flush) });
    }
    setup.link(Errors { patterns });
    Ok(())
}

impl ServeDns for Errors {
    fn roles(&self) -> Roles<'_> {
        Roles { reads: 0, sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if let Some(failure) = reply.failure() {
            self.report(query, failure);
        }
    }
}

impl Errors {
    /// Logs the failure, or collects it with the first pattern that it matches.
    #[cold]
    fn report(&self, query: &Query, failure: &Failure) {
        let Some(cause) = &failure.cause else { return };
        let mut text = cause.to_string();
        if text.contains(['\n', '\r']) {
            // A text from an upstream must not forge a log line.
            text = text.replace(['\n', '\r'], " ");
        }
        let mut level = Level::Error;
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.matches(&text)) {
            if pattern.collect() {
                return;
            }
            level = pattern.level();
        }
        telemetry::log::line(
            level,
            format_args!(
                "plugin/errors: {} {} {}: {text}",
                failure.rcode.0,
                Text(query.name()),
                query.qtype(),
            ),
        );
    }
}
