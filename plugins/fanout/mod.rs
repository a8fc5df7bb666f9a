//! Sends each query to several upstreams in parallel.
//!
//! It handles the queries under one zone, except those under excluded zones, and returns the first good
//! answer of a group of upstreams. `src/upstream` selects the upstreams and handles those that do not
//! respond.

mod config;
mod metrics;

use chain::{BoxFuture, Chain, Kind, Next, Roles, Sees, ServeDns, Served, Setup, Step, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive};
use exchange::Query;
use upstream::Group;
use wire::Reply;

use config::Config;

/// The plugin.
pub static PLUGIN: Kind = Kind {
    name: "fanout",
    doc: include_str!("README.md"),
    once: true,
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let Config { from, except, upstreams } = Config::read(directive, setup)?;
        let upstreams = Group::set_up(upstreams, directive, setup)?;
        setup.warn_outside(directive.args.get(..1).unwrap_or_default());
        if except.is_empty() {
            setup.ends([from.clone()]);
        }
        // Upstreams answer queries of every class, as for `forward`.
        setup.take_all_classes(directive.span);
        setup.link(Fanout { from: ZoneSet::new([from]), except, upstreams });
    }
    Ok(())
}

/// The plugin.
struct Fanout {
    from: ZoneSet,
    except: ZoneSet,
    upstreams: Group,
}

impl ServeDns for Fanout {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::FORWARDABLE, ..Roles::default() }
    }

    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        let excepted = || !self.except.is_empty() && self.except.contains(query);
        let ours = self.from.contains(query) && !excepted();
        Ok(if ours { Step::Wait } else { Step::Next })
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            self.upstreams.ask(query, reply).await?;
            Ok(Step::Done)
        })
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        self.upstreams.complete(chain);
        Ok(())
    }
}
