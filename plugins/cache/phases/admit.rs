//! Admission: which replies the cache stores, and with which facts.

use std::sync::Arc;

use chain::{Query, Reply};
use wire::{Origin, Rcode};

use super::classify::{self, AnswerKind};
use super::outcome::Outcome;
use super::resolve::Purpose;
use super::state::Cache;
use crate::cache::entry::{Content, Entry, Extras, Facts, Key, TenantId};
use crate::cache::partition::Partition;
use crate::cache::subnet;

impl Cache {
    /// Classifies a reply, sets its TTLs, and stores it if it may be cached. Returns the outcome for the
    /// flight, and whether it renews stale data.
    pub(super) fn admit(
        &self,
        query: &mut Query,
        reply: &mut Reply,
        purpose: Purpose,
        has_followers: impl Fn() -> bool,
    ) -> (Outcome, bool) {
        if reply.is_silent() {
            return (Outcome::Silence, false);
        }
        if reply.failure().is_some() {
            return (self.admit_failure(query, reply, purpose), false);
        }
        if !reply.is_written() {
            return (Outcome::Private, false);
        }
        let clock = self.clock;
        let now = query.client.now;
        let Ok(verdict) =
            classify::classify_reply(query, reply, || (clock.unix)(now), &self.config)
        else {
            self.metrics(query).drops.inc(query.client.worker);
            return (Outcome::Private, false);
        };
        if verdict.uncompressed {
            // Other clients must not see the case of the first client's query: owner names become
            // pointers to the question, which is each client's own.
            reply.rearrange(|_, _| {});
        }
        reply.edit_ttls(|_, _| verdict.ttl);
        // EDNS options are hop by hop: those of an upstream are not for clients.
        let foreign = reply.foreign;
        let subnet = subnet::scope_of(query, reply);
        reply.opt.retain(|_| false);
        reply.opt.own = false;
        let facts = Facts {
            rcode: reply.rcode(),
            // RFC 1034 section 6.2.1: cached data is not authoritative. This server's own data is.
            authoritative: reply.authoritative() && !foreign,
            recursion_available: reply.recursion_available,
            authentic_data: reply.authentic_data,
            truncated: reply.truncated,
            answering: verdict.answering,
            failure: false,
            scope_zero: subnet.is_none() && subnet::source(query).is_some(),
        };
        let renews = self.renews(verdict.kind, &facts);
        let keep = purpose != Purpose::Renew || renews || self.config.prefer_positive;
        let partition = verdict.partition.filter(|_| keep);
        let key = partition.and_then(|_| self.scoped_key(query, subnet));
        let partition = partition.filter(|_| key.is_some());
        let key = key.unwrap_or_else(|| Key::of(query));
        let mut outcome = Outcome::Private;
        if partition.is_some() || has_followers() {
            let extras =
                Extras { subnet, ..self.extras(partition, verdict.answering, &key, query) };
            let tenant =
                partition.map_or(TenantId::NONE, |partition| self.store.tenant(partition).id());
            let content = Content::of(reply, verdict.ttl, facts, extras);
            if let Some(entry) = Entry::new(&key, tenant, query.client.now, content) {
                if let Some(partition) = partition {
                    self.insert(partition, &key, &entry, query);
                }
                outcome = Outcome::Answer { entry, renews };
            }
        }
        self.write_scope(subnet, query, reply);
        reply.authentic_data &= query.wants_dnssec() || query.authentic_data();
        (outcome, renews)
    }

    /// Whether a reply may replace stale data (RFC 8767 section 4: NOERROR and NXDOMAIN).
    fn renews(&self, kind: AnswerKind, facts: &Facts) -> bool {
        if facts.truncated {
            return false;
        }
        if self.config.prefer_positive {
            return kind == AnswerKind::Answer && facts.answering;
        }
        kind != AnswerKind::Other && matches!(facts.rcode, Rcode::NOERROR | Rcode::NXDOMAIN)
    }

    fn extras(
        &self,
        partition: Option<Partition>,
        answering: bool,
        key: &Key<'_>,
        query: &Query,
    ) -> Extras {
        let keeps_last =
            self.config.prefer_positive && partition == Some(Partition::Success) && !answering;
        Extras {
            wildcard: query
                .metadata("zone/wildcard")
                .map(Into::into)
                .filter(|_| partition.is_some()),
            last_positive: if keeps_last { self.store.last_positive(key) } else { None },
            subnet: None,
        }
    }

    fn insert(&self, partition: Partition, key: &Key<'_>, entry: &Arc<Entry>, query: &Query) {
        let evicted = self.store.insert(partition, key, entry, &self.config);
        self.metrics(query).evicted(partition, query, evicted.own + evicted.any);
    }

    /// The outcome of a failure of the chain. The cache stores it if no upstream was reachable: "a
    /// resolver MUST implement a cache for resolution failures" (RFC 9520 section 3.2).
    fn admit_failure(&self, query: &Query, reply: &Reply, purpose: Purpose) -> Outcome {
        let Some(failure) = reply.failure() else {
            return Outcome::Private;
        };
        let unresolved = failure.rcode == Rcode::SERVFAIL && failure.origin == Origin::Upstream;
        let keeps = unresolved
            && purpose == Purpose::Miss
            && self.config.servfail > 0
            && !self.config.denial.disabled.contains(query);
        if keeps {
            let facts = Facts { rcode: Rcode::SERVFAIL, failure: true, ..Facts::default() };
            let (key, tenant) = (Key::of(query), self.store.tenant(Partition::Denial).id());
            let content = Content::empty(self.config.servfail, Facts { scope_zero: true, ..facts });
            if let Some(entry) = Entry::new(&key, tenant, query.client.now, content) {
                self.insert(Partition::Denial, &key, &entry, query);
            }
        }
        Outcome::Failed {
            rcode: failure.rcode,
            extended: failure.extended.clone(),
            origin: failure.origin,
            cause: failure.cause.as_ref().map(|cause| cause.to_string().into()),
        }
    }
}
