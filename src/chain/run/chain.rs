//! A plugin, and the chain that runs a query through plugins: in, perhaps waiting, and out.
//!
//! Each is defined by the other: a chain holds plugins, and a plugin that waits runs the rest of its chain.

use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use corefile::Diagnostic;
use exchange::{BoxFuture, Place, Query};
use smallvec::SmallVec;
use wire::edns::ede;
use wire::{Clock, Failure, Moment, Opcode, Rcode, Reply};

use super::ahead::{Ahead, Batch};
use crate::{OnNotify, OnUpdate, Roles, Served, Step, Verdict};

/// A plugin.
pub trait ServeDns: Send + Sync + 'static {
    /// A hint, called for a batch of queries before any is answered: prefetch the memory that
    /// [`ServeDns::on_query`] will read for each. Each stage follows one pointer: it reads the memory
    /// that the previous stage prefetched (for stage 0 the plugin itself, as far as [`Roles::reads`]
    /// says) and prefetches the memory that it points to.
    /// Called for [`Roles::prefetch_stages`] stages.
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        let _ = (batch, stage);
    }

    /// The way in, on the listener's thread. Must never wait.
    ///
    /// Called for questions: messages with opcode QUERY that ask for no transfer. A plugin that takes
    /// other messages says so with [`Roles::sees`]; without that they pass it by, in both directions.
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let _ = (query, reply);
        Ok(Step::Next)
    }

    /// Called after [`Step::Wait`] or [`Step::Refresh`]; may do I/O. `next.run` runs the rest of the
    /// chain, any number of times.
    ///
    /// Errors: a [`Failure`] becomes the reply, as in `on_query`.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            next.run(query, reply).await;
            Ok(Step::Done)
        })
    }

    /// The way out, innermost first, for each plugin that passed the query on. The reply may be a
    /// failure or empty.
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        let _ = (query, reply);
    }

    /// The way out, before `on_reply`: whether this plugin must wait before it can do its part. If so,
    /// [`ServeDns::finish_reply`] is called instead of `on_reply`. Only for plugins whose
    /// [`Roles::waits_on_reply`] is set.
    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        let _ = (query, reply);
        false
    }

    /// The way out, where [`ServeDns::must_wait`] returned true: does everything that `on_reply` does,
    /// and may do I/O. If the query's deadline passes, `on_reply` is called after all.
    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.on_reply(query, reply) })
    }

    /// The reply as it is sent, with id, OPT record and truncation; it can no longer change. Not called
    /// if no reply is sent, nor for lookups of our own. Only for plugins whose
    /// [`Roles::sees_sent`] is set.
    fn on_sent(&self, query: &Query, message: &[u8]) {
        let _ = (query, message);
    }

    /// Called when the chain is complete and about to serve: checks that it has what this plugin needs.
    ///
    /// # Errors
    /// A part is missing; the configuration is refused.
    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        let _ = chain;
        Ok(())
    }

    /// The interfaces that this plugin offers to others.
    fn roles(&self) -> Roles<'_> {
        Roles::default()
    }
}

/// One plugin at its place.
pub struct Link {
    /// The directive's name.
    pub name: &'static str,
    /// The plugin.
    pub plugin: Box<dyn ServeDns>,
}

/// The plugins of one server block, in registry order.
///
/// The parts that a query needs are adjacent in memory, the first plugins included: with thousands
/// of blocks, each further cache line is one more to wait for.
#[repr(C, align(64))]
pub struct Chain {
    ahead: Ahead,
    /// Bit `n` is set if link `n` may have to wait on the way out. Links beyond the last bit are always
    /// checked.
    late: u64,
    /// Whether any link sees replies as they are sent, or limits them.
    watches_sent: bool,
    plugins: SmallVec<[Box<dyn ServeDns>; NEAR]>,
    names: Box<[&'static str]>,
    clock: Clock,
    takes_updates: bool,
}

const _: () = assert!(std::mem::offset_of!(Chain, names) <= 128);

/// The largest number of plugins that are stored in the chain itself.
const NEAR: usize = 4;

/// The rest of the chain after a plugin that waits.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    chain: &'a Chain,
    at: usize,
}

