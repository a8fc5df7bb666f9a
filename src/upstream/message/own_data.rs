//! Upstream data of names that this server is authoritative for.
//!
//! An upstream may answer with an alias that leads into one of this server's own zones, and with data
//! for the name there: out of date, or false. Own data wins: the answer is cut behind that alias, and
//! this server resolves the name itself. Where the question's own name is in such a zone, the plugin
//! asks an upstream on purpose, and only aliases are looked at.

use std::sync::Arc;

use chain::{OwnZones, Resolver, Setup};
use exchange::Query;
use wire::{Class, Rcode, Reply, Rtype, Section};

/// The zones that are this server's own, and the way to their data.
pub(crate) struct OwnData {
    zones: Arc<OwnZones>,
    resolver: Resolver,
}

impl OwnData {
    pub(crate) fn new(setup: &Setup<'_>) -> Self {
        Self { zones: setup.own_zones(), resolver: setup.resolver() }
    }

    /// Replaces upstream data with this server's own.
    pub(crate) async fn settle(&self, query: &mut Query, reply: &mut Reply) {
        if !self.zones.is_empty() {
            // Boxed, because it is rare: the future of each query stays small.
            Box::pin(self.replace(query, reply)).await;
        }
    }

    async fn replace(&self, query: &mut Query, reply: &mut Reply) {
        if query.qclass() != Class::IN {
            return;
        }
        let is_own = |name: &[u8]| self.zones.contains(name);
        if !is_own(query.original_name()) {
            reply.drop_beside(is_own);
        }
        // RFC 1034 section 4.3.2: queries of these types are answered with the alias itself.
        if matches!(query.qtype(), Rtype::CNAME | Rtype::DNAME | Rtype::ANY) {
            return;
        }
        let Some(alias) = reply.alias_to(is_own) else { return };
        // Read before the data: a later change makes a cached reply outdated.
        let version = self.zones.version();
        let asked = self.resolver.lookup(query, alias.target(), query.qtype()).await;
        let Some(mut found) = asked else { return };
        reply.own_version = version;
        // Names below a delegation belong to another server.
        if is_referral(&found) {
            return;
        }
        reply.cut_behind(&alias);
        reply.set_authoritative(false);
        reply.authentic_data = false;
        reply.truncated = false;
        match found.take_failure() {
            Some(failure) => reply.fail(failure),
            None if found.is_silent() => reply.set_rcode(Rcode::SERVFAIL),
            None => {
                reply.set_rcode(found.rcode());
                reply.append_answer(&found);
                reply.append_authority(&found);
            }
        }
    }
}

/// Whether a reply is a referral.
fn is_referral(reply: &Reply) -> bool {
    let points_elsewhere = || {
        let mut records = reply.records().map_while(Result::ok);
        records.any(|record| record.section == Section::Authority && record.rtype == Rtype::NS)
    };
    !reply.is_silent()
        && reply.failure().is_none()
        && reply.rcode() == Rcode::NOERROR
        && !reply.authoritative()
        && reply.count(Section::Answer) == 0
        && points_elsewhere()
}
