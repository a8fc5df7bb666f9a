//! Requests as messages, and the checks that make a message the reply to one.

use wire::record::Records;
use wire::{Class, HEADER, Message, Name, NameBuf, Opcode, Rcode, Rtype, name};
use zone::Soa;

use crate::Fault;

/// The flag of responses.
const QR: u16 = 0x8000;
/// The flag of authority.
const AA: u16 = 0x0400;
/// The flag of truncation.
const TC: u16 = 0x0200;

/// What is asked of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its SOA record.
    Soa,
    /// All records (RFC 5936).
    Axfr,
    /// What changed since the version with this serial (RFC 1995).
    Ixfr(u32),
    /// Nothing: the zone has changed here (RFC 1996).
    Notify,
}

impl Kind {
    fn qtype(self) -> Rtype {
        match self {
            Self::Soa | Self::Notify => Rtype::SOA,
            Self::Axfr => Rtype::AXFR,
            Self::Ixfr(_) => Rtype::IXFR,
        }
    }

    fn opcode(self) -> Opcode {
        match self {
            Self::Notify => Opcode::NOTIFY,
            _ => Opcode::QUERY,
        }
    }
}

/// A request about a zone.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id of the message.
    pub id: u16,
    /// The zone.
    pub zone: Name,
    /// What is asked.
    pub kind: Kind,
}

impl Request {
    /// The message, unsigned. `soa` is our SOA record: that of the version that there is in an IXFR request,
    /// the new one in a NOTIFY.
    pub fn message(&self, soa: Option<&Soa>) -> Vec<u8> {
        let notify = self.kind == Kind::Notify;
        let flags = u16::from(self.kind.opcode().0) << 11 | if notify { AA } else { 0 };
        let count = u16::from(soa.is_some());
        let counts = if notify { [1, count, 0, 0] } else { [1, 0, count, 0] };
        let mut message = Vec::with_capacity(512);
        for word in [self.id, flags].into_iter().chain(counts) {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message.extend_from_slice(self.zone.as_wire());
        for word in [self.kind.qtype().0, Class::IN.0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        if let Some(soa) = soa {
            push_soa(&mut message, soa);
        }
        message
    }

    /// Checks that `message` is a reply to this request without an error, and returns the records of its
    /// answer section. `first`: it is the first message of the reply.
    ///
    /// # Errors
    /// It is not.
    pub fn answers<'m>(&self, message: &'m [u8], first: bool) -> Result<Records<'m>, Fault> {
        let view = self.reply_to(message)?;
        let at = view.questions_end()?;
        let [_, answers, ..] = view.counts();
        // RFC 5936 section 2.2.1: the first message of a reply has the question, others may have it.
        self.check_question(view, first)?;
        Ok(Records::new(message, at, [answers, 0, 0]))
    }

    /// Checks a response that needs no records, such as that to a NOTIFY.
    pub(crate) fn acknowledged(&self, message: &[u8]) -> Result<(), Fault> {
        let view = self.reply_to(message)?;
        self.check_question(view, false)
    }

    /// Whether `message` may be the reply to this request, good or bad: over UDP anything may come.
    pub(crate) fn matches(&self, message: &[u8]) -> bool {
        let Ok(view) = Message::new(message) else { return false };
        self.is_response(view).is_ok() && self.check_question(view, false).is_ok()
    }

    fn is_response(&self, view: Message<'_>) -> Result<(), Fault> {
        if view.id() != self.id {
            return Err(Fault::OtherId);
        }
        let opcode = Opcode((view.flags() >> 11) as u8 & 0x0F);
        if view.flags() & QR == 0 || opcode != self.kind.opcode() {
            return Err(Fault::NoResponse);
        }
        Ok(())
    }

    fn reply_to<'m>(&self, message: &'m [u8]) -> Result<Message<'m>, Fault> {
        let view = Message::new(message)?;
        self.is_response(view)?;
        match rcode(message) {
            Rcode::NOERROR => {}
            other => return Err(Fault::Rcode(other)),
        }
        if view.flags() & TC != 0 {
            return Err(Fault::Truncated);
        }
        if self.kind == Kind::Soa && view.flags() & AA == 0 {
            return Err(Fault::NotAuthoritative);
        }
        Ok(view)
    }

    fn check_question(&self, view: Message<'_>, required: bool) -> Result<(), Fault> {
        let [questions, ..] = view.counts();
        match questions {
            0 if !required => return Ok(()),
            1 => {}
            _ => return Err(Fault::OtherQuestion),
        }
        let mut asked = NameBuf::new();
        let at = name::read(view.bytes(), HEADER, &mut asked)?;
        let fixed = view.bytes().get(at..).and_then(|rest| rest.first_chunk::<4>());
        let [t0, t1, c0, c1] = *fixed.ok_or(Fault::Malformed)?;
        let same = name::eq(asked.as_wire(), self.zone.as_wire())
            && u16::from_be_bytes([t0, t1]) == self.kind.qtype().0
            && u16::from_be_bytes([c0, c1]) == Class::IN.0;
        if same { Ok(()) } else { Err(Fault::OtherQuestion) }
    }
}

/// Whether a reply over UDP was truncated.
pub(crate) fn is_truncated(message: &[u8]) -> bool {
    Message::new(message).is_ok_and(|view| view.flags() & TC != 0)
}

/// The rcode in the header of a message that has one.
pub(crate) fn rcode(message: &[u8]) -> Rcode {
    Message::new(message).map_or(Rcode::NOERROR, |view| Rcode(view.flags() & 0x0F))
}

/// Appends an SOA record whose owner is the name in the question.
fn push_soa(message: &mut Vec<u8>, soa: &Soa) {
    message.extend_from_slice(&[0xC0, HEADER as u8]);
    for word in [Rtype::SOA.0, Class::IN.0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(&soa.ttl.to_be_bytes());
    let (mname, rname) = (soa.mname.as_wire(), soa.rname.as_wire());
    message.extend_from_slice(&((mname.len() + rname.len() + 20) as u16).to_be_bytes());
    message.extend_from_slice(mname);
    message.extend_from_slice(rname);
    for number in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
        message.extend_from_slice(&number.to_be_bytes());
    }
}
