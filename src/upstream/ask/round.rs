//! One round: an attempt at one upstream, and the attempts beside it.
//!
//! With a race, several upstreams are queried at once. A late upstream is hedged by a second one: when it
//! seems to be silent or, with `hedge`, when it is slower than usual. The first good answer counts, and
//! the other attempts are dropped.
//!
//! A query that one upstream answers in time costs one poll of its future and nothing else: no task, no
//! timer, no allocation.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use chain::BoxFuture;
use telemetry::metrics::Worker;
use tokio::time::Instant;
use wire::{Rcode, Reply};

use super::attempt::{Attempt, LateSignal};
use super::group::Group;
use super::order::Candidates;
use super::taps::Taps;
use super::trouble::Trouble;
use crate::config::Wanted;
use crate::message::Question;
use crate::roster::Member;

/// Attempts that may be in flight beside those of the policy.
const HEDGES: usize = 2;

/// Marks our own spans in a query that is traced; no place in a chain is that far.
const CONNECT: usize = usize::MAX;

/// The progress of a query.
pub(super) struct Run<'a> {
    pub(super) candidates: Candidates<'a>,
    pub(super) worker: Worker,
    /// When this round began.
    pub(super) begun: Instant,
    /// The deadline of the query.
    pub(super) end: Instant,
    /// The number of upstreams that are queried at once.
    pub(super) width: usize,
    /// Attempts that failed.
    pub(super) failed: u32,
    /// Answers that were not wanted.
    pub(super) unwanted: usize,
    /// An acceptable fallback answer has been received; it is used if no attempt in flight does better.
    pub(super) has_fallback: bool,
    pub(super) trouble: Option<Trouble>,
}

/// How a round ended.
pub(super) enum RoundEnd {
    /// With the answer.
    Answered,
    /// With an answer that is used only if no other upstream has a better one.
    Unwanted,
    Failed,
    /// This machine lacks resources: more attempts would make it worse.
    Overloaded,
}

/// An attempt beside the first one.
struct Other<'a> {
    member: &'a Member,
    begun: Instant,
    late: Arc<LateSignal>,
    future: BoxFuture<'a, Result<(Rcode, Box<Reply>), Trouble>>,
}

/// What happened to one of the attempts.
enum Event {
    First(Result<Rcode, Trouble>),
    Other(usize, Result<(Rcode, Box<Reply>), Trouble>),
    /// The newest attempt is late.
    Late,
}

/// What an answer is worth.
enum Worth {
    Taken,
    /// It is used if no attempt in flight has a better one.
    Fallback,
    /// It is used if no upstream has a better one.
    Unwanted,
}

/// A round in progress.
struct Round<'r, 'a, 'q> {
    group: &'a Group,
    run: &'r mut Run<'a>,
    taps: &'a Taps<'q>,
    first: &'a Member,
    first_late: &'r LateSignal,
    first_in_flight: bool,
    others: Vec<Other<'a>>,
    /// The answer of another upstream than the first: it replaces the content of the reply.
    kept: Option<(Box<Reply>, &'a Member)>,
}

impl Group {
    /// Queries `first`, and other upstreams beside it, until there is an answer or no attempt is left
    /// that could bring one.
    pub(super) async fn round<'a, 'q: 'a>(
        &'a self,
        first: &'a Member,
        run: &mut Run<'a>,
        question: &mut Question,
        reply: &mut Reply,
        taps: &'a Taps<'q>,
    ) -> RoundEnd {
        let late = LateSignal::default();
        let signal = (run.candidates.count() > 1).then_some(&late);
        let attempt = Attempt { member: first, begun: run.begun, end: run.end, taps, late: signal };
        self.begin(first, taps);
        let mut round = Round {
            group: self,
            run,
            taps,
            first,
            first_late: &late,
            first_in_flight: true,
            others: Vec::new(),
            kept: None,
        };
        let end = {
            let mut asking = pin!(self.exchange(attempt, question, reply));
            round.fill_up();
            if let Some(member) = round.run.candidates.beside() {
                round.start_attempt(member);
            }
            loop {
                let event = round.next_event(asking.as_mut()).await;
                if let Some(end) = round.handle(event) {
                    break end;
                }
            }
        };
        let last = match round.kept {
            Some((other, member)) => {
                *reply = *other;
                member
            }
            None => first,
        };
        self.end(last, std::ptr::eq(first, last), taps);
        end
    }

    /// Notes which upstream is queried.
    fn begin(&self, first: &Member, taps: &Taps<'_>) {
        taps.with(|query| {
            query.set_metadata(self.config.owner.metadata, || first.upstream.name.clone());
            if let Some(spans) = query.spans() {
                spans.begin(CONNECT, "connect", net::clock::now());
            }
        });
    }

    /// Notes which upstream the reply is from, if it is not the first.
    fn end(&self, last: &Member, is_first: bool, taps: &Taps<'_>) {
        taps.with(|query| {
            if !is_first {
                query.set_metadata(self.config.owner.metadata, || last.upstream.name.clone());
            }
            if let Some(spans) = query.spans() {
                spans.tag("peer.address", last.upstream.name.clone());
                spans.end(CONNECT, net::clock::now());
            }
        });
    }
}

