//! `grpc`: forwards queries to other servers over gRPC.
//!
//! It handles the queries under one zone, except those under excluded zones. It returns the answer of
//! an upstream, or passes the query to the next plugin if the Corefile says so. `src/upstream` sends
//! the queries.

mod config;

use std::sync::atomic::{AtomicBool, Ordering};

use chain::{
    BoxFuture, Chain, Fallthrough, Kind, Next, Roles, Sees, ServeDns, Served, Setup, Step, ZoneSet,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use exchange::Query;
use upstream::{GrpcGroup, GrpcOwner};
use wire::{Rcode, Reply};

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

/// The names of this plugin where its upstreams are logged and counted.
static OWNER: GrpcOwner = GrpcOwner {
    name: "grpc",
    requests: "coredns_grpc_requests_total",
    durations: "coredns_grpc_request_duration_seconds",
    responses: "coredns_grpc_responses_total",
    replies_dropped: "catena_grpc_replies_dropped_total",
    records_dropped: "catena_grpc_records_dropped_total",
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let config = Config::read(directive, setup.warnings())?;
        let upstreams = GrpcGroup::set_up(&OWNER, &config.upstreams, directive, setup)?;
        setup.warn_outside(directive.args.get(..1).unwrap_or_default());
        let Config { from, options, .. } = config;
        if options.except.is_empty() && options.fallthrough == Fallthrough::NEVER {
            setup.ends([from.clone()]);
        }
        setup.link(Grpc {
            from: ZoneSet::new([from]),
            except: options.except,
            fallthrough: options.fallthrough,
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
    /// Whether another plugin follows this one.
    followed: AtomicBool,
}

impl Grpc {
    /// Whether this query is sent to the upstreams. **FROM** itself always is.
    #[inline]
    fn matches(&self, query: &Query) -> bool {
        self.from.find(query).is_some_and(|(label, _)| {
            label == 0 || self.except.is_empty() || !self.except.contains(query)
        })
    }

    /// Whether the query goes to the next plugin instead.
    fn falls_through(&self, query: &Query) -> bool {
        self.followed.load(Ordering::Relaxed) && self.fallthrough.allows(query)
    }
}

impl ServeDns for Grpc {
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
