//! The one place that reads clocks.
//!
//! In production [`now`] is one read of the monotonic clock. In a test, a paused tokio runtime is
//! followed by itself (tokio's `test-util`), and a [`Manual`] clock drives the threads that
//! entered it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::Moment;

/// How long a measured distance between wall clock and monotonic clock is believed, so that the
/// server follows a wall clock that is set.
const BELIEVED: Duration = Duration::from_secs(1);

static START: OnceLock<Instant> = OnceLock::new();
/// Wall clock minus monotonic clock, in nanoseconds, and when that was measured.
static OFFSET: AtomicI64 = AtomicI64::new(0);
static MEASURED: AtomicU64 = AtomicU64::new(u64::MAX);
/// Whether any thread ever entered a manual clock.
static MANUAL: AtomicBool = AtomicBool::new(false);

thread_local! {
    static ENTERED: RefCell<Option<Manual>> = const { RefCell::new(None) };
}

/// A moment before any that [`now`] tells: a paused runtime may have stopped its clock a little
/// before somebody asks here for the first time.
fn start() -> Instant {
    *START.get_or_init(|| {
        let now = Instant::now();
        now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
    })
}

/// This moment.
#[inline]
pub fn now() -> Moment {
    if MANUAL.load(Ordering::Relaxed)
        && let Some(moment) = ENTERED.with_borrow(|clock| clock.as_ref().map(Manual::now))
    {
        return moment;
    }
    let start = start();
    let elapsed = tokio::time::Instant::now().into_std().saturating_duration_since(start);
    Moment(elapsed.as_nanos() as u64)
}

/// The wall clock at `moment`, in seconds since 1970.
pub fn unix(moment: Moment) -> u64 {
    unix_nanos(moment) / 1_000_000_000
}

/// The wall clock at `moment`, in nanoseconds since 1970.
pub fn unix_nanos(moment: Moment) -> u64 {
    if MANUAL.load(Ordering::Relaxed)
        && let Some(unix) =
            ENTERED.with_borrow(|clock| clock.as_ref().map(|clock| clock.unix_nanos(moment)))
    {
        return unix;
    }
    let measured = MEASURED.load(Ordering::Acquire);
    if measured == u64::MAX || moment.since(Moment(measured)) > BELIEVED {
        let monotonic = start().elapsed().as_nanos() as i64;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        OFFSET.store((wall.as_nanos() as i64).saturating_sub(monotonic), Ordering::Relaxed);
        MEASURED.store(moment.0, Ordering::Release);
    }
    let nanos = OFFSET.load(Ordering::Relaxed).saturating_add(moment.0 as i64);
    u64::try_from(nanos).unwrap_or(0)
}

/// A clock that stands still until told otherwise; clones are the same clock.
#[derive(Clone, Debug)]
pub struct Manual {
    start: u64,
    now: Arc<AtomicU64>,
}

impl Manual {
    /// A clock at moment zero, which is `unix` seconds since 1970.
    pub fn at(unix: u64) -> Self {
        Self { start: unix, now: Arc::default() }
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        self.now.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// This clock's moment.
    pub fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }

    fn unix_nanos(&self, moment: Moment) -> u64 {
        self.start * 1_000_000_000 + moment.0
    }

    /// Makes [`now`] and [`unix`] follow this clock on this thread, until the guard is dropped.
    pub fn enter(&self) -> Entered {
        MANUAL.store(true, Ordering::Relaxed);
        Entered(ENTERED.replace(Some(self.clone())))
    }
}

/// Keeps a [`Manual`] clock in force on this thread.
#[derive(Debug)]
pub struct Entered(Option<Manual>);

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Manual::at(1_000);
        let guard = clock.enter();
        assert_eq!((now(), unix(now())), (Moment(0), 1_000));
        clock.advance(Duration::from_secs(90));
        assert_eq!(unix(now()), 1_090);
        drop(guard);
        assert!(unix(now()) > 1_000_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_runtime_is_followed() {
        let (before, wall) = (now(), unix(now()));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(now().since(before) >= Duration::from_secs(3600));
        assert!((3600..3602).contains(&(unix(now()) - wall)));
    }
}