impl<'a, 'q: 'a> Round<'_, 'a, 'q> {
    /// The next event of any attempt.
    fn next_event(
        &mut self,
        mut asking: Pin<&mut impl Future<Output = Result<Rcode, Trouble>>>,
    ) -> impl Future<Output = Event> {
        poll_fn(move |context| {
            if self.first_in_flight
                && let Poll::Ready(done) = asking.as_mut().poll(context)
            {
                return Poll::Ready(Event::First(done));
            }
            for (index, other) in self.others.iter_mut().enumerate() {
                if let Poll::Ready(done) = other.future.as_mut().poll(context) {
                    return Poll::Ready(Event::Other(index, done));
                }
            }
            let newest = self.others.last().map_or(self.first_late, |other| &other.late);
            if newest.take() { Poll::Ready(Event::Late) } else { Poll::Pending }
        })
    }

    /// Handles an event; `Some`: it ends the round.
    fn handle(&mut self, event: Event) -> Option<RoundEnd> {
        let (member, outcome) = match event {
            Event::Late => return self.hedge_late(),
            Event::First(outcome) => {
                self.first_in_flight = false;
                (self.first, outcome.map(|rcode| (rcode, None)))
            }
            Event::Other(index, outcome) => {
                let outcome = outcome.map(|(rcode, reply)| (rcode, Some(reply)));
                (self.others.remove(index).member, outcome)
            }
        };
        let worth = match outcome {
            Ok((rcode, reply)) => {
                let worth = self.group.worth(member, rcode, self.run);
                if self.group.replaces(&worth, self.run) {
                    self.kept = reply.map(|reply| (reply, member));
                }
                worth
            }
            Err(trouble) => {
                if !self.group.failed(member, trouble, self.run) {
                    return Some(RoundEnd::Overloaded);
                }
                Worth::Unwanted
            }
        };
        match worth {
            Worth::Taken => {
                self.note_outrun();
                return Some(RoundEnd::Answered);
            }
            Worth::Unwanted => {
                self.fill_up();
                self.replace_silent();
            }
            Worth::Fallback => self.run.has_fallback = true,
        }
        if self.first_in_flight || !self.others.is_empty() {
            return None;
        }
        Some(match self.run.unwanted {
            _ if self.run.has_fallback => RoundEnd::Answered,
            0 => RoundEnd::Failed,
            _ => RoundEnd::Unwanted,
        })
    }

    /// Hedges the newest attempt, which is late. Ends the round if there is an answer to use and no
    /// upstream in flight is likely to bring a better one.
    fn hedge_late(&mut self) -> Option<RoundEnd> {
        let in_flight = usize::from(self.first_in_flight) + self.others.len();
        let late = self.others.last().map_or(self.first, |other| other.member);
        if let Some(member) = self.group.hedge(late, in_flight, self.run) {
            self.start_attempt(member);
        }
        let gone = |one: &Member| one.upstream.seems_down(self.group.config.max_fails);
        let hopeless = (!self.first_in_flight || gone(self.first))
            && self.others.iter().all(|other| gone(other.member));
        let has_answer =
            self.run.has_fallback || self.group.wants_positive() && self.run.unwanted > 0;
        (has_answer && hopeless).then_some(RoundEnd::Answered)
    }

    /// The attempts in flight were slower than the one that answered: a lower bound of their times.
    fn note_outrun(&self) {
        if self.first_in_flight {
            self.first.upstream.liveness.outrun(self.run.begun.elapsed());
        }
        for other in &self.others {
            other.member.upstream.liveness.outrun(other.begun.elapsed());
        }
    }

    /// Starts another attempt if only the first is in flight and its upstream seems to be down.
    fn replace_silent(&mut self) {
        let alone = self.first_in_flight && self.others.is_empty();
        if alone
            && self.first.upstream.seems_down(self.group.config.max_fails)
            && let Some(member) = self.group.hedge(self.first, 1, self.run)
        {
            self.start_attempt(member);
        }
    }

