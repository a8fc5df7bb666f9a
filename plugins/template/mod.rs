//! `template`: answers with records that are made from the query.
//!
//! The stanzas of a block share one plugin: the first in the order of the Corefile that matches
//! answers. Bodies are Go's templates (`go`), their results are read like lines of a zone file.

mod body;
mod config;
mod counts;
mod data;
mod go;
mod pattern;
mod select;
mod text;

use std::sync::{Arc, OnceLock, Weak};

use chain::{BoxFuture, Failure, Kind, Next, Query, Reply, Resolve, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::edns::option;
use wire::name::NameBuf;
use wire::{Rcode, Rtype};

use body::Trouble;
use config::Stanza;
use counts::Counts;
use data::Data;
use select::{Areas, Found, Pick};
use text::NameText;

/// The `template` directive.
pub static PLUGIN: Kind =
    Kind { name: "template", doc: include_str!("README.md"), once: false, answers: true, setup };

/// Lookups of our own inside each other: aliases may lead back here.
const MAX_DEPTH: u8 = 8;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (stanzas, warnings) = config::parse(uses, &setup.zones())?;
    setup.requests.warnings.extend(warnings);
    let counts = stanzas.iter().map(|stanza| Counts::new(stanza, setup.keys)).collect();
    let plugin =
        Template { areas: Areas::new(&stanzas), stanzas, counts, resolver: setup.resolver() };
    setup.link(plugin);
    Ok(())
}

/// All stanzas of a block.
struct Template {
    stanzas: Vec<Stanza>,
    /// For each stanza.
    counts: Vec<Counts>,
    areas: Areas,
    resolver: Arc<OnceLock<Weak<dyn Resolve>>>,
}

impl ServeDns for Template {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let mut name = NameText::new();
        let found = match self.pick(query, &mut name) {
            Pick::Found(found) => found,
            Pick::Next => return Ok(Step::Next),
            Pick::Refused => return Err(Failure::rcode(Rcode::SERVFAIL)),
        };
        self.counts[found.stanza].matched(found.zone, query);
        let stanza = &self.stanzas[found.stanza];
        if stanza.rcode == Rcode::SERVFAIL {
            return Err(servfail(stanza));
        }
        if self.write(found, 0, query, &mut name, reply)?.is_some() {
            return Ok(Step::Wait);
        }
        finish(stanza, reply);
        Ok(Step::Done)
    }

    /// Only for answers with an alias whose target this server can resolve.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            reply.clear();
            let mut name = NameText::new();
            let found = match self.pick(query, &mut name) {
                Pick::Found(found) => found,
                Pick::Next => {
                    next.run(query, reply).await;
                    return Ok(Step::Done);
                }
                Pick::Refused => return Err(Failure::rcode(Rcode::SERVFAIL)),
            };
            let mut at = 0;
            while let Some((behind, target)) = self.write(found, at, query, &mut name, reply)? {
                self.chase(&target, query, reply).await;
                at = behind;
            }
            finish(&self.stanzas[found.stanza], reply);
            Ok(Step::Done)
        })
    }
}

impl Template {
    fn pick(&self, query: &Query, name: &mut NameText) -> Pick {
        self.areas.pick(&self.stanzas, query, name, |_, _| Some(true))
    }

    /// Writes the records of the stanza from number `from` on, up to an alias whose target is to be
    /// resolved: returns the number behind it and the target.
    fn write(
        &self,
        found: Found,
        from: usize,
        query: &Query,
        name: &mut NameText,
        reply: &mut Reply,
    ) -> Result<Option<(usize, NameBuf)>, Failure> {
        let (stanza, counts) = (&self.stanzas[found.stanza], &self.counts[found.stanza]);
        let rest = &stanza.bodies[from..];
        let needs_data = rest.iter().any(body::Body::needs_data);
        let data = needs_data.then(|| Data {
            query,
            zone: counts.zone(found.zone),
            name: name.of(query),
            pattern: &stanza.patterns[found.pattern],
            class: counts.class(query),
            qtype: counts.qtype(query),
        });
        let mut text = String::new();
        for (index, body) in rest.iter().enumerate() {
            let alias = body.push(data.as_ref(), &mut text, reply).map_err(|trouble| {
                let (word, source) = (body.word(), body.source.as_str());
                match trouble {
                    Trouble::Template(why) => {
                        counts.template_failed(found.zone, query, word, source);
                        Failure::servfail(why)
                    }
                    Trouble::Record(why) => {
                        counts.record_failed(found.zone, query, word, source);
                        Failure::servfail(format!("{word} {source:?} is not a record: {why}"))
                    }
                }
            })?;
            if let Some(target) = alias
                && body.section == wire::Section::Answer
                && matches!(query.qtype(), Rtype::A | Rtype::AAAA)
                && self.can_chase(query, target.as_wire())
            {
                return Ok(Some((from + index + 1, target)));
            }
        }
        Ok(None)
    }

    #[cold]
    fn can_chase(&self, query: &Query, target: &[u8]) -> bool {
        let resolver = self.resolver.get().and_then(Weak::upgrade);
        query.depth < MAX_DEPTH
            && resolver.is_some_and(|resolver| resolver.is_served(query, target))
    }

    /// Adds what this server says about the target of an alias.
    async fn chase(&self, target: &NameBuf, query: &mut Query, reply: &mut Reply) {
        let Some(resolver) = self.resolver.get().and_then(Weak::upgrade) else { return };
        let mut asked = Box::new((Query::new(), Reply::new()));
        let (question, answer) = &mut *asked;
        question.ask_on_behalf(query, target.as_wire(), query.qtype(), query.wants_dnssec());
        resolver.resolve(question, answer).await;
        if !answer.is_silent() {
            // As in CoreDNS the rcode stays the template's own.
            reply.append_answer(answer);
            reply.truncated = answer.truncated;
        }
    }
}

/// What all replies of a stanza have.
fn finish(stanza: &Stanza, reply: &mut Reply) {
    reply.set_authoritative(true);
    reply.set_rcode(stanza.rcode);
    if let Some((code, text)) = &stanza.extended {
        let mut data = Vec::with_capacity(2 + text.len());
        data.extend_from_slice(&code.to_be_bytes());
        data.extend_from_slice(text.as_bytes());
        reply.opt.push(option::EXTENDED_ERROR, &data);
    }
}

/// CoreDNS loses the extended error of a stanza that says SERVFAIL; the client gets it here.
fn servfail(stanza: &Stanza) -> Failure {
    let failure = Failure::rcode(Rcode::SERVFAIL);
    match &stanza.extended {
        Some((code, text)) => failure.extended(*code, text.clone()),
        None => failure,
    }
}
