//! Queries of our own: new ones on a client's behalf, and copies of a client's.

use wire::Rtype;

use crate::query::{Query, Renewal};

impl Query {
    /// Makes this a lookup of our own, as if the client of `from` had sent it: same client, transport
    /// and clock, one level deeper.
    pub fn make_subquery(&mut self, from: &Self, qname: &[u8], qtype: Rtype, dnssec_ok: bool) {
        self.inherit(from);
        self.ask(qname, qtype, dnssec_ok);
        self.state.depth = from.state.depth.saturating_add(1);
        self.state.deadline = from.state.deadline;
        self.state.within = from.state.spans.as_ref().map(|spans| spans.context());
    }

    /// Makes this the query that `from` is now, with memory of its own.
    pub fn copy_from(&mut self, from: &Self) {
        self.inherit(from);
        (**self).copy_from(from);
    }

    /// Makes this the query that `from` was when it was received, before any plugin changed it.
    pub fn copy_original_from(&mut self, from: &Self) {
        self.inherit(from);
        (**self).copy_original_from(from);
    }

    /// Requests that link `link` of the chain, which answered from memory, renews its answer.
    pub fn renew_at(&mut self, link: usize) {
        let mut query = Box::new(Self::new());
        query.copy_from(self);
        self.state.renewal = Some(Renewal { link, query });
    }

    /// Takes over the client and the routing of `from`.
    fn inherit(&mut self, from: &Self) {
        self.state.reset();
        self.client = from.client;
        self.state.key = from.state.key;
        self.state.depth = from.state.depth;
    }
}
