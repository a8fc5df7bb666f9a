//! The signature of a query (TSIG, RFC 8945), judged with the keys of the server block that takes it, and the
//! signatures of its reply.

use chain::{BlockKeys, Clock};
use exchange::{Query, Signer};
use tsig::{Session, TsigError};
use wire::{Class, Malformed, NameBuf, NewRecord, Rcode, Rdata, Reply, Rtype, Section};

/// Judges the signature of a signed query with `keys`, those of the block that takes it. The message stays as
/// it is; [`accept`] removes the record of a signature that is good.
///
/// Errors: the record cannot be read.
#[cold]
pub(super) fn judge(
    query: &mut Query,
    keys: Option<&BlockKeys>,
    clock: Clock,
) -> Result<(), Malformed> {
    query.state.signer = None;
    let Some(start) = query.tsig_at() else { return Ok(()) };
    let now = (clock.unix)(query.client.received);
    let find = |name: &[u8]| keys.and_then(|keys| keys.find(name));
    let session = Session::open(query.bytes(), start, now, find)?;
    let mut key = NameBuf::new();
    key.set_folded(session.key_name());
    query.state.signer = Some(Box::new(Signature { session, key, clock }));
    Ok(())
}

/// Removes the TSIG record of a query whose signature is good: the chain, and upstreams, see a query without
/// one. A query that is signed with an unknown key keeps it, for upstreams that may know the key (RFC 8945
/// section 5.5).
#[cold]
pub(super) fn accept(query: &mut Query) {
    if query.signer_key().is_some() {
        query.strip_tsig();
    }
}

/// The signature of a query.
struct Signature {
    session: Session,
    /// The name of the key, in lower case.
    key: NameBuf,
    clock: Clock,
}

impl Signature {
    /// Whether the reply is an upstream's to a query that is signed with an unknown key: it is not ours to
    /// judge.
    fn passes(&self, reply: &Reply) -> bool {
        reply.foreign && self.session.error() == TsigError::BADKEY
    }
}

impl Signer for Signature {
    fn error(&self) -> TsigError {
        self.session.error()
    }

    fn key(&self) -> &[u8] {
        self.key.as_wire()
    }

    fn reserve(&self, reply: &Reply) -> Option<usize> {
        (!self.passes(reply)).then(|| self.session.reserve())
    }

    fn review(&mut self, _: &Query, reply: &mut Reply) {
        if self.session.error() == TsigError::NONE {
            // RFC 8945 section 5.5: the upstream's word that the data is authentic was not signed for us.
            if reply.foreign {
                reply.authentic_data = false;
            }
        } else if !self.passes(reply) {
            reply.clear();
            reply.set_rcode(Rcode::NOTAUTH);
        }
    }

    fn sign(&mut self, _: &Query, reply: &mut Reply) {
        // A reply of many messages may take longer than clocks may differ.
        let now = (self.clock.unix)((self.clock.now)());
        let rdata = self.session.next_rdata(reply.bytes(), now);
        let record = NewRecord::new(self.session.key_name(), 0, Rdata::Other(Rtype::TSIG, &rdata));
        reply.push(Section::Additional, record.class(Class::ANY));
    }
}
