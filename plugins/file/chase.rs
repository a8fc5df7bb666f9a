//! Follows an alias that leads out of the zone, by asking this server itself.

use chain::{Query, Reply, Resolve};
use wire::{Rcode, Section};
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
    reply.append_answer(answer);
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