impl Chain {
    /// A chain of these plugins.
    pub fn new(links: Vec<Link>, clock: Clock) -> Self {
        // Bits of the first 64 links.
        let late =
            links.iter().take(64).enumerate().fold(0, |bits, (at, link)| {
                bits | u64::from(link.plugin.roles().waits_on_reply) << at
            });
        Self {
            ahead: Ahead::of(links.iter().map(|link| (&*link.plugin, link.plugin.roles()))),
            late,
            watches_sent: links.iter().any(|link| {
                let roles = link.plugin.roles();
                roles.sees_sent || roles.limit.is_some()
            }),
            takes_updates: links.iter().any(|link| link.plugin.roles().update.is_some()),
            names: links.iter().map(|link| link.name).collect(),
            plugins: links.into_iter().map(|link| link.plugin).collect(),
            clock,
        }
    }

    /// The plugins in order.
    pub fn plugins(&self) -> &[Box<dyn ServeDns>] {
        &self.plugins
    }

    /// The first plugin of the directive `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| *known == name)
    }

    /// The plugins' names: the directives that they came from.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The chain behind link `at`, for a plugin there that asks it again on the way out.
    pub fn behind(&self, at: usize) -> Next<'_> {
        Next { chain: self, at: at + 1 }
    }

    /// How many stages [`Chain::prefetch`] has.
    #[inline]
    pub fn prefetch_stages(&self) -> u8 {
        self.ahead.stages()
    }

    /// Prefetches the memory that the plugins will read for these queries. A stage reads the memory
    /// that the previous one prefetched.
    pub fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        self.ahead.prefetch(&self.plugins, stage, |plugin| plugin.prefetch(batch, stage));
    }

    /// Prefetches the parts of the chain itself that a query needs.
    #[inline]
    pub fn prefetch_head(&self) {
        wire::prefetch::fetch(self);
        wire::prefetch::fetch(&self.plugins);
    }

    /// Prefetches the plugins themselves.
    #[inline]
    pub fn prefetch_plugins(&self) {
        self.ahead.prefetch_plugins(&self.plugins);
    }

    /// Runs the query as far as it goes without waiting: the place where it must wait, or `None` when
    /// the reply is complete. If [`State::renewal`](exchange::State::renewal) is set then,
    /// [`Chain::refresh`] is to run for it in the background.
    #[inline]
    pub fn run(&self, query: &mut Query, reply: &mut Reply) -> Option<Place> {
        let (at, served) = self.enter(0, query, reply);
        if matches!(served, Ok(Step::Wait)) {
            return Some(Place::In(at as u32));
        }
        self.settle(at, served, query, reply);
        self.leave(0, at, query, reply).map(|late| Place::Out(late as u32))
    }

    /// Continues at the place where [`Chain::run`] had to wait; the reply is complete when this resolves.
    pub async fn resume(&self, place: Place, query: &mut Query, reply: &mut Reply) {
        let at = match place {
            Place::In(at) => self.serve(at as usize, query, reply).await,
            Place::Out(at) => {
                self.finish(at as usize, query, reply).await;
                at as usize
            }
        };
        self.leave_all(0, at, query, reply).await;
    }

    /// Refreshes the answer of link `at` in the background; no client waits for the reply.
    pub async fn refresh(&self, at: usize, query: &mut Query, reply: &mut Reply) {
        query.state.refresh = true;
        let next = self.behind(at);
        // The outcome is the plugin's own business: it keeps the new answer or does not.
        let _ = self.plugins[at].serve_dns(query, reply, next).await;
    }

    /// Whether any plugin takes UPDATE messages.
    pub fn takes_updates(&self) -> bool {
        self.takes_updates
    }

    /// Whether any plugin sees replies as they are sent, or limits them.
    #[inline]
    pub fn watches_sent(&self) -> bool {
        self.watches_sent
    }

    /// Passes the reply, as it is sent, to the plugins that want to see it.
    pub fn sent(&self, query: &Query, message: &[u8]) {
        for plugin in &self.plugins {
            if plugin.roles().sees_sent {
                plugin.on_sent(query, message);
            }
        }
    }

    /// The verdict of the plugins that limit replies: the first that is not [`Verdict::Send`].
    pub fn limit(&self, query: &Query, reply: &Reply) -> Verdict {
        let limits = self.plugins.iter().filter_map(|plugin| plugin.roles().limit);
        limits
            .map(|limit| limit.limit(query, reply))
            .find(|it| *it != Verdict::Send)
            .unwrap_or(Verdict::Send)
    }

    /// Whether any plugin limits replies.
    pub fn limits(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin.roles().limit.is_some())
    }

    /// Way in: the first link at or after `at` that does not say `Next`.
    #[inline]
    fn enter(&self, mut at: usize, query: &mut Query, reply: &mut Reply) -> (usize, Served) {
        if !query.is_question() {
            return self.enter_other(at, query, reply);
        }
        while let Some(plugin) = self.plugins.get(at) {
            match plugin.on_query(query, reply) {
                Ok(Step::Next) => at += 1,
                served => return (at, served),
            }
        }
        (at, Ok(Step::Next))
    }

    /// Way in of a message that is not a question: only for the links that take it.
    #[cold]
    fn enter_other(&self, mut at: usize, query: &mut Query, reply: &mut Reply) -> (usize, Served) {
        while let Some(plugin) = self.plugins.get(at) {
            let roles = plugin.roles();
            if Door::of(query, &roles).is_some() {
                return (at, Ok(Step::Wait));
            }
            if roles.sees.includes(query) {
                match plugin.on_query(query, reply) {
                    Ok(Step::Next) => {}
                    served => return (at, served),
                }
            }
            at += 1;
        }
        (at, Ok(Step::Next))
    }

    /// What the decision of link `at`, or the end of the chain, means for the reply.
    #[inline]
    fn settle(&self, at: usize, served: Served, query: &mut Query, reply: &mut Reply) {
        match served {
            Ok(Step::Done | Step::Wait) => {}
            Ok(Step::Refresh) => query.renew_at(at),
            Ok(Step::Drop) => reply.silence(),
            Ok(Step::Next) => reply.fail(self.fell_off(at, query)),
            Err(failure) => reply.fail(failure),
        }
    }

    /// Way out: `on_reply` of `plugins[top..at]`, innermost first, up to one that must wait.
    #[inline]
    fn leave(&self, top: usize, at: usize, query: &mut Query, reply: &mut Reply) -> Option<usize> {
        let is_question = query.is_question();
        for index in (top..at).rev() {
            let plugin = &self.plugins[index];
            if !is_question && !plugin.roles().sees.includes(query) {
                continue;
            }
            if self.is_late(index) && plugin.must_wait(query, reply) {
                return Some(index);
            }
            plugin.on_reply(query, reply);
        }
        None
    }

    #[inline]
    fn is_late(&self, at: usize) -> bool {
        match at {
            0..64 => self.late >> at & 1 == 1,
            _ => self.plugins[at].roles().waits_on_reply,
        }
    }

    /// Way out to its end, waiting where a plugin must.
    async fn leave_all(&self, top: usize, mut at: usize, query: &mut Query, reply: &mut Reply) {
        while let Some(late) = self.leave(top, at, query, reply) {
            self.finish(late, query, reply).await;
            at = late;
        }
    }

    /// Lets link `at`, which said [`Step::Wait`], answer before the query's deadline. Returns the link
    /// that decided.
    async fn serve(&self, at: usize, query: &mut Query, reply: &mut Reply) -> usize {
        let mut at = at;
        loop {
            let (deadline, depth) = (query.state.deadline, query.originals());
            let outcome = self.within(deadline, self.work(at, query, reply)).await;
            query.client.now = (self.clock.now)();
            let Some(mut served) = outcome else {
                cut_off(depth, query, reply);
                return at;
            };
            // A plugin passes on a message that is not a question.
            if matches!(served, Ok(Step::Next)) && !query.is_question() {
                (at, served) = self.enter(at + 1, query, reply);
                if matches!(served, Ok(Step::Wait)) {
                    continue;
                }
            }
            self.settle(at, served, query, reply);
            return at;
        }
    }

    /// The hook of link `at` that may wait.
    fn work<'a>(
        &'a self,
        at: usize,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        let plugin = &self.plugins[at];
        if !query.is_question() {
            match Door::of(query, &plugin.roles()) {
                Some(Door::Notify(door)) => return door.on_notify(query, reply),
                Some(Door::Update(door)) => return door.on_update(query, reply),
                None => {}
            }
        }
        plugin.serve_dns(query, reply, self.behind(at))
    }

    /// Lets link `at`, which must wait on the way out, do its part before the query's deadline.
    async fn finish(&self, at: usize, query: &mut Query, reply: &mut Reply) {
        let (deadline, depth) = (query.state.deadline, query.originals());
        let work = self.plugins[at].finish_reply(query, reply);
        if self.within(deadline, work).await.is_none() {
            cut_off(depth, query, reply);
            self.plugins[at].on_reply(query, reply);
        }
        query.client.now = (self.clock.now)();
    }

    /// The outcome of `work`, or `None` if there is none at `deadline`.
    async fn within<T>(&self, deadline: Option<Moment>, work: BoxFuture<'_, T>) -> Option<T> {
        match deadline {
            None => Some(work.await),
            Some(deadline) => {
                tokio::time::timeout(deadline.since((self.clock.now)()), work).await.ok()
            }
        }
    }

    /// No plugin answered.
    #[cold]
    fn fell_off(&self, at: usize, query: &Query) -> Failure {
        if query.opcode() == Opcode::UPDATE && self.takes_updates {
            // RFC 2136 section 3.1.2: the zone is not one that this server may change.
            return Failure::rcode(Rcode::NOTAUTH);
        }
        if query.opcode() != Opcode::QUERY {
            return Failure::rcode(Rcode::NOTIMP);
        }
        if query.qtype().is_transfer() {
            return Failure::rcode(Rcode::REFUSED);
        }
        // The text is CoreDNS's, which log parsers match.
        let last = at.checked_sub(1).and_then(|at| self.names.get(at)).copied().unwrap_or_default();
        Failure::servfail(format!("plugin/{last}: no next plugin found"))
    }
}

