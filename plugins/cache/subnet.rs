//! The client subnet option of queries and replies (RFC 7871).
//!
//! With the option `ecs`, an answer for one network is cached under that network, and a client gets
//! the answer for the smallest network that contains it. Without the option such an answer is not
//! cached.

use exchange::Query;
use wire::Reply;
use wire::edns::{ClientSubnet, Subnet, option};

/// The network in the query, as the client or a plugin before this one wrote it.
pub(super) fn source(query: &Query) -> Option<ClientSubnet> {
    query.edns()?;
    ClientSubnet::find(query.options()).filter(|asked| !asked.source.is_all())
}

/// The network that a reply is for; `None` if it is for all clients. "If the SCOPE PREFIX-LENGTH is
/// longer than the SOURCE PREFIX-LENGTH", only the latter is known of the client (RFC 7871 section
/// 7.3.1).
pub(super) fn scope_of(query: &Query, reply: &Reply) -> Option<Subnet> {
    let asked = source(query)?;
    let told = ClientSubnet::find(reply.opt.options())?;
    // A reply that echoes another network is only for the network that was sent.
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
