//! `rewrite`: changes queries for the plugins after it, and restores the replies, so that the client
//! sees its own query.
//!
//! It answers nothing itself. `rules` finds the rules that apply, this module applies them to the
//! query, and `answer` and `cname` apply them to the reply.

mod answer;
mod cname;
mod config;
mod edns;
mod pattern;
mod rules;
mod text;

use chain::{
    BoxFuture, Failure, Kind, Query, Reply, Resolver, Roles, Sees, ServeDns, Served, Setup, Step,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use exchange::StateKey;
use wire::name::NameBuf;

use config::{Field, NameRule};
use rules::Rules;
use text::{Buffer, unmarked};

/// The `rewrite` directive.
pub static PLUGIN: Kind =
    Kind { name: "rewrite", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let rules = config::parse(uses)?;
    let waits = rules.iter().any(|rule| matches!(rule.field, Field::Cname { .. }));
    let rules = Rules::new(rules).map_err(|why| {
        let span = uses.first().map_or_else(Default::default, |directive| directive.name.span);
        Diagnostic::error(span, "the regular expressions of this server block cannot be combined")
            .label(why)
            .help("shorten them, or use fewer")
    })?;
    let plugin = Rewrite { rules, waits, state: setup.state_key(), resolver: setup.resolver() };
    setup.link(plugin);
    Ok(())
}

struct Rewrite {
    rules: Rules,
    /// Whether there is a `cname` rule.
    waits: bool,
    state: StateKey<Applied>,
    resolver: Resolver,
}

/// The number of applied rules that are stored inline. Further ones are on the heap.
const IN_PLACE: usize = 8;

/// The rules that applied to a query, in order.
#[derive(Default)]
struct Applied {
    first: [Once; IN_PLACE],
    len: usize,
    more: Vec<Once>,
}

/// A rule that applied.
#[derive(Clone, Copy, Default)]
struct Once {
    rule: u32,
    /// Whether the original message was saved before the rule.
    saved: bool,
}

impl Applied {
    fn push(&mut self, once: Once) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = once,
            None => self.more.push(once),
        }
        self.len += 1;
    }

    /// Reverts the rules, the last one first.
    fn backwards(&self) -> impl Iterator<Item = Once> {
        let first = &self.first[..self.len.min(IN_PLACE)];
        self.more.iter().rev().chain(first.iter().rev()).copied()
    }
}

impl ServeDns for Rewrite {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let candidates = self.rules.candidates(query);
        match self.rules.next(&candidates, 0) {
            None => Ok(Step::Next),
            Some(first) => self.apply(first, candidates, query, reply),
        }
    }

    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        let applied = std::mem::take(query.plugin_state(self.state));
        let mut asked = NameBuf::new();
        for once in applied.backwards() {
            let Some(rule) = self.rules.get(once.rule) else { continue };
            asked.set_folded(query.name());
            if once.saved {
                query.pop_original();
            }
            answer::revert(rule, &asked, query, reply);
        }
        // A rule that only changed the type or the class did not change the reply's question.
        if applied.len > 0 && reply.question() != query.question() {
            reply.readdress(query, |_| true);
        }
    }

    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        if !self.waits || reply.failure().is_some() {
            return false;
        }
        let applied = query.plugin_state(self.state);
        applied.backwards().any(|once| match self.rules.get(once.rule).map(|rule| &rule.field) {
            Some(Field::Cname { matches, .. }) => cname::fits(matches, reply),
            _ => false,
        })
    }

    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let applied: Vec<u32> =
                query.plugin_state(self.state).backwards().map(|once| once.rule).collect();
            for rule in applied.iter().filter_map(|&number| self.rules.get(number)) {
                let Field::Cname { matches, to } = &rule.field else { continue };
                let drafts = reply.drafts();
                let Some(found) = cname::find(matches, to, &drafts) else { continue };
                let target = found.1.as_wire();
                let answer = self.resolver.lookup(query, target, query.qtype()).await;
                cname::put(drafts, found, answer.as_deref(), query, reply);
            }
            self.on_reply(query, reply);
        })
    }

    fn roles(&self) -> Roles<'_> {
        Roles { waits_on_reply: self.waits, sees: Sees::FORWARDABLE, ..Roles::default() }
    }
}

impl Rewrite {
    /// Applies the matching rules, from `number` on.
    #[cold]
    fn apply(
        &self,
        mut number: u32,
        mut candidates: rules::Candidates,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        let before = query.originals();
        let mut applied = Applied::default();
        while let Some(rule) = self.rules.get(number) {
            let aside = query.originals();
            match change(&rule.field, query) {
                Ok(false) => pop_originals_to(aside, query),
                Ok(true) => {
                    applied.push(Once { rule: number, saved: query.originals() > aside });
                    if !rule.go_on {
                        break;
                    }
                    if matches!(rule.field, Field::Name(_)) {
                        candidates = self.rules.candidates(query);
                    }
                }
                Err(failure) => {
                    query.pop_originals_to(before);
                    reply.begin(query);
                    return Err(failure);
                }
            }
            match self.rules.next(&candidates, number + 1) {
                Some(next) => number = next,
                None => break,
            }
        }
        if query.originals() > before {
            // The question has changed.
            reply.begin(query);
        }
        *query.plugin_state(self.state) = applied;
        Ok(Step::Next)
    }
}

fn pop_originals_to(depth: usize, query: &mut Query) {
    if query.originals() > depth {
        query.pop_originals_to(depth);
    }
}

/// Applies a rule to the query. Returns whether it applied. The original message is saved before it
/// changes.
fn change(field: &Field, query: &mut Query) -> Result<bool, Failure> {
    match field {
        Field::Name(rule) => rename(rule, query),
        Field::Type { from, to } => {
            let fits = query.qtype() == *from;
            if fits {
                query.push_original();
                query.set_qtype(*to);
            }
            Ok(fits)
        }
        Field::Class { from, to } => {
            let fits = query.qclass() == *from;
            if fits {
                query.push_original();
                query.set_qclass(*to);
            }
            Ok(fits)
        }
        Field::Edns(rule) => {
            query.push_original();
            edns::apply(rule, query)
                .map_err(|_| Failure::servfail("no room for an EDNS option after rewrite"))
        }
        Field::Ttl { matches, .. } | Field::Rcode { matches, .. } => {
            Ok(text::with(query.name(), |marked| matches.fits(unmarked(marked))))
        }
        Field::Cname { .. } => Ok(true),
    }
}

fn rename(rule: &NameRule, query: &mut Query) -> Result<bool, Failure> {
    let mut new = Buffer::new();
    let fits = text::with(query.name(), |marked| {
        rule.matches.replace(unmarked(marked), &rule.to, &mut new)
    });
    if !fits {
        return Ok(false);
    }
    let invalid = || {
        let text = String::from_utf8_lossy(new.text().unwrap_or(b"too long for a name"));
        Failure::servfail(format!("invalid name after rewrite: {text}"))
    };
    let name = new.name().ok_or_else(invalid)?;
    query.push_original();
    query.rename(name.as_wire()).map_err(|_| invalid())?;
    Ok(true)
}
