//! NOTIFY messages for zones of this plugin (RFC 1996).

use std::sync::Arc;

use authority::{Keeper, TakesMessages};
use chain::{BoxFuture, Failure, Query, Reply, Served, Step};
use wire::{Rcode, Rtype};
use zone::Live;

use super::members::Block;

/// What the plugin does for its zones besides keeping them current.
pub(super) struct Keep(pub(super) Arc<Block>);

impl Keeper for Keep {
    fn notify(&self) -> Option<&dyn TakesMessages> {
        Some(self)
    }
}

impl TakesMessages for Keep {
    fn take<'a>(
        &'a self,
        zone: Arc<Live>,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        let served = self.notified(&zone, query, reply);
        Box::pin(async { served })
    }
}

impl Keep {
    fn notified(&self, zone: &Live, query: &Query, reply: &mut Reply) -> Served {
        let Some((copy, source)) = self.0.find(zone.origin()) else { return Ok(Step::Next) };
        let (from, zone) = (query.client.peer.ip().to_canonical(), copy.origin());
        let is_signed = source.key.as_ref().is_some_and(|key| key.has_signed(query));
        let is_allowed = is_signed || source.may_notify(from);
        source.metrics.notified(is_allowed);
        if !is_allowed {
            // As in CoreDNS: a stranger learns nothing. A flood leaves one line now and then.
            if copy.is_news(&format!("notify from {from}")) {
                telemetry::info!("plugin/file: Dropping notify from {from} for {zone}");
            }
            return Ok(Step::Drop);
        }
        // RFC 1996 section 3.7: the only defined type is SOA.
        if query.qtype() != Rtype::SOA {
            return Err(Failure::rcode(Rcode::FORMERR));
        }
        if query.name() != zone.as_wire() {
            return Err(Failure::rcode(Rcode::NOTAUTH));
        }
        telemetry::info!("plugin/file: Notify from {from} for {zone}: checking transfer");
        copy.notify(from);
        reply.set_authoritative(true);
        Ok(Step::Done)
    }
}
