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
    expiring(&copy, &source, copy.begin(source.terms(), &source.metrics)).await;
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
        match expiring(&copy, &source, source.check(&copy, by)).await {
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
        expiring(&copy, &source, copy.save(&source.metrics)).await;
    }
}

/// Waits for `work`. A transfer, or a disk, may take longer than the version that serves may live.
async fn expiring<T>(copy: &Copy, source: &Source, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = copy.expires() => expire(copy, source),
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::kit;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_version_expires_while_the_disk_is_slow() {
        let (copy, source) = (kit::copy("example.org."), kit::source(None));
        let by = "192.0.2.1:53".parse().unwrap();
        let zone = kit::zone("example.org.", 1, "");
        copy.publish(by, |live| Ok::<_, ()>(live.replace(zone))).unwrap();
        let life = Duration::from_secs(kit::EXPIRE.into());
        expiring(&copy, &source, tokio::time::sleep(life - Duration::from_secs(1))).await;
        assert!(copy.live().is_loaded());
        expiring(&copy, &source, tokio::time::sleep(life)).await;
        assert!(!copy.live().is_loaded());
    }
}
