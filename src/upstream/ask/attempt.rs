//! One attempt at one upstream, and the signal that it takes longer than usual.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use net::client::More;
use tokio::time::Instant;

use super::group::Group;
use super::taps::Taps;
use crate::roster::Member;

/// The shortest time after which a query is hedged.
const HEDGE_LEAST: Duration = Duration::from_millis(10);
/// The time after which a query to a failed upstream is sent again: a restarted upstream then answers
/// soon after it is back, and not only after the query has timed out.
const RESEND: Duration = Duration::from_millis(500);

/// One attempt at one upstream.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a, 'q> {
    pub(super) member: &'a Member,
    pub(super) begun: Instant,
    /// The deadline of all attempts for the query.
    pub(super) end: Instant,
    pub(super) taps: &'a Taps<'q>,
    /// `None`: there is no other upstream to hedge with.
    pub(super) late: Option<&'a LateSignal>,
}

impl Attempt<'_, '_> {
    /// The deadline of a message that is sent `now`.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        (now + self.member.read_timeout).min(self.end)
    }
}

/// Signals the round that an attempt is slow and a hedge should be considered.
#[derive(Default)]
pub(super) struct LateSignal {
    /// Written and read in one task; atomic only because the future sources between threads.
    late: AtomicBool,
}

impl LateSignal {
    /// Whether the attempt became late since the last call.
    pub(super) fn take(&self) -> bool {
        self.late.load(Ordering::Relaxed) && self.late.swap(false, Ordering::Relaxed)
    }
}

/// The time after which an attempt is late; it doubles each time.
pub(super) struct LateTimer<'a> {
    signal: &'a LateSignal,
    member: &'a Member,
    max_fails: u32,
    next: Duration,
}

impl LateTimer<'_> {
    /// The attempt has waited for `next`.
    fn expired(&mut self) {
        self.signal.late.store(true, Ordering::Relaxed);
        self.member.upstream.note_late(self.max_fails);
        self.next *= 2;
    }
}

impl Group {
    /// The timer of an attempt; `None` if there is no other upstream to hedge with.
    pub(super) fn late_timer<'a>(&self, attempt: Attempt<'a, '_>) -> Option<LateTimer<'a>> {
        let member = attempt.member;
        let signal = attempt.late?;
        let liveness = &member.upstream.liveness;
        let usual = liveness.late_after(member.read_timeout);
        // With `hedge` the operator accepts more queries for shorter response times.
        let next = match liveness.percentile().filter(|_| self.config.hedge.is_some()) {
            Some(late) => late.clamp(HEDGE_LEAST.min(usual), member.read_timeout),
            None => usual,
        };
        Some(LateTimer { signal, member, max_fails: self.config.max_fails, next })
    }
}

/// Decides how long an unanswered datagram waits on, and whether it is sent again.
pub(super) struct Resend<'a> {
    member: &'a Member,
    max_fails: u32,
    timer: Option<LateTimer<'a>>,
    deadline: Instant,
    sent: Instant,
    /// Whether the upstream seemed to be down at any time since the query was sent.
    gone: bool,
}

impl<'a> Resend<'a> {
    /// For a datagram that is sent at `sent`.
    pub(super) fn new(group: &Group, attempt: Attempt<'a, '_>, sent: Instant) -> Self {
        let (member, max_fails) = (attempt.member, group.config.max_fails);
        Self {
            member,
            max_fails,
            timer: group.late_timer(attempt),
            deadline: attempt.deadline(sent),
            sent,
            gone: member.upstream.seems_down(max_fails),
        }
    }

    fn wait(&self) -> Duration {
        self.timer.as_ref().map_or(RESEND, |timer| timer.next)
    }

    /// The first time at which an unanswered query is looked at.
    pub(super) fn first(&self) -> Instant {
        self.sent.checked_add(self.wait()).unwrap_or(self.deadline).min(self.deadline)
    }

    /// The query has waited in vain: what to do next; `None` after the deadline.
    pub(super) fn expired(&mut self) -> Option<More> {
        let now = Instant::now();
        let wait = self.wait().min(self.deadline.saturating_duration_since(now));
        if let Some(timer) = &mut self.timer {
            timer.expired();
        }
        self.gone |= self.member.upstream.seems_down(self.max_fails);
        let again = self.gone && now.saturating_duration_since(self.sent) >= RESEND;
        if again {
            self.sent = now;
        }
        (!wait.is_zero()).then_some(More { wait, again })
    }
}

/// Waits for `asking`, and signals at intervals while it takes long.
pub(super) async fn patiently<T>(
    mut asking: Pin<&mut impl Future<Output = T>>,
    mut timer: LateTimer<'_>,
) -> T {
    let mut sleep = pin!(tokio::time::sleep(timer.next));
    poll_fn(|context| {
        if let Poll::Ready(outcome) = asking.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        while sleep.as_mut().poll(context).is_ready() {
            let more = timer.next;
            timer.expired();
            sleep.as_mut().reset(Instant::now() + more);
        }
        Poll::Pending
    })
    .await
}
