//! How one query passes through the upstreams of a group.
//!
//! The query goes to one upstream. If that fails or gives an unwanted answer, the next one follows.
//! With a race, several are queried at once. A late upstream gets company: when it seems to be silent,
//! or, with `hedge`, when it is slower than usual. The first good answer counts, and the other
//! exchanges are dropped.
//!
//! A query that one upstream answers in time costs one poll of its future and nothing else: no task,
//! no timer, no allocation.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chain::{BoxFuture, Query};
use telemetry::metrics::Worker;
use tokio::time::Instant;
use wire::{Failure, Rcode, Reply};

use super::exchange::{Attempt, Wait};
use super::group::Group;
use super::order::Walk;
use super::taps::Taps;
use super::trouble::{self, Trouble};
use crate::config::Wanted;
use crate::message::Question;
use crate::roster::Member;

/// Between attempts once every upstream had two: who refuses at once is not asked thousands of
/// times.
const PAUSE: Duration = Duration::from_millis(100);
/// Upstreams that may be asked at once because others are late.
const COMPANY: usize = 2;

/// Marks our own spans in a query that is traced; no place in a chain is that far.
const CONNECT: usize = usize::MAX;

/// How far a query has come.
struct Run<'a> {
    walk: Walk<'a>,
    worker: Worker,
    /// When this round began: one look at the clock for all who want to know.
    begun: Instant,
    end: Instant,
    /// How many are asked at once.
    width: usize,
    /// Attempts that failed.
    failed: u32,
    /// Answers that were not wanted.
    unwanted: usize,
    /// Whether one of them will do if nobody who is asked has a better one.
    will_do: bool,
    trouble: Option<Trouble>,
}

/// An attempt beside the first one.
struct Other<'a> {
    member: &'a Member,
    begun: Instant,
    wait: Arc<Wait>,
    future: BoxFuture<'a, Result<(Rcode, Box<Reply>), Trouble>>,
}

/// What happened to one of those who were asked.
enum Event {
    First(Result<Rcode, Trouble>),
    Other(usize, Result<(Rcode, Box<Reply>), Trouble>),
    /// The one that was asked last is late.
    Late,
}

/// How a round ended.
enum Round {
    /// With the answer.
    Answered,
    /// With one that is better than none.
    Unwanted,
    Failed,
    /// Asking more would make it worse.
    Overloaded,
}

/// What an answer is worth.
enum Worth {
    Taken,
    /// If none of those who are asked already has a better one.
    Waits,
    /// If nobody has a better one.
    Unwanted,
}

impl Group {
    /// Asks until somebody answers; the reply is loaded into `reply`.
    ///
    /// # Errors
    /// No upstream answered, or too many queries are waiting.
    pub async fn ask(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        {
            let _places = self.enter(query)?;
            self.ask_around(query, reply).await?;
        }
        self.own.settle(query, reply).await;
        Ok(())
    }

    /// Asks until somebody answers.
    async fn ask_around(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        let mut question = Question::new(query, self.config.case_randomization)
            .map_err(|_| Failure::rcode(Rcode::FORMERR))?;
        let mut into = Vec::new();
        let members = self.roster.now();
        if members.is_empty() {
            return Err(self.roster.nobody());
        }
        let begun = Instant::now();
        let mut run = Run {
            walk: Walk::new(&members, &self.policy, self.config.max_fails),
            worker: query.client.worker,
            begun,
            end: begun + self.budget,
            width: self.config.policy.width(),
            failed: 0,
            unwanted: 0,
            will_do: false,
            trouble: None,
        };
        if let Some(tokens) = &self.tokens {
            tokens.earn();
        }
        let count = run.walk.count();
        let taps = self.watchers.of(query);
        // A reply that is not wanted is better than none.
        let mut second_best = false;
        let mut is_first = true;
        while run.failed < self.max_attempts(run.walk.left()) {
            if !mem::replace(&mut is_first, false) {
                run.begun = Instant::now();
                if run.begun >= run.end {
                    break;
                }
            }
            if run.failed as usize >= 2 * count {
                Box::pin(tokio::time::sleep(PAUSE)).await;
                run.begun = Instant::now();
            }
            let was_down = run.walk.all_down;
            let found = run.walk.next();
            if run.walk.all_down && !was_down {
                self.broken.inc(run.worker);
                if self.config.failfast {
                    break;
                }
            }
            let Some(member) = found else { break };
            match self.round(member, &mut run, &mut question, &mut into, reply, &taps).await {
                Round::Answered => return Ok(()),
                Round::Unwanted if run.unwanted >= count => return Ok(()),
                // Those who fell silent are not waited for when others have said no.
                Round::Unwanted if self.wants_positive() && !run.walk.any_well() => return Ok(()),
                Round::Unwanted => second_best = true,
                Round::Failed => {}
                Round::Overloaded => break,
            }
        }
        if second_best { Ok(()) } else { Err(trouble::failure(run.trouble)) }
    }

