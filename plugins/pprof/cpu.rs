//! CPU profiles: samples the stacks a hundred times for each second of CPU time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chain::HttpReply;
use nix::sys::signal::{Signal, raise};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tokio::task::spawn_blocking;

use super::profile;

/// Stacks for a second of processor time, as in Go.
const FREQUENCY: i32 = 100;
/// The default duration in seconds, as in Go.
const DEFAULT: u64 = 30;
/// The longest duration in seconds.
const LONGEST: u64 = 600;

/// Samples for the requested time and writes the profile. The guard is part of this future, so
/// sampling ends early if the client disconnects.
pub(super) async fn answer(query: String) -> HttpReply {
    let seconds = seconds(&query);
    if seconds > LONGEST {
        return refusal(400, format!("a CPU profile covers at most {LONGEST} seconds"));
    }
    // The first start reads where the tables for walking the stack lie.
    let guard = match spawn_blocking(start).await {
        Ok(Ok(guard)) => guard,
        Ok(Err(problem)) => return problem,
        Err(_) => return refusal(500, "Could not enable CPU profiling"),
    };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let written = spawn_blocking(move || guard.report().build_unresolved().map(profile::write));
    match written.await {
        Ok(Ok(profile)) => HttpReply::new(200, "application/octet-stream", profile)
            .with("Content-Disposition", "attachment; filename=\"profile\"")
            .with("X-Content-Type-Options", "nosniff"),
        Ok(Err(error)) => refusal(500, format!("cannot read the samples: {error}")),
        Err(_) => refusal(500, "cannot read the samples"),
    }
}

/// Starts the sampler.
///
/// The first sample locates the unwind tables inside the signal handler, and allocates. If the signal
/// interrupted an allocation, that would deadlock. The first sample is therefore taken here, where no
/// lock is held, with a timer of one tick a second, which cannot fire before.
fn start() -> Result<ProfilerGuard<'static>, HttpReply> {
    static WARM: Mutex<bool> = Mutex::new(false);
    let mut warm = WARM.lock().unwrap_or_else(PoisonError::into_inner);
    if !*warm {
        let first = sampler(1)?;
        raise(Signal::SIGPROF)
            .map_err(|error| refusal(500, format!("Could not enable CPU profiling: {error}")))?;
        drop(first);
        *warm = true;
    }
    sampler(FREQUENCY)
}

fn sampler(frequency: i32) -> Result<ProfilerGuard<'static>, HttpReply> {
    let guard = ProfilerGuardBuilder::default().frequency(frequency).build();
    guard.map_err(|error| match error {
        pprof::Error::Running => {
            refusal(500, "Could not enable CPU profiling: cpu profiling already in use")
        }
        error => refusal(
            500,
            format!(
                "Could not enable CPU profiling: {error} (the temporary directory must be \
                 writable: samples that do not fit into memory are written there)"
            ),
        ),
    })
}

fn refusal(status: u16, words: impl Into<String>) -> HttpReply {
    HttpReply::text(status, words.into() + "\n").with("X-Content-Type-Options", "nosniff")
}

/// The value of `seconds=N`; anything but a positive number means the default, as in Go.
fn seconds(query: &str) -> u64 {
    let mut words = query.split('&').filter_map(|word| word.strip_prefix("seconds="));
    words.next().and_then(|word| word.parse().ok()).filter(|it| *it > 0).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profile;
    use super::*;
    use prost::Message;
    use std::hint::black_box;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn seconds_are_read_as_go_reads_them() {
        for (query, expected) in [
            ("", 30),
            ("seconds=5", 5),
            ("debug=1&seconds=7&seconds=8", 7),
            ("seconds=0", 30),
            ("seconds=-1", 30),
            ("seconds=x", 30),
        ] {
            assert_eq!(seconds(query), expected, "{query}");
        }
    }

    #[inline(never)]
    fn much_work(stop: &AtomicBool) -> u64 {
        let mut sum = 0u64;
        while !stop.load(Ordering::Relaxed) {
            // Allocations all the time: the sampler must not wait for the allocator.
            let text = black_box(format!("{sum}"));
            sum = sum.wrapping_mul(31).wrapping_add(text.len() as u64);
        }
        sum
    }

    // One test for all that starts the sampler: there is one for the process.
    #[tokio::test]
    async fn a_busy_function_is_in_the_profile() {
        assert_eq!(answer("seconds=601".to_owned()).await.status, 400);
        let guard = start().map_err(|reply| reply.status).unwrap();
        assert_eq!(answer("seconds=1".to_owned()).await.status, 500, "one at a time");
        drop(guard);

        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = spawn_blocking(move || much_work(&stopped));
        let reply = answer("seconds=1".to_owned()).await;
        stop.store(true, Ordering::Relaxed);
        let _ = work.await;
        assert_eq!((reply.status, reply.content_type), (200, "application/octet-stream"));
        let profile = Profile::decode(&reply.body[..]).unwrap();
        assert!(!profile.sample.is_empty());
        let names: Vec<&str> = profile.function.iter().map(|it| profile.string(it.name)).collect();
        assert!(names.iter().any(|name| name.ends_with("much_work")), "{names:?}");
        assert!(profile.duration_nanos >= 1_000_000_000);
    }
}
