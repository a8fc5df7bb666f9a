//! A permitted transfer: what the client gets, and its messages one after the other.

use std::sync::Arc;

use chain::{Failure, Query, Reply, Served, Step};
use tokio::time::{Instant, timeout_at};
use wire::edns::ede;
use wire::name::{self, NameBuf};
use wire::{Message, Rcode, Record, Rtype, Section, rdata};
use zone::transfer::{Bounds, Outgoing, Progress, TooLarge};
use zone::{Live, RecordRef, Zone};

use super::Transfer;
use super::config::Rule;
use super::limits::Slot;

/// Octets for an OPT record with the options that plugins write.
const OPT: usize = 11 + 256;

/// A transfer in flight.
struct Flight<'a> {
    plugin: &'a Transfer,
    rule: &'a Rule,
    zone: &'a Live,
    outgoing: Outgoing,
    deadline: Instant,
    octets: u64,
    slot: Option<Slot>,
}

impl Transfer {
    /// Sends the zone, or the changes that the client needs. `made` is a version that was made for this.
    pub(super) async fn send(
        &self,
        rule: &Rule,
        zone: &Live,
        made: Option<Arc<Zone>>,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        let outgoing = match query.qtype() {
            Rtype::IXFR => {
                let Some(serial) = serial(query) else {
                    // RFC 1995 section 3: the authority section has the SOA record of the client's version.
                    let why = "an IXFR query needs one SOA record, that of its zone";
                    return Err(Failure::rcode(Rcode::FORMERR).extended(ede::OTHER, why));
                };
                match (made, rule.ixfr) {
                    (Some(made), _) if made.serial() == serial => Some(Outgoing::soa(made)),
                    (Some(made), _) => Some(Outgoing::whole(made)),
                    (None, true) => Outgoing::since(zone, serial),
                    (None, false) => Outgoing::without_changes(zone, serial),
                }
            }
            _ => made.or_else(|| zone.zone_to_keep()).map(Outgoing::whole),
        };
        let Some(outgoing) = outgoing else {
            self.metrics.failed_zone.inc(query.client.worker);
            let why = format!("zone `{}` has no version to transfer", zone.origin());
            return Err(Failure::servfail(why).extended(ede::NOT_READY, "the zone is not loaded"));
        };
        let deadline = Instant::now() + rule.total;
        let mut flight =
            Flight { plugin: self, rule, zone, outgoing, deadline, octets: 0, slot: None };
        if query.client.transport.is_datagram() {
            flight.datagram(query, reply)
        } else {
            flight.stream(query, reply).await
        }
    }
}

