//! Follows an alias that leads out of the zone, through this server itself.

use chain::{Query, Reply, Resolve};
use zone::Zone;

/// Resolves `target` and completes the reply, which ends with the alias.
pub(super) async fn chase(
    resolver: &dyn Resolve,
    zone: &Zone,
    target: &[u8],
    query: &mut Query,
    reply: &mut Reply,
) {
    let mut asked = Box::new((Query::new(), Reply::new()));
    let (question, answer) = &mut *asked;
    question.make_subquery(query, target, query.qtype(), query.wants_dnssec());
    resolver.resolve(question, answer).await;
    zone.complete_alias(query, reply, answer);
}
