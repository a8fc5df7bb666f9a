//! One exchange with one upstream, and its outcome.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use chain::UpstreamExchange;
use net::client::{More, Over, Source};
use tokio::time::{Instant, Sleep};
use wire::{Rcode, Reply, Transport};

use super::group::Group;
use super::taps::Taps;
use super::trouble::{Trouble, trouble};
use crate::message::{Question, Taken, take};
use crate::roster::Member;

/// How long to wait on for a good reply after a bad one to the right question came: if it was
/// forged, the good one is on its way; if the upstream is broken, TCP is the way out.
const GRACE: Duration = Duration::from_millis(100);
/// A query to an upstream that seems to be gone is sent again after so long: it is answered soon after
/// that is back, and not first when it would have been given up.
const AGAIN: Duration = Duration::from_millis(500);
/// The next upstream is asked too after no less than that.
const HEDGE_LEAST: Duration = Duration::from_millis(10);

/// What came over UDP.
enum Datagram {
    Reply,
    /// Better asked over TCP: broken off, unreadable, or the case of the name was not kept.
    Doubtful,
}

/// One attempt: whom to ask, and who wants to know how it goes.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a, 'q> {
    pub(super) member: &'a Member,
    pub(super) begun: Instant,
    /// No attempt goes on after that.
    pub(super) end: Instant,
    pub(super) taps: &'a Taps<'q>,
    /// Nothing, if there is nobody else to ask.
    pub(super) wait: Option<&'a Wait>,
}

/// Tells those who decide whether somebody else is asked too that an attempt takes long.
#[derive(Default)]
pub(super) struct Wait {
    /// Written and read in one task; atomic only because the future moves between threads.
    late: AtomicBool,
}

impl Wait {
    /// Whether it has taken longer than it should since this was asked last.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed) && self.late.swap(false, Ordering::Relaxed)
    }
}

/// When to look at an attempt again: each time after twice as long.
struct Looks<'a> {
    wait: &'a Wait,
    member: &'a Member,
    max_fails: u32,
    next: Duration,
}

impl Looks<'_> {
    /// It has waited for as long as it was to.
    fn look(&mut self) {
        self.wait.late.store(true, Ordering::Relaxed);
        self.member.upstream.waits(self.max_fails);
        self.next *= 2;
    }
}

impl Group {
    /// When to look at an attempt; never, if there is nobody else to ask.
    fn looks<'a>(&self, attempt: Attempt<'a, '_>) -> Option<Looks<'a>> {
        let member = attempt.member;
        let wait = attempt.wait?;
        let pulse = &member.upstream.pulse;
        let usual = pulse.patience(member.read_timeout);
        // Who pays for a second question gets it sooner.
        let next = match pulse.late().filter(|_| self.config.hedge.is_some()) {
            Some(late) => late.clamp(HEDGE_LEAST.min(usual), member.read_timeout),
            None => usual,
        };
        Some(Looks { wait, member, max_fails: self.config.max_fails, next })
    }

    /// Asks an upstream; the reply is loaded into `reply`.
    pub(super) async fn exchange(
        &self,
        attempt: Attempt<'_, '_>,
        question: &mut Question,
        into: &mut Vec<u8>,
        reply: &mut Reply,
    ) -> Result<Rcode, Trouble> {
        let member = attempt.member;
        let upstream = &*member.upstream;
        let stream = upstream.options.over != Over::Tcp
            || member.force_tcp
            || !member.prefer_udp && question.connected;
        let (mut asked, mut since) = (false, attempt.begun);
        if stream {
            Box::pin(self.ask_stream(attempt, question, into, reply)).await?;
            asked = true;
        } else if upstream.cuts_everything() {
            // It would only send us here.
            asked = Box::pin(self.ask_stream(attempt, question, into, reply)).await.is_ok();
            if !asked {
                upstream.came(false);
                since = Instant::now();
            }
        }
        if !asked {
            let datagram = self.ask_udp(attempt, since, question, into, reply).await?;
            let doubtful = matches!(datagram, Datagram::Doubtful);
            if doubtful || reply.truncated {
                upstream.came(true);
                let whole = Box::pin(self.ask_stream(attempt, question, into, reply)).await;
                // What came truncated is still a reply: the client may try TCP itself.
                if doubtful {
                    whole?;
                }
            } else {
                upstream.came(false);
            }
        }
        let took = attempt.begun.elapsed();
        let rcode = reply.rcode();
        upstream.numbers.replied(question.worker, rcode, took);
        upstream.pulse.beat(took);
        Ok(rcode)
    }

