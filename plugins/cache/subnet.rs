//! Answers that are meant for some clients only (RFC 7871).
//!
//! With the option `ecs` such an answer is kept under the network that it is meant for, and a client
//! gets that of the smallest network it is in. Without it such an answer is not kept.

use wire::edns::{ClientSubnet, Subnet, option};
use wire::{Query, Reply};

/// The network that the client, or a plugin before this one, told.
pub(super) fn source(query: &Query) -> Option<ClientSubnet> {
    query.edns()?;
    ClientSubnet::find(query.options()).filter(|asked| !asked.source.is_all())
}

/// The network that a reply is meant for; `None` if it is for all. "If the SCOPE PREFIX-LENGTH is longer
/// than the SOURCE PREFIX-LENGTH" no more is known of the client than the latter (RFC 7871 section
/// 7.3.1).
pub(super) fn scope_of(query: &Query, reply: &Reply) -> Option<Subnet> {
    let asked = source(query)?;
    let told = ClientSubnet::find(reply.opt.options())?;
    // An answer about another network is taken for one that is for nobody else than who asked.
    let scope = if told.source == asked.source { told.scope } else { asked.source.bits };
    (scope > 0).then(|| asked.source.wider(scope.min(asked.source.bits)))
}

/// "If the EDNS Client Subnet option was received in a query, the response has one" (RFC 7871 section
/// 7.2.1).
pub(super) fn write_scope(subnet: Option<Subnet>, query: &Query, reply: &mut Reply) {
    if let Some(asked) = ClientSubnet::find(query.options()) {
        let told = ClientSubnet { scope: subnet.map_or(0, |subnet| subnet.bits), ..asked };
        let mut room = [0; 20];
        let len = told.write(&mut room);
        reply.opt.push(option::CLIENT_SUBNET, &room[..len]);
    }
}