/// The hook for a message that is not a query.
enum Door<'a> {
    Notify(&'a dyn OnNotify),
    Update(&'a dyn OnUpdate),
}

impl<'a> Door<'a> {
    /// The hook of a plugin with these roles for `query`.
    fn of(query: &Query, roles: &Roles<'a>) -> Option<Self> {
        // A signature that is not accepted must not change anything.
        if query.is_signature_refused() {
            return None;
        }
        match query.opcode() {
            Opcode::NOTIFY => roles.notify.map(Door::Notify),
            Opcode::UPDATE => roles.update.map(Door::Update),
            _ => None,
        }
    }
}

impl Next<'_> {
    /// Runs the rest of the chain; the reply is complete when this resolves.
    pub async fn run(self, query: &mut Query, reply: &mut Reply) {
        let (mut at, served) = self.chain.enter(self.at, query, reply);
        if matches!(served, Ok(Step::Wait)) {
            at = self.chain.serve(at, query, reply).await;
        } else {
            self.chain.settle(at, served, query, reply);
        }
        self.chain.leave_all(self.at, at, query, reply).await;
    }
}

/// Yields once, so that the other queries of a batch take the same step before this one takes the next.
///
/// The code that runs when an answer arrives is larger than the instruction cache, so each query would
/// load all of it anew. In two steps each part is loaded once for a batch.
pub async fn yield_to_batch() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The deadline has passed: the waiting future is dropped. Changes of inner plugins to the query are
/// undone for the outer ones, which have no deadline any more.
#[cold]
fn cut_off(depth: usize, query: &mut Query, reply: &mut Reply) {
    query.state.deadline = None;
    query.pop_originals_to(depth);
    reply.begin(query);
    let failure = Failure::servfail("the query took too long and was cancelled");
    reply.fail(failure.extended(ede::OTHER, "the query took too long"));
}

#[cfg(test)]
mod tests;
