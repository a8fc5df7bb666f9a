//! Keeps one zone current: waits for its timers and for notifications, and checks the primaries.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::copy::{Copy, Reason};
use super::source::{Checked, Fresh, Source};

/// Follows the primaries of a zone until it is dropped. `changed` is told of new versions.
pub(super) async fn follow(copy: Arc<Copy>, source: Arc<Source>, changed: Option<Arc<Notify>>) {
    let _turn = copy.turn.lock().await;
    copy.begin(source.terms(), &source.metrics).await;
    loop {
        tokio::select! {
            () = sleep_until(copy.wakes_at()) => {}
            () = copy.wake.notified() => {}
        }
        expire(&copy, &source);
        let Some(reason) = copy.begins() else { continue };
        let by = match reason {
            Reason::Notified(by) => Some(by),
            Reason::First | Reason::Timer => None,
        };
        let checked = {
            let mut check = pin!(source.check(&copy, by));
            loop {
                tokio::select! {
                    checked = &mut check => break checked,
                    // A transfer may take longer than the old version may live.
                    () = copy.expires() => expire(&copy, &source),
                }
            }
        };
        match checked {
            Checked::Current(from, soa) => {
                copy.confirmed(from, &soa);
                if let Some(by) = by {
                    unchanged(&copy, by);
                }
            }
            Checked::Fresh(fresh) => {
                transferred(&copy, &fresh);
                if let Some(changed) = &changed {
                    changed.notify_one();
                }
            }
            Checked::Failed(why) => {
                failed(&copy, reason, &why);
                continue;
            }
        }
        copy.save(&source.metrics).await;
    }
}

fn expire(copy: &Copy, source: &Source) {
    if copy.expire() {
        source.metrics.expired();
        telemetry::error!(
            "zone `{}` has expired: no primary has confirmed it in time; queries fail until one does",
            copy.origin()
        );
    }
}

// The lines below have CoreDNS's words; its `secondary` logs in the name of `file`.

fn unchanged(copy: &Copy, by: IpAddr) {
    let zone = copy.origin();
    telemetry::info!("plugin/file: Notify from {by} for {zone}: no SOA serial increase seen");
}

fn transferred(copy: &Copy, fresh: &Fresh) {
    let (zone, from) = (copy.origin(), fresh.from);
    telemetry::info!("plugin/file: Transferred: {zone} from {from}");
    let kind = if fresh.is_whole { "AXFR" } else { "IXFR" };
    telemetry::debug!(
        "zone `{zone}`: {kind} to serial {} from {from}: {} records and {} bytes in {} messages, in {:?}",
        fresh.zone.serial(),
        fresh.tally.records,
        fresh.tally.received,
        fresh.tally.messages,
        fresh.took
    );
    if fresh.tally.left_out > 0 {
        telemetry::warning!(
            "zone `{zone}`: {} records from {from} are not in the zone and are left out; the first is of `{}`",
            fresh.tally.left_out,
            fresh.tally.first_left_out.as_deref().unwrap_or_default()
        );
    }
}

fn failed(copy: &Copy, reason: Reason, why: &str) {
    let wait = copy.failed(why, matches!(reason, Reason::Notified(_)));
    let zone = copy.origin();
    let line = match reason {
        Reason::First => {
            let wait = corefile::show_duration(wait);
            format!(
                "plugin/secondary: All '{zone}' masters failed to transfer, retrying in {wait}: {why}"
            )
        }
        Reason::Timer => format!("plugin/file: Failed refresh check {why}"),
        Reason::Notified(by) => {
            format!("plugin/file: Notify from {by} for {zone}: failed primary check: {why}")
        }
    };
    if copy.is_news(&format!("{zone} {}", line.split(", retrying").next().unwrap_or_default())) {
        telemetry::warning!("{line}");
    }
}
