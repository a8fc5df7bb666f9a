//! The metrics, with CoreDNS's names and labels.

use std::sync::{Arc, OnceLock};

use chain::{Key, Query};
use telemetry::metrics::{self, Counter};
use wire::{Class, Rtype};

use super::config::Stanza;

/// The counters of one stanza.
pub(super) struct Counts {
    /// The index of the server for each key of the block.
    servers: Vec<usize>,
    /// The listeners, as in the label `server`.
    names: Vec<Arc<str>>,
    /// The name of the block's view.
    view: String,
    /// The zones of the stanza.
    zones: Vec<String>,
    class: Class,
    qtype: Rtype,
    /// The counters of each server and zone. They are created on first use, because metrics show only
    /// what happened.
    matches: Vec<OnceLock<Box<[OnceLock<Counter>]>>>,
}

const LABELS: &[&str] = &["server", "zone", "view", "class", "type"];
const BODY_LABELS: &[&str] = &["server", "zone", "view", "class", "type", "section", "template"];

impl Counts {
    pub(super) fn new(stanza: &Stanza, keys: &[Key], view: &str) -> Self {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut servers = Vec::new();
        for key in keys {
            let at = names.iter().position(|known| *known == key.server).unwrap_or_else(|| {
                names.push(Arc::clone(&key.server));
                names.len() - 1
            });
            servers.push(at);
        }
        if names.is_empty() {
            names.push("".into());
        }
        let zones: Vec<String> = stanza.zones.iter().map(ToString::to_string).collect();
        let matches = (0..names.len() * zones.len()).map(|_| OnceLock::new()).collect();
        Self {
            servers,
            names,
            view: view.to_owned(),
            zones,
            class: stanza.class,
            qtype: stanza.qtype,
            matches,
        }
    }

    /// The name of zone `index`.
    pub(super) fn zone(&self, index: usize) -> &str {
        &self.zones[index]
    }

    /// The label of the class, as in CoreDNS: the query's, or the stanza's if the query's is ANY.
    pub(super) fn class(&self, query: &Query) -> &'static str {
        let asked = query.qclass();
        let class = if asked == Class::ANY { self.class } else { asked };
        class.mnemonic().unwrap_or_default()
    }

    /// The label of the type, by the same rule.
    pub(super) fn qtype(&self, query: &Query) -> &'static str {
        let asked = query.qtype();
        let qtype = if asked == Rtype::ANY { self.qtype } else { asked };
        qtype.mnemonic().unwrap_or_default()
    }

    /// Counts a query that the stanza answers.
    pub(super) fn matched(&self, zone: usize, query: &Query) {
        let server = self.server(query);
        let classes = if self.class == Class::ANY { Class::KNOWN.len() + 1 } else { 1 };
        let types = if self.qtype == Rtype::ANY { Rtype::KNOWN.len() + 1 } else { 1 };
        // A stanza of one type has one label, because its queries have that type or ANY.
        let class = match classes {
            1 => 0,
            _ => index(Class::KNOWN, query.qclass()),
        };
        let qtype = match types {
            1 => 0,
            _ => index(Rtype::KNOWN, query.qtype()),
        };
        let table = self.matches[server * self.zones.len() + zone]
            .get_or_init(|| (0..classes * types).map(|_| OnceLock::new()).collect());
        let counter = table[class * types + qtype].get_or_init(|| {
            metrics::counter(
                "coredns_template_matches_total",
                "Counter of template regex matches.",
                LABELS,
                &[
                    &self.names[server],
                    &self.zones[zone],
                    &self.view,
                    self.class(query),
                    self.qtype(query),
                ],
            )
        });
        counter.inc(query.client.worker);
    }

    /// Counts a template that failed.
    #[cold]
    pub(super) fn template_failed(&self, zone: usize, query: &Query, section: &str, body: &str) {
        let name = "coredns_template_template_failures_total";
        self.failed(name, "Counter of go template failures.", zone, query, section, body);
    }

    /// Counts a template whose output was not a record.
    #[cold]
    pub(super) fn record_failed(&self, zone: usize, query: &Query, section: &str, body: &str) {
        let name = "coredns_template_rr_failures_total";
        self.failed(name, "Counter of mis-templated RRs.", zone, query, section, body);
    }

    fn failed(
        &self,
        name: &'static str,
        help: &'static str,
        zone: usize,
        query: &Query,
        section: &str,
        body: &str,
    ) {
        let labels = [
            &*self.names[self.server(query)],
            &*self.zones[zone],
            &*self.view,
            self.class(query),
            self.qtype(query),
            section,
            body,
        ];
        metrics::counter(name, help, BODY_LABELS, &labels).inc(query.client.worker);
    }

    fn server(&self, query: &Query) -> usize {
        self.servers.get(usize::from(query.state.key)).copied().unwrap_or(0)
    }
}

/// The index of an rcode among the named ones, or the next index if it has no name.
fn index<T: Ord>(known: &[T], code: T) -> usize {
    known.binary_search(&code).unwrap_or(known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order() {
        assert!(Rtype::KNOWN.is_sorted());
        assert!(Class::KNOWN.is_sorted());
    }
}
