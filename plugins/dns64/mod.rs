//! `dns64`: synthesizes AAAA records from A records, for clients behind a NAT64 (RFC 6147).
//!
//! It acts only on replies without AAAA records. For these it looks up the A records through this
//! server.

mod config;
mod prefix;

use chain::{BoxFuture, Kind, Query, Reply, Resolver, Roles, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::metrics::{self, Counter};
use wire::{Class, Draft, Family, Rcode, Rtype, Section};

use config::Config;

/// The `dns64` directive.
pub static PLUGIN: Kind =
    Kind { name: "dns64", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// The highest TTL without an SOA record (RFC 6147 section 5.1.7).
const MAX_TTL: u32 = 600;

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    let translated = setup.keys().iter().map(|key| {
        metrics::counter(
            "coredns_dns64_requests_translated_total",
            "Counter of DNS requests translated by dns64.",
            &["server"],
            &[&key.server],
        )
    });
    let translated = translated.collect();
    setup.link(Dns64 { config, translated, resolver: setup.resolver() });
    Ok(())
}

struct Dns64 {
    config: Config,
    /// In the order of the block's keys.
    translated: Box<[Counter]>,
    resolver: Resolver,
}

impl ServeDns for Dns64 {
    fn roles(&self) -> Roles<'_> {
        Roles { waits_on_reply: true, ..Roles::default() }
    }

    fn must_wait(&self, query: &mut Query, reply: &Reply) -> bool {
        query.qtype() == Rtype::AAAA
            && query.qclass() == Class::IN
            && (self.config.allow_ipv4 || query.client.family() == Family::V6)
            && self.lacks_addresses(reply)
    }

    fn finish_reply<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let found = self.resolver.lookup(query, query.original_name(), Rtype::A).await;
            let Some(mut answer) = found else { return };
            if answer.is_silent() {
                return;
            }
            // The lookup failed, so the absence of A records is not known.
            if let Some(failure) = answer.take_failure() {
                return reply.fail(failure);
            }
            if let Some(translated) = self.translated.get(usize::from(query.state.key)) {
                translated.inc(metrics::SHARED);
            }
            self.synthesize(query, reply, &answer);
        })
    }
}

impl Dns64 {
    /// Whether the reply calls for a translation. A failure is none, and a name that does not exist
    /// has no A records either; every other rcode counts as an empty answer (RFC 6147 section 5.1.2).
    fn lacks_addresses(&self, reply: &Reply) -> bool {
        if reply.is_silent() || reply.failure().is_some() || reply.rcode() == Rcode::NXDOMAIN {
            return false;
        }
        let mut records = reply.records().map_while(Result::ok);
        self.config.translate_all
            || !records.any(|it| it.section == Section::Answer && it.rtype == Rtype::AAAA)
    }

    /// Puts the reply to the A question in place of the reply, with its addresses translated.
    fn synthesize(&self, query: &Query, reply: &mut Reply, answer: &Reply) {
        let soa = reply
            .records()
            .map_while(Result::ok)
            .filter(|record| record.section == Section::Authority && record.rtype == Rtype::SOA);
        let most = soa.last().map_or(MAX_TTL, |record| record.ttl);
        let mut drafts = answer.drafts();
        drafts.iter_mut().for_each(|draft| self.translate(draft, most));
        reply.replace_records(query, &drafts);
        reply.set_rcode(Rcode::NOERROR);
        reply.set_authoritative(false);
        reply.recursion_available = false;
        reply.authentic_data = false;
        reply.truncated = answer.truncated;
    }

    /// Only A records of the answer change (RFC 6147 sections 5.3.2 and 5.3.3).
    fn translate(&self, draft: &mut Draft, most: u32) {
        if draft.section == Section::Answer
            && draft.rtype == Rtype::A
            && let Ok(address) = <[u8; 4]>::try_from(draft.rdata.as_slice())
        {
            draft.rtype = Rtype::AAAA;
            draft.ttl = draft.ttl.min(most);
            draft.rdata = self.config.prefix.embed(address).to_vec();
        }
    }
}
