//! Asks other servers.
//!
//! Takes the queries under one zone, except those under others, and gives the client what a group of
//! upstreams says, or what the following `forward` says if the Corefile wants that. Whom to ask, and
//! what happens when one does not answer, is the business of `src/upstream`.

mod config;
mod setup;

use chain::{BoxFuture, Chain, Kind, Next, ServeDns, Served, Step, ZoneSet};
use corefile::Diagnostic;
use upstream::Group;
use wire::{Name, Query, Rcode, Reply, Section};

use config::Own;

/// The plugin.
pub static PLUGIN: Kind = Kind {
    name: "forward",
    doc: include_str!("README.md"),
    answers: true,
    setup: setup::setup,
    baseline_metrics: upstream::baseline_metrics,
    ..Kind::DEFAULT
};

/// One `forward` directive at work.
struct Forward {
    from: ZoneSet,
    own: Own,
    upstreams: Group,
    /// Whether the next plugin is a `forward` too.
    followed: bool,
}

impl Forward {
    fn new(from: Name, own: Own, upstreams: Group, followed: bool) -> Self {
        Self { from: ZoneSet::new([from]), own, upstreams, followed }
    }

    /// Whether this query is to be forwarded. **FROM** itself always is.
    #[inline]
    fn matches(&self, query: &Query) -> bool {
        let except = &self.own.except;
        self.from
            .find(query)
            .is_some_and(|(label, _)| label == 0 || except.is_empty() || !except.contains(query))
    }

    /// Whether the following `forward` is to be asked instead of giving this reply.
    fn goes_on(&self, reply: &Reply) -> bool {
        let rcode = reply.rcode();
        let nodata = rcode == Rcode::NOERROR && reply.count(Section::Answer) == 0;
        self.followed && (self.own.next.contains(&rcode) || self.own.next_on_nodata && nodata)
    }
}

impl ServeDns for Forward {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        Ok(if self.matches(query) { Step::Wait } else { Step::Next })
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            self.upstreams.ask(query, reply).await?;
            if self.goes_on(reply) {
                reply.clear();
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        self.upstreams.complete(chain);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