impl Flight<'_> {
    /// All of it in one datagram, or the SOA record alone (RFC 1995 section 2).
    fn datagram(&mut self, query: &Query, reply: &mut Reply) -> Served {
        if self.fill(query, reply)? == Progress::More {
            reply.clear();
            self.outgoing = Outgoing::soa(Arc::clone(self.outgoing.zone()));
            self.fill(query, reply)?;
        }
        self.finish(query, reply);
        Ok(Step::Done)
    }

    /// Message after message.
    async fn stream(&mut self, query: &mut Query, reply: &mut Reply) -> Served {
        while self.fill(query, reply)? == Progress::More {
            self.take_slot(query)?;
            let octets = reply.len() as u64 + 2;
            let until = self.deadline.min(Instant::now() + self.rule.idle);
            match timeout_at(until, query.send(reply)).await {
                Ok(Ok(())) => self.octets += octets,
                Ok(Err(_)) => {
                    self.plugin.metrics.failed_gone.inc(query.client.worker);
                    return Err(self.failed(query, "the connection has ended"));
                }
                Err(_) => {
                    self.plugin.metrics.failed_timeout.inc(query.client.worker);
                    let idle = corefile::show_duration(self.rule.idle);
                    let total = corefile::show_duration(self.rule.total);
                    let why = if Instant::now() >= self.deadline {
                        format!("the client took more than {total} for all of it")
                    } else {
                        format!("the client took more than {idle} for a message")
                    };
                    return Err(self.failed(query, &why));
                }
            }
        }
        self.finish(query, reply);
        Ok(Step::Done)
    }

    /// Fills one message.
    fn fill(&mut self, query: &Query, reply: &mut Reply) -> Result<Progress, Failure> {
        reply.set_authoritative(true);
        let opt = if query.edns().is_some() { OPT } else { 0 };
        let signature = query.state.signer.as_ref().and_then(|signer| signer.reserve(reply));
        let signature = signature.unwrap_or(0);
        let message = query.reply_limit();
        // A datagram has the OPT record alone, as a rule.
        let opt = if query.client.transport.is_datagram() { opt.min(11) } else { opt };
        let bounds = Bounds { message, reserved: opt + signature };
        match self.outgoing.fill(reply, bounds) {
            Ok(progress) => Ok(progress),
            // The SOA record alone does not fit: the client has to ask again over TCP.
            Err(_) if query.client.transport.is_datagram() => {
                reply.truncated = true;
                reply.set_rcode(Rcode::NOERROR);
                Ok(Progress::Done)
            }
            Err(too_large) => Err(self.too_large(query, &too_large)),
        }
    }

    /// The first message that has successors needs one of the bounded slots. What fits into one message
    /// needs none.
    fn take_slot(&mut self, query: &Query) -> Result<(), Failure> {
        if self.slot.is_some() {
            return Ok(());
        }
        let (plugin, rule) = (self.plugin, self.rule);
        let peer = query.client.peer.ip();
        self.slot = plugin.running.begin(peer, rule.max_transfers, rule.max_per_peer);
        if self.slot.is_some() {
            return Ok(());
        }
        plugin.metrics.refused_limit.inc(query.client.worker);
        // Not REFUSED, which means that the client may never have it (RFC 1035 section 4.1.1).
        Err(Failure::rcode(Rcode::SERVFAIL)
            .extended(ede::OTHER, "too many transfers are in flight, try again later"))
    }

    /// Counts and logs a transfer that was sent; its last message is in the reply.
    fn finish(&mut self, query: &Query, reply: &Reply) {
        let (metrics, worker) = (&self.plugin.metrics, query.client.worker);
        let records = self.outgoing.records();
        metrics.records.add(worker, records);
        metrics.octets.add(worker, self.octets + reply.len() as u64 + 2);
        let (zone, peer) = (self.zone.origin(), query.client.peer.ip());
        let serial = self.outgoing.zone().serial();
        // The lines are CoreDNS's, but for the changes, which it does not send.
        if self.outgoing.is_soa_alone() {
            metrics.current.inc(worker);
            telemetry::info!(
                "plugin/transfer: Outgoing noop, incremental transfer for up to date zone \
                 \"{zone}\" to {peer} for {serial} SOA serial"
            );
        } else if self.outgoing.is_incremental() {
            metrics.ixfr.inc(worker);
            telemetry::info!(
                "plugin/transfer: Outgoing incremental transfer of {records} records of zone \
                 \"{zone}\" to {peer} for {serial} SOA serial"
            );
        } else {
            metrics.axfr.inc(worker);
            telemetry::info!(
                "plugin/transfer: Outgoing transfer of {records} records of zone \"{zone}\" to \
                 {peer} for {serial} SOA serial"
            );
        }
    }

    fn too_large(&self, query: &Query, what: &TooLarge) -> Failure {
        self.plugin.metrics.failed_zone.inc(query.client.worker);
        self.failed(query, &what.to_string())
    }

    /// The end of a transfer that cannot go on. RFC 5936 section 2.2: a message with an rcode ends it.
    fn failed(&self, query: &Query, why: &str) -> Failure {
        let (zone, peer) = (self.zone.origin(), query.client.peer.ip());
        let records = self.outgoing.records();
        telemetry::warning!(
            "plugin/transfer: Outgoing transfer of zone \"{zone}\" to {peer} ended after {records} \
             records: {why}"
        );
        Failure::rcode(Rcode::SERVFAIL)
    }
}

/// The serial of the client's version: that of the only record in the authority section.
fn serial(query: &Query) -> Option<u32> {
    let message = query.bytes();
    let view = Message::new(message).ok()?;
    let [_, 0, 1, _] = view.counts() else { return None };
    let record = Record::read(message, query.question_end(), Section::Authority).ok()?;
    if record.rtype != Rtype::SOA {
        return None;
    }
    let mut owner = NameBuf::new();
    record.owner(&mut owner).ok()?;
    if !name::eq(owner.as_wire(), query.name()) {
        return None;
    }
    let mut rdata = Vec::new();
    rdata::expand(record.rtype, message, record.rdata_at, record.end, &mut rdata).ok()?;
    let (rtype, class, ttl) = (record.rtype, record.class, record.ttl);
    RecordRef { owner: owner.as_wire(), rtype, class, ttl, rdata: &rdata }.soa_serial()
}