    async fn ask_udp(
        &self,
        attempt: Attempt<'_, '_>,
        since: Instant,
        question: &mut Question,
        into: &mut Vec<u8>,
        reply: &mut Reply,
    ) -> Result<Datagram, Trouble> {
        let Attempt { member, taps, .. } = attempt;
        let upstream = &*member.upstream;
        question.renew(true).map_err(Trouble::Ours)?;
        let (asked, local) = (taps.now(), OnceLock::new());
        // Written and read in one task; atomic only because the future moves between threads.
        let doubtful = AtomicBool::new(false);
        let question = &*question;
        let numbers = &upstream.numbers;
        let strange = |records| numbers.strange(question.worker, records);
        let mut accept = |bytes: &[u8]| match take(question, bytes, reply, strange) {
            Taken::Yes => true,
            Taken::Doubtful => {
                doubtful.store(true, Ordering::Relaxed);
                false
            }
            Taken::No => {
                numbers.dropped(question.worker);
                false
            }
        };
        let to = upstream.address;
        let source = Source { address: upstream.options.source, tell: taps.wants(&local) };
        let deadline = attempt.deadline(since);
        let mut looks = self.looks(attempt);
        let first = looks.as_ref().map_or(AGAIN, |looks| looks.next);
        let first = since.checked_add(first).unwrap_or(deadline).min(deadline);
        let max_fails = self.config.max_fails;
        let (mut gone, mut sent) = (upstream.seems_gone(max_fails), since);
        let mut patience = || {
            let now = Instant::now();
            let wait = looks.as_ref().map_or(AGAIN, |looks| looks.next);
            let wait = wait.min(deadline.saturating_duration_since(now));
            if let Some(looks) = &mut looks {
                looks.look();
            }
            gone |= upstream.seems_gone(max_fails);
            let again = gone && now.saturating_duration_since(sent) >= AGAIN;
            if again {
                sent = now;
            }
            (!wait.is_zero()).then_some(More { wait, again })
        };
        let message = &question.message;
        let outcome = {
            let asking = upstream.datagrams(question.worker).ask(
                &self.network,
                source,
                to,
                message,
                first,
                &mut patience,
                into,
                &mut accept,
            );
            let mut asking = pin!(asking);
            let mut grace: Option<Pin<Box<Sleep>>> = None;
            poll_fn(|context| {
                if let Poll::Ready(outcome) = asking.as_mut().poll(context) {
                    return Poll::Ready(Some(outcome));
                }
                if doubtful.load(Ordering::Relaxed) {
                    let sleep = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
                    return sleep.as_mut().poll(context).map(|()| None);
                }
                Poll::Pending
            })
            .await
        };
        let came = matches!(outcome, Some(Ok(())));
        taps.tell(&UpstreamExchange {
            upstream: to,
            local: local.get().copied(),
            transport: Transport::Udp,
            question: message,
            asked,
            reply: came.then(|| (&into[..], taps.now())),
        });
        match outcome {
            Some(Ok(())) => Ok(Datagram::Reply),
            None => Ok(Datagram::Doubtful),
            Some(Err(_)) if doubtful.load(Ordering::Relaxed) => Ok(Datagram::Doubtful),
            Some(Err(error)) => Err(trouble(to, error)),
        }
    }

    async fn ask_stream(
        &self,
        attempt: Attempt<'_, '_>,
        question: &mut Question,
        into: &mut Vec<u8>,
        reply: &mut Reply,
    ) -> Result<(), Trouble> {
        let Attempt { member, taps, .. } = attempt;
        let upstream = &*member.upstream;
        question.renew(false).map_err(Trouble::Ours)?;
        if matches!(upstream.options.over, Over::Quic(_)) {
            if question.is_transfer() {
                // As in CoreDNS: it takes several messages, and one goes back.
                reply.clear();
                reply.set_rcode(Rcode::NOTIMP);
                return Ok(());
            }
            question.drop_keepalive();
        }
        let (asked, local) = (taps.now(), OnceLock::new());
        let question = &*question;
        let numbers = &upstream.numbers;
        let strange = |records| numbers.strange(question.worker, records);
        let mut accept = |bytes: &[u8]| {
            let taken = matches!(take(question, bytes, reply, strange), Taken::Yes);
            if !taken {
                numbers.dropped(question.worker);
            }
            taken
        };
        let to = upstream.address;
        let source = Source { address: upstream.options.source, tell: taps.wants(&local) };
        let message = &question.message;
        let now = Instant::now();
        let timeout = attempt.deadline(now).saturating_duration_since(now);
        let asking = upstream.connections(question.worker).ask(
            &self.network,
            source,
            to,
            message,
            timeout,
            into,
            &mut accept,
        );
        let asked_over = match self.looks(attempt) {
            Some(looks) => patiently(asking, looks).await,
            None => asking.await,
        };
        taps.tell(&UpstreamExchange {
            upstream: to,
            local: local.get().copied(),
            transport: upstream.options.over.transport(),
            question: message,
            asked,
            reply: asked_over.is_ok().then(|| (&into[..], taps.now())),
        });
        let carried = asked_over.map_err(|error| trouble(to, error))?;
        upstream.numbers.used_stream(question.worker, carried.reused);
        if carried.age > 0 {
            reply.edit_ttls(|_, ttl| ttl.saturating_sub(carried.age));
        }
        Ok(())
    }
}

impl Attempt<'_, '_> {
    /// When what is asked `now` is given up.
    fn deadline(&self, now: Instant) -> Instant {
        (now + self.member.read_timeout).min(self.end)
    }
}

/// Waits for `asking`, and looks now and then while it takes long.
async fn patiently<T>(asking: impl Future<Output = T>, mut looks: Looks<'_>) -> T {
    let mut asking = pin!(asking);
    let mut sleep = pin!(tokio::time::sleep(looks.next));
    poll_fn(|context| {
        if let Poll::Ready(outcome) = asking.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        while sleep.as_mut().poll(context).is_ready() {
            let more = looks.next;
            looks.look();
            sleep.as_mut().reset(Instant::now() + more);
        }
        Poll::Pending
    })
    .await
}
