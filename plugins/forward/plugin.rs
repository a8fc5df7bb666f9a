//! The plugin: which queries are forwarded, and when the following `forward` answers instead.

use chain::{BoxFuture, Chain, Next, Roles, Sees, ServeDns, Served, Step, ZoneSet};
use corefile::Diagnostic;
use exchange::Query;
use upstream::Group;
use wire::{Name, Rcode, Reply, Section};

use super::config::Options;

/// One `forward` directive.
pub(super) struct Forward {
    from: ZoneSet,
    options: Options,
    upstreams: Group,
    /// Whether the next plugin is a `forward` too.
    followed: bool,
}

impl Forward {
    pub(super) fn new(from: Name, options: Options, upstreams: Group, followed: bool) -> Self {
        Self { from: ZoneSet::new([from]), options, upstreams, followed }
    }

    /// Whether this query is to be forwarded. **FROM** itself always is.
    #[inline]
    fn matches(&self, query: &Query) -> bool {
        let except = &self.options.except;
        self.from
            .find(query)
            .is_some_and(|(label, _)| label == 0 || except.is_empty() || !except.contains(query))
    }

    /// Whether the query goes to the following `forward` instead of returning this reply.
    fn goes_on(&self, reply: &Reply) -> bool {
        let rcode = reply.rcode();
        let nodata = rcode == Rcode::NOERROR && reply.count(Section::Answer) == 0;
        self.followed
            && (self.options.next.contains(&rcode) || self.options.next_on_nodata && nodata)
    }
}

impl ServeDns for Forward {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::FORWARDABLE, ..Roles::default() }
    }

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
