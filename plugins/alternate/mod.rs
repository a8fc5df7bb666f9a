//! `alternate`: queries other upstreams when the answer of the plugins after it has a given rcode.
//!
//! It checks the rcode of each reply on its way out. If the rcode is one of those configured, it sends
//! the query to a group of upstreams, and their answer replaces the first one. `src/upstream` selects
//! the upstream and handles those that do not respond.

mod config;

use chain::{BoxFuture, Chain, Kind, Roles, Sees, ServeDns, Setup, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive};
use exchange::Query;
use upstream::Group;
use wire::{Rcode, Reply};

use config::Config;

/// The plugin.
pub static PLUGIN: Kind =
    Kind { name: "alternate", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    // Upstreams answer queries of every class, as for `forward`.
    uses.iter().for_each(|directive| setup.take_all_classes(directive.span));
    let mut problems = Diagnostics::default();
    let mut rules = Vec::new();
    for directive in uses {
        let read = Config::read(directive, setup.warnings(), 0);
        match read.and_then(|config| Rule::new(config, setup)) {
            Ok(rule) => rules.push(rule),
            Err(more) => problems.extend(more),
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    // On the way out, a reply passes the last link first; that must be the first directive.
    for rule in rules.into_iter().rev() {
        setup.link(Alternate { rule });
    }
    Ok(())
}

/// One `alternate` directive.
struct Alternate {
    rule: Rule,
}

/// The upstreams, and the answers for which they are queried.
struct Rule {
    from: ZoneSet,
    rcodes: Vec<Rcode>,
    original: bool,
    upstreams: Group,
    /// The rules for their answers.
    inner: Vec<Self>,
}

impl Rule {
    fn new(config: Config<'_>, setup: &mut Setup<'_>) -> Result<Self, Diagnostics> {
        let Config { directive, original, rcodes, from, upstreams, inner } = config;
        let mut problems = Diagnostics::default();
        let group = Group::set_up(upstreams, directive, setup);
        let mut rules = Vec::new();
        for config in inner {
            match Self::new(config, setup) {
                Ok(rule) => rules.push(rule),
                Err(more) => problems.extend(more),
            }
        }
        match group {
            Ok(upstreams) if !problems.has_errors() => {
                let from = ZoneSet::new([from]);
                Ok(Self { from, rcodes, original, upstreams, inner: rules })
            }
            Ok(_) => Err(problems),
            Err(mut all) => {
                all.extend(problems);
                Err(all)
            }
        }
    }

    /// Whether the rule applies to this reply.
    fn is_for(&self, query: &Query, reply: &Reply) -> bool {
        !reply.is_silent() && self.rcodes.contains(&reply.rcode()) && self.from.contains(query)
    }

    /// Replaces `reply` with the answer of the upstreams.
    fn replace<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let asked = if self.original && query.originals() > 0 {
                self.ask_original(query, reply).await
            } else {
                reply.clear();
                self.upstreams.ask(query, reply).await
            };
            if let Err(failure) = asked {
                reply.clear();
                reply.fail(failure);
            }
            for rule in &self.inner {
                if rule.is_for(query, reply) {
                    rule.replace(query, reply).await;
                }
            }
        })
    }

    /// Sends the client's question, without the changes of other plugins.
    async fn ask_original(
        &self,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Result<(), wire::Failure> {
        let (mut asked, mut said) = (Box::new(Query::new()), Box::new(Reply::new()));
        asked.copy_original_from(query);
        said.begin(&asked);
        self.upstreams.ask(&mut asked, &mut said).await?;
        // Plugins that changed the question restore it on the way out, and expect an answer to theirs.
        said.readdress(query, |_| true);
        *reply = *said;
        Ok(())
    }

    fn complete(&self, chain: &Chain) {
        self.upstreams.complete(chain);
        self.inner.iter().for_each(|rule| rule.complete(chain));
    }
}

impl ServeDns for Alternate {
    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        self.rule.is_for(query, reply)
    }

    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        self.rule.replace(query, reply)
    }

    fn complete(&self, chain: &Chain) -> Result<(), Diagnostic> {
        self.rule.complete(chain);
        Ok(())
    }

    fn roles(&self) -> Roles<'_> {
        Roles { waits_on_reply: true, sees: Sees::FORWARDABLE, ..Roles::default() }
    }
}
