//! Hits: answers from an entry, fresh or stale.

use chain::{Query, Reply, Served, Step};
use wire::edns::{ede, option};
use wire::{Moment, Rcode};

use super::outcome::cached_failure;
use super::state::Cache;
use crate::cache::config::Stale;
use crate::cache::entry::Entry;

impl Cache {
    /// Answers from a fresh entry.
    #[inline]
    pub(super) fn write_fresh(
        &self,
        entry: &Entry,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        if entry.facts().failure {
            return Err(cached_failure());
        }
        let ttl = if self.config.keepttl {
            entry.lifetime()
        } else {
            entry.ttl(query.client.now).max(0) as u32
        };
        entry.write(ttl, query, reply);
        self.write_scope(entry.subnet(), query, reply);
        Ok(Step::Done)
    }

    /// Answers from an expired entry.
    pub(super) fn write_stale(
        &self,
        entry: &Entry,
        stale: Stale,
        query: &mut Query,
        reply: &mut Reply,
    ) {
        self.metrics(query).served_stale.inc(query.client.worker);
        entry.write(stale.ttl, query, reply);
        self.write_scope(entry.subnet(), query, reply);
        if query.edns().is_some() {
            let code = match entry.facts().rcode {
                Rcode::NXDOMAIN => ede::STALE_NXDOMAIN,
                _ => ede::STALE_ANSWER,
            };
            reply.opt.push(option::EXTENDED_ERROR, &code.to_be_bytes());
        }
    }

    /// Counts the hit. Returns whether the entry is popular, expires soon and is not being renewed.
    #[inline]
    pub(super) fn wants_prefetch(&self, entry: &Entry, now: Moment) -> bool {
        let Some(prefetch) = self.config.prefetch else {
            return false;
        };
        let hits = entry.hit(prefetch.gap, now);
        let threshold = (u64::from(entry.lifetime()) * u64::from(prefetch.percent)).div_ceil(100);
        hits >= prefetch.amount
            && entry.ttl(now) <= threshold as i64
            && !entry.facts().failure
            && entry.begin_renewal(now)
    }

    /// The step for an expired entry: answer at once, or verify first.
    pub(super) fn stale_step(
        &self,
        entry: &Entry,
        stale: Stale,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        if stale.verify.is_some() {
            // `verify` sees another renewal in flight, or one that failed a short while ago.
            return Ok(Step::Wait);
        }
        self.write_stale(entry, stale, query, reply);
        Ok(if entry.begin_renewal(query.client.now) { Step::Refresh } else { Step::Done })
    }
}
