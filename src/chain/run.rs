//! The driver of a chain: in, perhaps wait, out.

use std::sync::Arc;

use wire::{Failure, Query, Reply};

use crate::setup::Clock;
use crate::{BoxFuture, ServeDns, Served, Step};

/// One plugin at its place.
pub struct Link {
    /// The directive's name.
    pub name: &'static str,
    /// The plugin.
    pub plugin: Box<dyn ServeDns>,
}

/// The plugins of one server block, in registry order.
pub struct Chain {
    links: Box<[Link]>,
    clock: Clock,
    /// Bit `n` is set if link `n` wants the prefetch stages.
    prefetchers: u64,
    /// How many stages they have.
    stages: u8,
}

/// As many queries as one batch has.
const MOST: usize = 64;

/// Queries of one batch that go to the same chain.
#[derive(Clone, Copy)]
pub struct Batch<'a>(&'a [&'a Query]);

impl<'a> Batch<'a> {
    /// As many as one batch has.
    pub const MOST: usize = MOST;

    /// These queries.
    pub fn new(queries: &'a [&'a Query]) -> Self {
        Self(queries)
    }

    /// The queries.
    #[inline]
    pub fn queries(&self) -> impl Iterator<Item = &'a Query> {
        self.0.iter().copied()
    }
}

/// How far a query came at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The reply is complete.
    Done,
    /// The reply is complete; run [`Chain::refresh`] from this link in the background.
    Refresh(usize),
    /// Go on with [`Chain::resume`] at this link. Comes from [`Chain::run`] only.
    Wait(usize),
}

/// The rest of the chain behind a plugin that waits.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    chain: &'a Chain,
    at: usize,
}

impl Chain {
    /// A chain of these plugins.
    pub fn new(links: Vec<Link>, clock: Clock) -> Self {
        let stages: Vec<u8> =
            links.iter().map(|link| link.plugin.roles().prefetch_stages).collect();
        Self {
            links: links.into(),
            clock,
            // A link behind the 64th goes without.
            prefetchers: stages
                .iter()
                .take(64)
                .rev()
                .fold(0, |bits, &n| bits << 1 | u64::from(n > 0)),
            stages: stages.into_iter().max().unwrap_or(0),
        }
    }

    /// The plugins in order.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// How many stages [`Chain::prefetch`] has.
    #[inline]
    pub fn prefetch_stages(&self) -> u8 {
        self.stages
    }

    /// Lets the plugins that want it start to fetch what they will read for these queries. A stage
    /// reads what the one before it has asked for.
    pub fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        let mut left = self.prefetchers;
        while left != 0 {
            self.links[left.trailing_zeros() as usize].plugin.prefetch(batch, stage);
            left &= left - 1;
        }
    }

    /// Starts to fetch the list of plugins.
    #[inline]
    pub fn prefetch_links(&self) {
        wire::prefetch::fetch_all(&*self.links);
    }

    /// Starts to fetch the plugins themselves.
    #[inline]
    pub fn prefetch_plugins(&self) {
        for link in &self.links {
            wire::prefetch::fetch_all(&*link.plugin);
        }
    }

    /// Runs the query as far as it goes without waiting.
    #[inline]
    pub fn run(&self, query: &mut Query, reply: &mut Reply) -> Ran {
        let (at, served) = self.enter(0, query, reply);
        match served {
            Ok(Step::Wait) => Ran::Wait(at),
            served => {
                let refresh = matches!(served, Ok(Step::Refresh));
                self.leave(0, at, served, query, reply);
                if refresh { Ran::Refresh(at) } else { Ran::Done }
            }
        }
    }

    /// Goes on at link `at`, which said [`Step::Wait`].
    pub async fn resume(self: Arc<Self>, at: usize, query: &mut Query, reply: &mut Reply) -> Ran {
        query.refresh_at = None;
        let next = Next { chain: &self, at: at + 1 };
        let served = self.links[at].plugin.serve_dns(query, reply, next).await;
        query.now = (self.clock.now)();
        self.leave(0, at, served, query, reply);
        query.refresh_at.take().map_or(Ran::Done, Ran::Refresh)
    }

    /// Renews in the background what link `at` answered; nobody waits for the reply.
    pub async fn refresh(self: Arc<Self>, at: usize, query: &mut Query, reply: &mut Reply) {
        query.refresh = true;
        let next = Next { chain: &self, at: at + 1 };
        // The outcome is the plugin's own business: it keeps the new answer or does not.
        let _ = self.links[at].plugin.serve_dns(query, reply, next).await;
    }

    /// Way in: the first link at or after `at` that does not say `Next`.
    #[inline]
    fn enter(&self, mut at: usize, query: &mut Query, reply: &mut Reply) -> (usize, Served) {
        while let Some(link) = self.links.get(at) {
            match link.plugin.on_query(query, reply) {
                Ok(Step::Next) => at += 1,
                served => return (at, served),
            }
        }
        (at, Ok(Step::Next))
    }

    /// Way out: `on_reply` of `links[top..at]`, innermost first.
    #[inline]
    fn leave(&self, top: usize, at: usize, served: Served, query: &mut Query, reply: &mut Reply) {
        match served {
            Ok(Step::Done | Step::Refresh | Step::Wait) => {}
            Ok(Step::Drop) => reply.silence(),
            Ok(Step::Next) => reply.fail(self.fell_off(at)),
            Err(failure) => reply.fail(failure),
        }
        for link in self.links[top..at].iter().rev() {
            link.plugin.on_reply(query, reply);
        }
    }

    /// Nobody answered: the words are CoreDNS's, log parsers know them.
    #[cold]
    fn fell_off(&self, at: usize) -> Failure {
        let last = at.checked_sub(1).and_then(|at| self.links.get(at)).map_or("", |link| link.name);
        Failure::servfail(format!("plugin/{last}: no next plugin found"))
    }
}

impl<'a> Next<'a> {
    /// Asks the rest of the chain; the reply is complete when this resolves.
    pub fn run<'b>(self, query: &'b mut Query, reply: &'b mut Reply) -> BoxFuture<'b, ()>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let (at, mut served) = self.chain.enter(self.at, query, reply);
            match served {
                Ok(Step::Wait) => {
                    let next = Next { at: at + 1, ..self };
                    served = self.chain.links[at].plugin.serve_dns(query, reply, next).await;
                    query.now = (self.chain.clock.now)();
                }
                // The server starts it, when `resume` tells.
                Ok(Step::Refresh) => query.refresh_at = Some(at),
                _ => {}
            }
            self.chain.leave(self.at, at, served, query, reply);
        })
    }
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
        if let Ran::Wait(at) = ran {
            assert_eq!(wait(Arc::clone(chain).resume(at, query, reply)), Ran::Done);
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
        assert_eq!(finish(&chain, &mut query, &mut reply), Ran::Wait(1));
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
        assert_eq!(chain.run(&mut query, &mut reply), Ran::Wait(1));
        let resumed = wait(Arc::clone(&chain).resume(1, &mut query, &mut reply));
        assert_eq!(resumed, Ran::Refresh(2));
        assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
        assert_eq!(query.refresh_at, None);
        wait(Arc::clone(&chain).refresh(2, &mut query, &mut reply));
        assert_eq!(reply.rcode(), Rcode::REFUSED);
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