    /// Starts attempts until as many are in flight as the policy wants.
    fn fill_up(&mut self) {
        // With one at a time, the next round follows.
        let first = usize::from(self.first_in_flight);
        while self.run.width > 1 && first + self.others.len() < self.run.width {
            let Some(member) = self.run.candidates.next_untried() else { return };
            if !self.start_attempt(member) {
                return;
            }
        }
    }

    /// Starts an attempt at `member` too; whether it could.
    fn start_attempt(&mut self, member: &'a Member) -> bool {
        let (group, taps, end) = (self.group, self.taps, self.run.end);
        let made = taps.with(|query| {
            let mut reply = Box::new(Reply::new());
            reply.begin(query);
            Some((Question::new(query, group.config.case_randomization).ok()?, reply))
        });
        let Some((mut question, mut reply)) = made else { return false };
        let late = Arc::new(LateSignal::default());
        let (signal, begun) = (Arc::clone(&late), Instant::now());
        let future = Box::pin(async move {
            let attempt = Attempt { member, begun, end, taps, late: Some(&signal) };
            let rcode = group.exchange(attempt, &mut question, &mut reply).await?;
            Ok((rcode, reply))
        });
        self.others.push(Other { member, begun, late, future });
        true
    }
}

impl Group {
    /// The number of failed attempts after which a query fails, if `count` upstreams may still answer.
    pub(super) fn max_attempts(&self, count: usize) -> u32 {
        match self.config.max_connect_attempts {
            None => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                count.saturating_mul(self.config.attempts_each)
            }
            Some(0) => u32::MAX,
            Some(attempts) => attempts,
        }
    }

    pub(super) fn wants_positive(&self) -> bool {
        self.config.wanted == Wanted::Positive
    }

    /// The upstream that hedges `late`, with `in_flight` attempts in flight.
    fn hedge<'a>(&self, late: &Member, in_flight: usize, run: &mut Run<'a>) -> Option<&'a Member> {
        let most = self.max_attempts(run.candidates.left()) as usize;
        let width = run.width.saturating_add(HEDGES);
        if in_flight >= width || run.failed as usize + in_flight >= most {
            return None;
        }
        // The other upstreams take over the queries of a failed one anyway: this adds no load.
        if late.upstream.seems_down(self.config.max_fails) {
            let member = run.candidates.next_healthy()?;
            member.upstream.metrics.stood_in(run.worker);
            return Some(member);
        }
        let tokens = self.tokens.as_ref()?;
        if !tokens.take() {
            self.unhedged.inc(run.worker);
            return None;
        }
        let member = run.candidates.next_healthy()?;
        member.upstream.metrics.hedged(run.worker);
        Some(member)
    }

    /// What an answer is worth. The upstream's circuit breaker counts it, too.
    fn worth(&self, member: &Member, rcode: Rcode, run: &mut Run<'_>) -> Worth {
        let counted = member.upstream.answered(rcode);
        let worth = if self.config.failover.contains(&rcode) || counted {
            Worth::Unwanted
        } else {
            match self.config.wanted {
                Wanted::Any if run.width == 1 => Worth::Taken,
                Wanted::Any if matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => Worth::Taken,
                Wanted::Any => Worth::Fallback,
                Wanted::First => Worth::Taken,
                Wanted::Positive if rcode == Rcode::NOERROR => Worth::Taken,
                Wanted::Positive => Worth::Unwanted,
            }
        };
        if !matches!(worth, Worth::Taken) {
            run.unwanted += 1;
            run.candidates.exclude(member);
        }
        worth
    }

    /// Whether an answer replaces the one that is kept.
    fn replaces(&self, worth: &Worth, run: &Run<'_>) -> bool {
        // Of unwanted answers CoreDNS returns the last, and its plugin for parallel queries the first.
        matches!(worth, Worth::Taken) || run.unwanted == 1 || !self.wants_positive()
    }

    /// An attempt failed. `false`: the upstream is not to blame.
    fn failed(&self, member: &Member, trouble: Trouble, run: &mut Run<'_>) -> bool {
        match trouble {
            Trouble::Ours(_) => self.overloaded.inc(run.worker),
            // The upstream may be healthy, and the next one idle.
            Trouble::ConnectionsFull => {
                member.upstream.metrics.connections_full(run.worker);
                run.failed += 1;
            }
            Trouble::Theirs(..) => {
                member.upstream.failed(self.config.max_fails);
                run.failed += 1;
            }
        }
        let theirs = !matches!(trouble, Trouble::Ours(_));
        run.trouble = Some(trouble);
        theirs
    }
}
