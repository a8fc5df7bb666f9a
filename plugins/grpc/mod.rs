//! `grpc`: forwards queries to other servers over gRPC.
//!
//! It handles the queries under one zone, except those under excluded zones. It returns the answer of
//! an upstream, or passes the query to the next plugin if the Corefile says so. `src/upstream` sends
//! the queries.

mod config;

use std::sync::atomic::{AtomicBool, Ordering};

use chain::{BoxFuture, Chain, Fallthrough, Kind, Next, ServeDns, Served, Setup, Step, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive};
use upstream::GrpcGroup;
use wire::{Query, Rcode, Reply};

use config::Config;

/// The `grpc` directive.
pub static PLUGIN: Kind = Kind {
    name: "grpc",
    doc: include_str!("README.md"),
    once: true,
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let config = Config::read(directive, &mut setup.requests.warnings)?;
        let upstreams = GrpcGroup::set_up(&config.upstreams, directive, setup)?;
        setup.warn_outside(directive.args.get(..1).unwrap_or_default());
        let Config { from, own, .. } = config;
        if own.except.is_empty() && own.fallthrough == Fallthrough::NEVER {
            setup.ends([from.clone()]);
        }
        setup.link(Grpc {
            from: ZoneSet::new([from]),
            except: own.except,
            fallthrough: own.fallthrough,
            upstreams,
            followed: AtomicBool::new(false),
        });
    }
    Ok(())
}

/// The plugin.
struct Grpc {
    from: ZoneSet,
    except: ZoneSet,
    fallthrough: Fallthrough,
    upstreams: GrpcGroup,
    /// Whether there is a plugin behind this one.
    followed: AtomicBool,
}

impl Grpc {
    /// Whether this query is asked here. **FROM** itself always is.
    #[inline]
    fn matches(&self, query: &Query) -> bool {
        self.from.find(query).is_some_and(|(label, _)| {
            label == 0 || self.except.is_empty() || !self.except.contains(query)
        })
    }

    /// Whether the next plugin is to be asked instead.
    fn falls_through(&self, query: &Query) -> bool {
        self.followed.load(Ordering::Relaxed) && self.fallthrough.allows(query)
    }
}

impl ServeDns for Grpc {
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
            let asked = self.upstreams.ask(query, reply).await;
            let wanted = asked.is_ok() && reply.rcode() != Rcode::NXDOMAIN;
            if !wanted && self.falls_through(query) {
                reply.clear();
                next.run(query, reply).await;
                return Ok(Step::Done);
            }
            asked.map(|()| Step::Done)
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        let last = chain.names().last() == Some(&PLUGIN.name);
        self.followed.store(!last, Ordering::Relaxed);
        Ok(())
    }
}
