//! Follows an alias that leads out of the zone, by asking this server itself.

use chain::{Query, Reply, Resolve};
use wire::name::NameBuf;
use wire::{Rcode, Rtype, Section, name, rdata};
use zone::Zone;

/// Resolves `target` and completes the reply, which ends with the alias.
///
/// The rcode is that of the last name (RFC 6604 section 3). As in CoreDNS the authority section
/// stays that of our own zone.
pub(super) async fn chase(
    resolver: &dyn Resolve,
    zone: &Zone,
    target: &[u8],
    query: &mut Query,
    reply: &mut Reply,
) {
    let mut asked = Box::new((Query::new(), Reply::new()));
    let (question, answer) = &mut *asked;
    question.ask_on_behalf(query, target, query.qtype(), query.wants_dnssec());
    resolver.resolve(question, answer).await;
    if answer.is_silent() {
        zone.push_authority(query, reply);
        return;
    }
    append(answer, reply);
    match answer.rcode() {
        Rcode::NXDOMAIN => {
            reply.set_rcode(Rcode::NXDOMAIN);
            zone.push_negative(query, reply);
        }
        Rcode::SERVFAIL => {
            reply.set_rcode(Rcode::SERVFAIL);
            zone.push_authority(query, reply);
        }
        Rcode::NOERROR if answer.count(Section::Answer) == 0 => zone.push_negative(query, reply),
        _ => zone.push_authority(query, reply),
    }
}

/// Adds the answer section of one reply to that of another.
fn append(from: &Reply, to: &mut Reply) {
    if from.failure().is_some() {
        return;
    }
    let mut owner = NameBuf::new();
    let mut expanded = Vec::new();
    let records = from.records().map_while(Result::ok);
    for record in records.take_while(|record| record.section == Section::Answer) {
        expanded.clear();
        let message = from.bytes();
        let whole =
            rdata::expand(record.rtype, message, record.rdata_at, record.end, &mut expanded);
        if record.owner(&mut owner).is_ok() && whole.is_ok() {
            // The chain of aliases has come back to where it was: each record once
            // (RFC 2181 section 5).
            if record.rtype == Rtype::CNAME && has_alias(to, owner.as_wire()) {
                return;
            }
            let (rtype, class) = (record.rtype, record.class);
            to.push(Section::Answer, owner.as_wire(), rtype, class, record.ttl, &expanded);
        }
    }
}

/// Whether the answer section has a CNAME record at `owner`.
fn has_alias(reply: &Reply, owner: &[u8]) -> bool {
    let mut known = NameBuf::new();
    reply.records().map_while(Result::ok).any(|record| {
        record.section == Section::Answer
            && record.rtype == Rtype::CNAME
            && record.owner(&mut known).is_ok()
            && name::eq(known.as_wire(), owner)
    })
}
