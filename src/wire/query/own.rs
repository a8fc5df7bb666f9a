//! Questions of our own: new ones on a client's behalf, and copies of a client's.

use super::Query;
use crate::{Class, Rtype};

impl Query {
    /// Makes this a question of our own, as if `from` had asked it: same client, transport and
    /// clock, one level deeper.
    pub fn ask_on_behalf(&mut self, from: &Self, qname: &[u8], qtype: Rtype, dnssec_ok: bool) {
        self.buf.clear();
        self.buf.extend_from_slice(&[0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        self.buf.extend_from_slice(qname);
        self.buf.extend_from_slice(&qtype.0.to_be_bytes());
        self.buf.extend_from_slice(&Class::IN.0.to_be_bytes());
        let flags = if dnssec_ok { 0x80 } else { 0 };
        self.buf.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, flags, 0, 0, 0]);
        self.inherit(from);
        let parsed = self.parse();
        debug_assert!(parsed.is_ok(), "a question of our own parses");
        self.depth = from.depth.saturating_add(1);
        self.deadline = from.deadline;
        self.within = from.spans.as_ref().map(|spans| spans.context());
    }

    /// Makes this the same question as `from` asked, with a memory of its own.
    pub fn copy_of(&mut self, from: &Self) {
        self.buf.clear();
        self.buf.extend_from_slice(&from.buf);
        self.inherit(from);
        let parsed = self.parse();
        debug_assert!(parsed.is_ok(), "what parsed once parses again");
        self.depth = from.depth;
        self.zone_at = from.zone_at;
    }

    /// Notes that link `at` of the chain, which answered from memory, wants to renew its answer.
    pub fn renew_at(&mut self, at: usize) {
        let mut copy = Box::new(Self::new());
        copy.copy_of(self);
        self.renewal = Some((at, copy));
    }

    pub(super) fn inherit(&mut self, from: &Self) {
        self.peer = from.peer;
        self.local = from.local;
        self.transport = from.transport;
        self.keepalive = from.keepalive;
        self.worker = from.worker;
        self.received = from.received;
        self.now = from.now;
        self.site = from.site;
        self.key = from.key;
    }
}
