//! Runs a query through a chain: in, perhaps waiting, and out.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use smallvec::SmallVec;
use wire::edns::ede;
use wire::{Clock, Failure, Moment, Query, Reply};

use crate::ahead::{Ahead, Batch};
use crate::{BoxFuture, ServeDns, Served, Step};

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
    /// Whether any link sees replies as they are sent.
    sees_sent: bool,
    plugins: SmallVec<[Box<dyn ServeDns>; NEAR]>,
    names: Box<[&'static str]>,
    clock: Clock,
}

const _: () = assert!(std::mem::offset_of!(Chain, names) <= 128);

/// The largest number of plugins that are stored in the chain itself.
const NEAR: usize = 4;

/// How far a query got without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The reply is complete.
    Done,
    /// The reply is complete; [`Query::renewal`] tells what to run [`Chain::refresh`] for in the
    /// background.
    Refresh,
    /// Continue with [`Chain::resume`] at this place. Only [`Chain::run`] returns it.
    Wait(Place),
}

/// Where a chain waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the way in, for this link's [`ServeDns::serve_dns`].
    In(usize),
    /// On the way out, for this link's [`ServeDns::finish_reply`].
    Out(usize),
}

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
            ahead: Ahead::of(&links),
            late,
            sees_sent: links.iter().any(|link| link.plugin.roles().sees_sent),
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
        self.ahead.prefetch(&self.plugins, batch, stage);
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

    /// Runs the query as far as it goes without waiting.
    #[inline]
    pub fn run(&self, query: &mut Query, reply: &mut Reply) -> Ran {
        let (at, served) = self.enter(0, query, reply);
        if matches!(served, Ok(Step::Wait)) {
            return Ran::Wait(Place::In(at));
        }
        let refresh = matches!(served, Ok(Step::Refresh));
        if refresh {
            query.renew_at(at);
        }
        self.settle(at, served, reply);
        match self.leave(0, at, query, reply) {
            Some(late) => Ran::Wait(Place::Out(late)),
            None if refresh => Ran::Refresh,
            None => Ran::Done,
        }
    }

    /// Continues at `place`, where [`Chain::run`] had to wait.
    pub async fn resume(
        self: Arc<Self>,
        place: Place,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Ran {
        let at = match place {
            Place::In(at) => {
                self.serve(at, query, reply).await;
                at
            }
            Place::Out(at) => {
                self.finish(at, query, reply).await;
                at
            }
        };
        self.leave_all(0, at, query, reply).await;
        if query.renewal.is_some() { Ran::Refresh } else { Ran::Done }
    }

    /// Refreshes the answer of link `at` in the background; no client waits for the reply.
    pub async fn refresh(self: Arc<Self>, at: usize, query: &mut Query, reply: &mut Reply) {
        query.refresh = true;
        let next = self.behind(at);
        // The outcome is the plugin's own business: it keeps the new answer or does not.
        let _ = self.plugins[at].serve_dns(query, reply, next).await;
    }

    /// Whether any plugin sees replies as they are sent.
    #[inline]
    pub fn sees_sent(&self) -> bool {
        self.sees_sent
    }

    /// Passes the reply, as it is sent, to these plugins.
    pub fn sent(&self, query: &Query, message: &[u8]) {
        for plugin in &self.plugins {
            if plugin.roles().sees_sent {
                plugin.on_sent(query, message);
            }
        }
    }

    /// Way in: the first link at or after `at` that does not say `Next`.
    #[inline]
    fn enter(&self, mut at: usize, query: &mut Query, reply: &mut Reply) -> (usize, Served) {
        while let Some(plugin) = self.plugins.get(at) {
            match plugin.on_query(query, reply) {
                Ok(Step::Next) => at += 1,
                served => return (at, served),
            }
        }
        (at, Ok(Step::Next))
    }

    /// What the decision of link `at`, or the end of the chain, means for the reply.
    #[inline]
    fn settle(&self, at: usize, served: Served, reply: &mut Reply) {
        match served {
            Ok(Step::Done | Step::Refresh | Step::Wait) => {}
            Ok(Step::Drop) => reply.silence(),
            Ok(Step::Next) => reply.fail(self.fell_off(at)),
            Err(failure) => reply.fail(failure),
        }
    }

    /// Way out: `on_reply` of `plugins[top..at]`, innermost first, up to one that must wait.
    #[inline]
    fn leave(&self, top: usize, at: usize, query: &mut Query, reply: &mut Reply) -> Option<usize> {
        for index in (top..at).rev() {
            let plugin = &self.plugins[index];
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

    /// Lets link `at`, which said [`Step::Wait`], answer before the query's deadline.
    async fn serve(&self, at: usize, query: &mut Query, reply: &mut Reply) {
        let next = self.behind(at);
        let (deadline, depth) = (query.deadline, query.asides());
        let work = self.plugins[at].serve_dns(query, reply, next);
        match self.within(deadline, work).await {
            Some(served) => self.settle(at, served, reply),
            None => cut_off(depth, query, reply),
        }
        query.now = (self.clock.now)();
    }

    /// Lets link `at`, which must wait on the way out, do its part before the query's deadline.
    async fn finish(&self, at: usize, query: &mut Query, reply: &mut Reply) {
        let (deadline, depth) = (query.deadline, query.asides());
        let work = self.plugins[at].finish_reply(query, reply);
        if self.within(deadline, work).await.is_none() {
            cut_off(depth, query, reply);
            self.plugins[at].on_reply(query, reply);
        }
        query.now = (self.clock.now)();
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

    /// No plugin answered. The text is CoreDNS's, which log parsers match.
    #[cold]
    fn fell_off(&self, at: usize) -> Failure {
        let last = at.checked_sub(1).and_then(|at| self.names.get(at)).copied().unwrap_or_default();
        Failure::servfail(format!("plugin/{last}: no next plugin found"))
    }
}

impl Next<'_> {
    /// Runs the rest of the chain; the reply is complete when this resolves.
    pub async fn run(self, query: &mut Query, reply: &mut Reply) {
        let (at, served) = self.chain.enter(self.at, query, reply);
        match served {
            Ok(Step::Wait) => self.chain.serve(at, query, reply).await,
            served => {
                // The server starts a renewal, when `resume` tells.
                if matches!(served, Ok(Step::Refresh)) {
                    query.renew_at(at);
                }
                self.chain.settle(at, served, reply);
            }
        }
        self.chain.leave_all(self.at, at, query, reply).await;
    }
}

/// Yields, so that the other queries of a batch take the same step before this one takes the next.
///
/// The code that runs when an answer arrives is larger than the processor's instruction cache, so
/// each query would load all of it anew. In two steps each part is loaded once for a batch.
pub async fn in_step() {
    let mut stepped_aside = false;
    poll_fn(|context| {
        if mem::replace(&mut stepped_aside, true) {
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
    query.deadline = None;
    query.bring_back_to(depth);
    reply.begin(query);
    let failure = Failure::servfail("the query took too long and was cancelled");
    reply.fail(failure.extended(ede::OTHER, "the query took too long"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Moment, Rcode};

    fn clock() -> Clock {
        Clock { now: || Moment(5), unix: |_| 0 }
    }

    fn chain(plugins: Vec<Box<dyn ServeDns>>) -> Arc<Chain> {
        let links = plugins.into_iter().map(|plugin| Link { name: "test", plugin }).collect();
        Arc::new(Chain::new(links, clock()))
    }

    /// Answers with its rcode, at once or after waiting.
    struct Source(Rcode, bool);
    impl ServeDns for Source {
        fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
            if self.1 {
                return Ok(Step::Wait);
            }
            reply.set_rcode(self.0);
            Ok(Step::Done)
        }
        fn serve_dns<'a>(
            &'a self,
            _: &'a mut Query,
            reply: &'a mut Reply,
            _: Next<'a>,
        ) -> BoxFuture<'a, Served> {
            Box::pin(async move {
                std::future::ready(()).await;
                reply.set_rcode(self.0);
                Ok(Step::Done)
            })
        }
    }

    /// Marks the reply on the way out, to show the order.
    struct Mark(u16);
    impl ServeDns for Mark {
        fn on_reply(&self, _: &mut Query, reply: &mut Reply) {
            reply.opt.push(self.0, &[]);
        }
    }

    /// Runs the rest twice.
    struct Twice;
    impl ServeDns for Twice {
        fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
            Ok(Step::Wait)
        }
        fn serve_dns<'a>(
            &'a self,
            query: &'a mut Query,
            reply: &'a mut Reply,
            next: Next<'a>,
        ) -> BoxFuture<'a, Served> {
            Box::pin(async move {
                next.run(query, reply).await;
                next.run(query, reply).await;
                Ok(Step::Done)
            })
        }
    }

    /// Answers from memory, and renews it in the background.
    struct Memory;
    impl ServeDns for Memory {
        fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
            reply.set_rcode(Rcode::NXDOMAIN);
            Ok(Step::Refresh)
        }
        fn serve_dns<'a>(
            &'a self,
            query: &'a mut Query,
            reply: &'a mut Reply,
            next: Next<'a>,
        ) -> BoxFuture<'a, Served> {
            Box::pin(async move {
                assert!(query.refresh);
                next.run(query, reply).await;
                Ok(Step::Done)
            })
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn finish(chain: &Arc<Chain>, query: &mut Query, reply: &mut Reply) -> Ran {
        let ran = chain.run(query, reply);
        if let Ran::Wait(place) = ran {
            assert_eq!(wait(Arc::clone(chain).resume(place, query, reply)), Ran::Done);
        }
        ran
    }

    fn marks(reply: &Reply) -> Vec<u16> {
        reply.opt.options().map(|option| option.code).collect()
    }

    #[test]
    fn replies_pass_the_plugins_innermost_first() {
        for waits in [false, true] {
            let source = Source(Rcode::NXDOMAIN, waits);
            let chain = chain(vec![Box::new(Mark(1)), Box::new(Mark(2)), Box::new(source)]);
            let (mut query, mut reply) = (Query::new(), Reply::new());
            finish(&chain, &mut query, &mut reply);
            assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
            assert_eq!(marks(&reply), [2, 1]);
        }
    }

    #[test]
    fn a_plugin_that_waits_may_ask_the_rest_again() {
        let chain = chain(vec![
            Box::new(Mark(1)),
            Box::new(Twice),
            Box::new(Mark(2)),
            Box::new(Source(Rcode::NOERROR, true)),
        ]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        assert_eq!(finish(&chain, &mut query, &mut reply), Ran::Wait(Place::In(1)));
        assert_eq!(marks(&reply), [2, 2, 1]);
        assert_eq!(query.now, Moment(5));
    }

    #[test]
    fn a_renewal_behind_a_plugin_that_waits_is_handed_on() {
        let chain = chain(vec![
            Box::new(Mark(1)),
            Box::new(Twice),
            Box::new(Memory),
            Box::new(Source(Rcode::REFUSED, true)),
        ]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
        let place = Place::In(1);
        assert_eq!(chain.run(&mut query, &mut reply), Ran::Wait(place));
        let resumed = wait(Arc::clone(&chain).resume(place, &mut query, &mut reply));
        assert_eq!(resumed, Ran::Refresh);
        assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
        let (at, copy) = query.renewal.take().unwrap();
        assert_eq!((at, copy.question()), (2, query.question()));
        wait(Arc::clone(&chain).refresh(2, &mut query, &mut reply));
        assert_eq!(reply.rcode(), Rcode::REFUSED);
    }

    /// Waits on the way out, then marks the reply.
    struct Late;
    impl ServeDns for Late {
        fn roles(&self) -> crate::Roles<'_> {
            crate::Roles { waits_on_reply: true, ..Default::default() }
        }
        fn must_wait(&self, _: &mut Query, reply: &Reply) -> bool {
            reply.rcode() == Rcode::NXDOMAIN
        }
        fn finish_reply<'a>(&'a self, _: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
            Box::pin(async move { reply.opt.push(7, &[]) })
        }
    }

    #[test]
    fn a_plugin_may_wait_on_the_way_out() {
        for waits in [false, true] {
            for (rcode, expected) in
                [(Rcode::NXDOMAIN, vec![3, 7, 1]), (Rcode::NOERROR, vec![3, 1])]
            {
                let chain = chain(vec![
                    Box::new(Mark(1)),
                    Box::new(Late),
                    Box::new(Mark(3)),
                    Box::new(Source(rcode, waits)),
                ]);
                let (mut query, mut reply) = (Query::new(), Reply::new());
                let ran = finish(&chain, &mut query, &mut reply);
                let late = rcode == Rcode::NXDOMAIN;
                match (waits, late) {
                    (true, _) => assert_eq!(ran, Ran::Wait(Place::In(3))),
                    (false, true) => assert_eq!(ran, Ran::Wait(Place::Out(1))),
                    (false, false) => assert_eq!(ran, Ran::Done),
                }
                assert_eq!(marks(&reply), expected);
            }
        }
    }

    /// Never answers.
    struct Never;
    impl ServeDns for Never {
        fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
            query.set_aside();
            query.set_qtype(wire::Rtype::MX);
            query.deadline = Some(Moment(5));
            Ok(Step::Wait)
        }
        fn serve_dns<'a>(
            &'a self,
            query: &'a mut Query,
            _: &'a mut Reply,
            _: Next<'a>,
        ) -> BoxFuture<'a, Served> {
            Box::pin(async move {
                query.set_aside();
                query.set_qtype(wire::Rtype::TXT);
                std::future::pending().await
            })
        }
    }

    #[test]
    fn a_query_ends_at_its_deadline() {
        let chain = chain(vec![Box::new(Mark(1)), Box::new(Never)]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
        let Ran::Wait(place) = chain.run(&mut query, &mut reply) else { panic!("it waits") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ran = runtime.block_on(Arc::clone(&chain).resume(place, &mut query, &mut reply));
        assert_eq!((ran, reply.rcode()), (Ran::Done, Rcode::SERVFAIL));
        assert_eq!(marks(&reply), [1]);
        assert_eq!((query.qtype(), query.asides()), (wire::Rtype::MX, 1));
    }

    #[test]
    fn falling_off_the_end_is_a_failure_with_coredns_words() {
        let chain = chain(vec![Box::new(Mark(1))]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        assert_eq!(finish(&chain, &mut query, &mut reply), Ran::Done);
        assert_eq!(reply.rcode(), Rcode::SERVFAIL);
        let cause = reply.failure().and_then(|f| f.cause.as_ref()).unwrap().to_string();
        assert_eq!(cause, "plugin/test: no next plugin found");
        assert_eq!(marks(&reply), [1]);
    }
}
