//! The bridge to hickory-proto's typed records, for plugins that really edit them.

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};

use crate::record::Malformed;
use crate::{Reply, Request};

/// The query as a typed message.
pub fn query(query: &Request) -> Result<Message, Malformed> {
    Message::from_bytes(query.bytes()).map_err(|_| Malformed)
}

/// The reply so far as a typed message (without its OPT record, which is held apart).
pub fn reply(query: &Request, reply: &Reply) -> Result<Message, Malformed> {
    let mut bytes = reply.bytes().to_vec();
    let mut header = Reply::new();
    header.begin_rejection(&[]);
    header.seal(query.id(), 0x8000 | reply.rcode().0 & 0x0F);
    bytes[..4].copy_from_slice(&header.bytes()[..4]);
    let counts = crate::Section::ALL.map(|section| reply.count(section));
    bytes[4..6].copy_from_slice(&1u16.to_be_bytes());
    for (at, count) in counts.into_iter().enumerate() {
        bytes[6 + 2 * at..8 + 2 * at].copy_from_slice(&count.to_be_bytes());
    }
    Message::from_bytes(&bytes).map_err(|_| Malformed)
}

/// Replaces the reply by a typed message, which must answer the same question.
pub fn set_reply(reply: &mut Reply, message: &Message) -> Result<(), Malformed> {
    let bytes = message.to_bytes().map_err(|_| Malformed)?;
    // Editing records does not make them somebody else's.
    let foreign = reply.foreign;
    reply.load(&bytes)?;
    reply.foreign = foreign;
    Ok(())
}