    /// Failed attempts that are made for one query, where so many might still answer.
    fn max_attempts(&self, count: usize) -> u32 {
        match self.config.max_connect_attempts {
            None => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                count.saturating_mul(self.config.attempts_each)
            }
            Some(0) => u32::MAX,
            Some(attempts) => attempts,
        }
    }

    /// Asks `first`, and others beside it, until there is an answer or nobody is left who could give
    /// one.
    async fn round<'a, 'q: 'a>(
        &'a self,
        first: &'a Member,
        run: &mut Run<'a>,
        question: &mut Question,
        into: &mut Vec<u8>,
        reply: &mut Reply,
        taps: &'a Taps<'q>,
    ) -> Round {
        let (begun, wait) = (run.begun, Wait::default());
        let company = run.walk.count() > 1;
        let wakes = company.then_some(&wait);
        let attempt = Attempt { member: first, begun, end: run.end, taps, wait: wakes };
        // What another than the first said, and who: it takes the place of what is in `reply`.
        let mut kept: Option<(Box<Reply>, &Member)> = None;
        self.begin(first, taps);
        let outcome = {
            let mut asking = pin!(self.exchange(attempt, question, into, reply));
            let mut first_waits = true;
            let mut others: Vec<Other<'a>> = Vec::new();
            self.fill_up(run, &mut others, 1, taps);
            if let Some(member) = run.walk.beside() {
                others.extend(self.other(member, run, taps));
            }
            loop {
                let event = poll_fn(|context| {
                    if first_waits && let Poll::Ready(done) = asking.as_mut().poll(context) {
                        return Poll::Ready(Event::First(done));
                    }
                    for (index, other) in others.iter_mut().enumerate() {
                        if let Poll::Ready(done) = other.future.as_mut().poll(context) {
                            return Poll::Ready(Event::Other(index, done));
                        }
                    }
                    let newest = others.last().map_or(&wait, |other| &other.wait);
                    if newest.is_late() { Poll::Ready(Event::Late) } else { Poll::Pending }
                })
                .await;
                let worth = match event {
                    Event::Late => {
                        let waits = usize::from(first_waits) + others.len();
                        let late = others.last().map_or(first, |other| other.member);
                        if let Some(member) = self.company(late, waits, run) {
                            others.extend(self.other(member, run, taps));
                        }
                        let gone = |one: &Member| one.upstream.seems_gone(self.config.max_fails);
                        let hopeless = (!first_waits || gone(first))
                            && others.iter().all(|other| gone(other.member));
                        let said = run.will_do || self.wants_positive() && run.unwanted > 0;
                        if said && hopeless {
                            break Round::Answered;
                        }
                        continue;
                    }
                    Event::First(Ok(rcode)) => {
                        first_waits = false;
                        let worth = self.worth(first, rcode, run);
                        if self.replaces(&worth, run) {
                            kept = None;
                        }
                        worth
                    }
                    Event::Other(index, Ok((rcode, said))) => {
                        let member = others.remove(index).member;
                        let worth = self.worth(member, rcode, run);
                        if self.replaces(&worth, run) {
                            kept = Some((said, member));
                        }
                        worth
                    }
                    Event::First(Err(trouble)) => {
                        first_waits = false;
                        if !self.failed(first, trouble, run) {
                            break Round::Overloaded;
                        }
                        Worth::Unwanted
                    }
                    Event::Other(index, Err(trouble)) => {
                        let member = others.remove(index).member;
                        if !self.failed(member, trouble, run) {
                            break Round::Overloaded;
                        }
                        Worth::Unwanted
                    }
                };
                match worth {
                    Worth::Taken => {
                        if first_waits {
                            first.upstream.pulse.outrun(begun.elapsed());
                        }
                        for other in &others {
                            other.member.upstream.pulse.outrun(other.begun.elapsed());
                        }
                        break Round::Answered;
                    }
                    Worth::Unwanted => {
                        self.fill_up(run, &mut others, usize::from(first_waits), taps);
                        if first_waits
                            && others.is_empty()
                            && first.upstream.seems_gone(self.config.max_fails)
                            && let Some(member) = self.company(first, 1, run)
                        {
                            others.extend(self.other(member, run, taps));
                        }
                    }
                    Worth::Waits => run.will_do = true,
                }
                if !first_waits && others.is_empty() {
                    break match run.unwanted {
                        _ if run.will_do => Round::Answered,
                        0 => Round::Failed,
                        _ => Round::Unwanted,
                    };
                }
            }
        };
        let mut last = first;
        if let Some((said, member)) = kept {
            *reply = *said;
            last = member;
        }
        self.end(last, std::ptr::eq(first, last), taps);
        outcome
    }

    /// Asks more until as many are asked as there should be.
    fn fill_up<'a, 'q: 'a>(
        &'a self,
        run: &mut Run<'a>,
        others: &mut Vec<Other<'a>>,
        first: usize,
        taps: &'a Taps<'q>,
    ) {
        // One alone is followed by the next round.
        while run.width > 1 && first + others.len() < run.width {
            let Some(member) = run.walk.next_untried() else { return };
            match self.other(member, run, taps) {
                Some(other) => others.push(other),
                None => return,
            }
        }
    }

    /// Asks `member` too.
    fn other<'a, 'q: 'a>(
        &'a self,
        member: &'a Member,
        run: &Run<'a>,
        taps: &'a Taps<'q>,
    ) -> Option<Other<'a>> {
        let (mut question, mut reply) = taps.with(|query| {
            let mut reply = Box::new(Reply::new());
            reply.begin(query);
            Some((Question::new(query, self.config.case_randomization).ok()?, reply))
        })?;
        let wait = Arc::new(Wait::default());
        let (seen, begun, end) = (Arc::clone(&wait), Instant::now(), run.end);
        let future = Box::pin(async move {
            let attempt = Attempt { member, begun, end, taps, wait: Some(&seen) };
            let mut into = Vec::new();
            let rcode = self.exchange(attempt, &mut question, &mut into, &mut reply).await?;
            Ok((rcode, reply))
        });
        Some(Other { member, begun, wait, future })
    }

    /// Who is asked too because `late` is, where `waits` are under way.
    fn company<'a>(&self, late: &Member, waits: usize, run: &mut Run<'a>) -> Option<&'a Member> {
        let most = self.max_attempts(run.walk.left()) as usize;
        if waits >= run.width.saturating_add(COMPANY) || run.failed as usize + waits >= most {
            return None;
        }
        // The queries of one that is gone are those of the others now: that is no extra load.
        if late.upstream.seems_gone(self.config.max_fails) {
            let member = run.walk.next_well()?;
            member.upstream.numbers.stepped_in(run.worker);
            return Some(member);
        }
        let tokens = self.tokens.as_ref()?;
        if !tokens.take() {
            self.unhedged.inc(run.worker);
            return None;
        }
        let member = run.walk.next_well()?;
        member.upstream.numbers.hedged(run.worker);
        Some(member)
    }

    /// What an answer is worth; it tells of the upstream, too.
    fn worth(&self, member: &Member, rcode: Rcode, run: &mut Run<'_>) -> Worth {
        let counted = member.upstream.answered(rcode);
        let worth = if self.config.failover.contains(&rcode) || counted {
            Worth::Unwanted
        } else {
            match self.config.wanted {
                Wanted::Any if run.width == 1 => Worth::Taken,
                Wanted::Any if matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN) => Worth::Taken,
                Wanted::Any => Worth::Waits,
                Wanted::First => Worth::Taken,
                Wanted::Positive if rcode == Rcode::NOERROR => Worth::Taken,
                Wanted::Positive => Worth::Unwanted,
            }
        };
        if !matches!(worth, Worth::Taken) {
            run.unwanted += 1;
            run.walk.leave_out(member);
        }
        worth
    }

    fn wants_positive(&self) -> bool {
        self.config.wanted == Wanted::Positive
    }

    /// Whether an answer is kept in place of the one that is.
    fn replaces(&self, worth: &Worth, run: &Run<'_>) -> bool {
        // Of unwanted ones CoreDNS gives the last, and its `fanout` the first.
        matches!(worth, Worth::Taken) || run.unwanted == 1 || !self.wants_positive()
    }

    /// An attempt failed. `false`: that is not the upstream's fault.
    fn failed(&self, member: &Member, trouble: Trouble, run: &mut Run<'_>) -> bool {
        match trouble {
            Trouble::Ours(_) => self.overloaded.inc(run.worker),
            // It may be well, and the next one idle.
            Trouble::Crowded => {
                member.upstream.numbers.crowded(run.worker);
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

    /// Tells who is asked.
    fn begin(&self, first: &Member, taps: &Taps<'_>) {
        taps.with(|query| {
            query.set_metadata(self.config.who.metadata(), || first.upstream.name.clone());
            if let Some(spans) = query.spans() {
                spans.begin(CONNECT, "connect", net::clock::now());
            }
        });
    }

    /// Tells who was asked last, in the end, if that is not the first.
    fn end(&self, last: &Member, is_first: bool, taps: &Taps<'_>) {
        taps.with(|query| {
            if !is_first {
                query.set_metadata(self.config.who.metadata(), || last.upstream.name.clone());
            }
            if let Some(spans) = query.spans() {
                spans.tag("peer.address", last.upstream.name.clone());
                spans.end(CONNECT, net::clock::now());
            }
        });
    }
}
