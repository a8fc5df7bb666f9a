//! Spans around plugins: a traced query records when a watched link begins and ends.
//!
//! A tracing plugin requests this ([`crate::Setup::record_spans`]), and only the links after it are
//! watched. Other chains pay nothing for it.

use corefile::Diagnostic;
use exchange::Query;
use wire::{Clock, Reply};

use crate::{Batch, BoxFuture, Chain, Link, Next, Roles, ServeDns, Served, Step};

/// The links, unchanged up to number `from` and watched after it.
pub fn watched(links: Vec<Link>, from: Option<usize>, clock: Clock) -> Vec<Link> {
    let Some(from) = from else { return links };
    let watch = |(place, Link { name, plugin }): (usize, Link)| {
        if place < from {
            return Link { name, plugin };
        }
        Link { name, plugin: Box::new(Watched { name, plugin, place, clock }) }
    };
    links.into_iter().enumerate().map(watch).collect()
}

struct Watched {
    name: &'static str,
    plugin: Box<dyn ServeDns>,
    place: usize,
    clock: Clock,
}

impl Watched {
    fn begin(&self, query: &mut Query) {
        if let Some(spans) = query.spans() {
            spans.begin(self.place, self.name, (self.clock.now)());
        }
    }

    fn end(&self, query: &mut Query) {
        if let Some(spans) = query.spans() {
            spans.end(self.place, (self.clock.now)());
        }
    }
}

impl ServeDns for Watched {
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        self.plugin.prefetch(batch, stage);
    }

    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        self.begin(query);
        let served = self.plugin.on_query(query, reply);
        // After these two there is more to come.
        if !matches!(served, Ok(Step::Next | Step::Wait)) {
            self.end(query);
        }
        served
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        if !query.is_traced() {
            return self.plugin.serve_dns(query, reply, next);
        }
        Box::pin(async move {
            let served = self.plugin.serve_dns(query, reply, next).await;
            self.end(query);
            served
        })
    }

    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        self.plugin.on_reply(query, reply);
        self.end(query);
    }

    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        self.plugin.must_wait(query, reply)
    }

    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        if !query.is_traced() {
            return self.plugin.finish_reply(query, reply);
        }
        Box::pin(async move {
            self.plugin.finish_reply(query, reply).await;
            self.end(query);
        })
    }

    fn on_sent(&self, query: &Query, message: &[u8]) {
        self.plugin.on_sent(query, message);
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        self.plugin.complete(chain)
    }

    fn roles(&self) -> Roles<'_> {
        self.plugin.roles()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{SpanContext, Spans};
    use std::sync::atomic::{AtomicU64, Ordering};
    use wire::{Failure, Moment};

    /// Each look is later than the one before.
    fn clock() -> Clock {
        static NOW: AtomicU64 = AtomicU64::new(1);
        Clock { now: || Moment(NOW.fetch_add(1, Ordering::Relaxed)), unix: |_| 0 }
    }

    struct Pass;
    impl ServeDns for Pass {}

    struct Source(fn() -> Served);
    impl ServeDns for Source {
        fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
            (self.0)()
        }
        fn serve_dns<'a>(
            &'a self,
            query: &'a mut Query,
            _: &'a mut Reply,
            _: Next<'a>,
        ) -> BoxFuture<'a, Served> {
            Box::pin(async move {
                if query.state.deadline.is_some() {
                    std::future::pending::<()>().await;
                }
                Ok(Step::Done)
            })
        }
    }

    /// Finishes after waiting.
    struct Late;
    impl ServeDns for Late {
        fn roles(&self) -> Roles<'_> {
            Roles { waits_on_reply: true, ..Roles::default() }
        }
        fn must_wait(&self, _: &mut Query, _: &Reply) -> bool {
            true
        }
    }

    fn spans_of(source: fn() -> Served, deadline: Option<Moment>) -> Vec<(&'static str, usize)> {
        let links = vec![
            Link { name: "before", plugin: Box::new(Pass) },
            Link { name: "late", plugin: Box::new(Late) },
            Link { name: "pass", plugin: Box::new(Pass) },
            Link { name: "source", plugin: Box::new(Source(source)) },
            Link { name: "never", plugin: Box::new(Pass) },
        ];
        let chain = Chain::new(watched(links, Some(1), clock()), clock());
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
        query.trace(Spans::new(SpanContext { trace: 1, span: 0 }, 1));
        query.state.deadline = deadline;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        if let Some(place) = chain.run(&mut query, &mut reply) {
            runtime.block_on(chain.resume(place, &mut query, &mut reply));
        }
        let (_, all) = query.take_spans().unwrap().finish(Moment(u64::MAX));
        assert!(all.iter().all(|span| span.end < Moment(u64::MAX)), "each was closed: {all:?}");
        let depth = |id: u64| {
            let mut depth = 0;
            let mut at = id;
            while let Some(span) = all.iter().find(|span| span.id == at) {
                (at, depth) = (span.parent, depth + 1);
            }
            depth
        };
        all.iter().map(|span| (span.name, depth(span.id))).collect()
    }

    #[test]
    fn each_plugin_has_a_span_inside_the_one_before() {
        let nested = [("late", 1), ("pass", 2), ("source", 3)];
        assert_eq!(spans_of(|| Ok(Step::Done), None), nested);
        assert_eq!(spans_of(|| Ok(Step::Wait), None), nested);
        assert_eq!(spans_of(|| Err(Failure::rcode(wire::Rcode::REFUSED)), None), nested);
        assert_eq!(spans_of(|| Ok(Step::Wait), Some(Moment(0))), nested, "cut off");
        let all = [("late", 1), ("pass", 2), ("source", 3), ("never", 4)];
        assert_eq!(spans_of(|| Ok(Step::Next), None), all, "nobody answers");
    }
}
