//! `template`: answers with records that are generated from the query.
//!
//! The stanzas of a block share one plugin: the first matching stanza, in the order of the Corefile,
//! answers. The templates are Go's (`gotemplate`), and their output is parsed like lines of a zone file.

mod body;
mod condition;
mod config;
mod counts;
mod data;
mod pattern;
mod select;
mod text;

use chain::{
    BoxFuture, Failure, Kind, Next, Query, Reply, Resolver, ServeDns, Served, Setup, Step,
};
use corefile::{Diagnostics, Directive};
use wire::edns::option;
use wire::name::NameBuf;
use wire::{Rcode, Rtype};

use body::Trouble;
use condition::Values;
use config::Stanza;
use counts::Counts;
use data::Data;
use select::{Areas, Found, Pick, Selection};
use text::NameText;

/// The `template` directive.
///
/// It does not count as an answering plugin: Corefiles of clusters have it behind `forward` for single
/// names, and expect that it runs first.
pub static PLUGIN: Kind =
    Kind { name: "template", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (stanzas, warnings) = config::parse(uses, &setup.zones())?;
    setup.warn_all(warnings);
    for directive in uses {
        setup.warn_outside(directive.args.get(2..).unwrap_or_default());
    }
    let all = stanzas.iter().filter(|stanza| stanza.takes_everything());
    setup.ends(all.flat_map(|stanza| stanza.zones.iter().cloned()));
    let counts =
        stanzas.iter().map(|stanza| Counts::new(stanza, setup.keys(), setup.view())).collect();
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
    resolver: Resolver,
}

impl ServeDns for Template {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        match self.areas.select(query) {
            Some(selection) => self.answer(selection, query, reply),
            None => Ok(Step::Next),
        }
    }

    /// Called only for answers with an alias whose target this server can resolve.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            reply.clear();
            let mut name = NameText::new();
            let mut values = Values::new();
            let selection = self.areas.select(query);
            let found = match selection.map(|all| self.pick(all, query, &mut name, &mut values)) {
                Some(Pick::Found(found)) => found,
                Some(Pick::Refused) => return Err(Failure::rcode(Rcode::SERVFAIL)),
                Some(Pick::Next) | None => {
                    next.run(query, reply).await;
                    return Ok(Step::Done);
                }
            };
            let mut at = 0;
            while let Some((behind, target)) =
                self.write(found, at, query, &mut name, &values, reply)?
            {
                self.chase(&target, query, reply).await;
                at = behind;
            }
            finish(&self.stanzas[found.stanza], query, reply)
        })
    }
}

impl Template {
    /// Answers a query that has candidate stanzas.
    fn answer(&self, selection: &Selection, query: &mut Query, reply: &mut Reply) -> Served {
        let mut name = NameText::new();
        let mut values = Values::new();
        let found = match self.pick(selection, query, &mut name, &mut values) {
            Pick::Found(found) => found,
            Pick::Next => return Ok(Step::Next),
            Pick::Refused => return Err(Failure::rcode(Rcode::SERVFAIL)),
        };
        self.counts[found.stanza].matched(found.zone, query);
        let stanza = &self.stanzas[found.stanza];
        if stanza.rcode == Rcode::SERVFAIL {
            return Err(servfail(stanza));
        }
        if self.write(found, 0, query, &mut name, &values, reply)?.is_some() {
            return Ok(Step::Wait);
        }
        finish(stanza, query, reply)
    }

    /// The stanza that answers, and the values of its variables.
    fn pick(
        &self,
        selection: &Selection,
        query: &Query,
        name: &mut NameText,
        values: &mut Values,
    ) -> Pick {
        selection.pick(&self.stanzas, query, name, |found, name| {
            let stanza = &self.stanzas[found.stanza];
            if stanza.conditions.is_empty() {
                return Some(true);
            }
            let pattern = &stanza.patterns[found.pattern];
            stanza.conditions.hold(query, name, pattern, values).ok()
        })
    }

    /// Writes the records of the stanza from number `from` on, up to an alias whose target must be
    /// resolved. Returns the number of the next record and the target.
    fn write(
        &self,
        found: Found,
        from: usize,
        query: &Query,
        name: &mut NameText,
        values: &Values,
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
            conditions: &stanza.conditions,
            values,
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
        !Resolver::is_too_deep(query) && self.resolver.is_served(query, target)
    }

    /// Adds this server's answer for the target of an alias.
    async fn chase(&self, target: &NameBuf, query: &mut Query, reply: &mut Reply) {
        let found = self.resolver.lookup(query, target.as_wire(), query.qtype()).await;
        if let Some(answer) = found.filter(|answer| !answer.is_silent()) {
            // As in CoreDNS, the rcode of the template stays.
            reply.append_answer(&answer);
            reply.truncated = answer.truncated;
        }
    }
}

/// Writes the properties that all replies of a stanza have.
fn finish(stanza: &Stanza, query: &Query, reply: &mut Reply) -> Served {
    // RFC 6891 section 6.1.3: the upper bits of an extended rcode are in the OPT record.
    if stanza.rcode.extended_bits() != 0 && query.edns().is_none() {
        return Err(Failure::rcode(Rcode::SERVFAIL));
    }
    reply.set_authoritative(true);
    reply.set_rcode(stanza.rcode);
    if let Some(data) = &stanza.extended {
        reply.opt.push(option::EXTENDED_ERROR, data);
    }
    Ok(Step::Done)
}

/// The failure of a stanza with the rcode SERVFAIL. CoreDNS loses its extended error.
fn servfail(stanza: &Stanza) -> Failure {
    let failure = Failure::rcode(Rcode::SERVFAIL);
    match stanza.extended.as_deref().and_then(<[u8]>::split_first_chunk) {
        Some((code, text)) => {
            let text = String::from_utf8_lossy(text).into_owned();
            failure.extended(u16::from_be_bytes(*code), text)
        }
        None => failure,
    }
}
