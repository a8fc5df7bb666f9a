//! Gives a reply another question, and its records other names.

use super::{NewRecord, Reply};
use crate::name::NameBuf;
use crate::record::{Records, Section};
use crate::{Class, HEADER, Rdata, Request, Rtype, rdata};

/// One record of a reply with all its names written out.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Section.
    pub section: Section,
    /// Owner.
    pub owner: NameBuf,
    /// Type.
    pub rtype: Rtype,
    /// Class.
    pub class: Class,
    /// Time to live.
    pub ttl: u32,
    /// RDATA, names in it uncompressed.
    pub rdata: Vec<u8>,
}

impl Reply {
    /// Makes this the reply to the question of `query`, and lets `edit` change each record; a record
    /// for which it returns false is left out. Flags, rcode, OPT and failure stay.
    ///
    /// Names that equal the question's, or an end of it, but for their case get the client's: they
    /// become pointers to it.
    pub fn readdress(&mut self, query: &Request, mut edit: impl FnMut(&mut Draft) -> bool) {
        let old = std::mem::replace(&mut self.buf, std::mem::take(&mut self.scratch));
        let records = Records::new(&old, self.question_end, self.counts);
        self.begin_records(query);
        let mut draft = Draft {
            section: Section::Answer,
            owner: NameBuf::new(),
            rtype: Rtype(0),
            class: Class(0),
            ttl: 0,
            rdata: std::mem::take(&mut self.expanded),
        };
        let written = self.written;
        for record in records.map_while(Result::ok) {
            draft.rdata.clear();
            let (at, end) = (record.rdata_at, record.end);
            if record.owner(&mut draft.owner).is_err()
                || rdata::expand(record.rtype, &old, at, end, &mut draft.rdata).is_err()
            {
                continue;
            }
            (draft.section, draft.rtype) = (record.section, record.rtype);
            (draft.class, draft.ttl) = (record.class, record.ttl);
            if edit(&mut draft) {
                self.push_draft(&draft);
            }
        }
        self.written = written;
        self.expanded = draft.rdata;
        self.scratch = old;
    }

    /// Makes this the reply to the question of `query` with these records. Flags, rcode, OPT and
    /// failure stay.
    pub fn replace_records(&mut self, query: &Request, drafts: &[Draft]) {
        self.begin_records(query);
        for draft in drafts {
            self.push_draft(draft);
        }
    }

    /// The records with all names written out.
    pub fn drafts(&self) -> Vec<Draft> {
        let draft = |record: crate::Record<'_>| {
            let (mut owner, mut rdata) = (NameBuf::new(), Vec::new());
            record.owner(&mut owner).ok()?;
            rdata::expand(record.rtype, &self.buf, record.rdata_at, record.end, &mut rdata).ok()?;
            let (section, rtype, class, ttl) =
                (record.section, record.rtype, record.class, record.ttl);
            Some(Draft { section, owner, rtype, class, ttl, rdata })
        };
        self.records().filter_map(Result::ok).filter_map(draft).collect()
    }

    fn begin_records(&mut self, query: &Request) {
        self.buf.clear();
        self.buf.extend_from_slice(&[0; HEADER]);
        self.buf.extend_from_slice(query.question());
        self.question_end = self.buf.len();
        self.plain_len = self.buf.len() as u32;
        self.compressor.reset();
        self.counts = [0; 3];
    }

    /// Adds a record to its section.
    pub fn push_draft(&mut self, draft: &Draft) {
        let rdata = Rdata::Other(draft.rtype, &draft.rdata);
        let record = NewRecord::new(draft.owner.as_wire(), draft.ttl, rdata).class(draft.class);
        self.push(draft.section, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use crate::request::tests::question;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn a_reply_gets_the_clients_question_in_its_case() {
        let mut query = Request::new();
        query.receive(&question("WwW.Client.example.", Rtype::A)).unwrap();
        query.push_original();
        query.rename(&wire("inside.example.")).unwrap();
        let mut reply = Reply::new();
        reply.begin(&query);
        let (inside, host) = (wire("inside.example."), wire("www.client.example."));
        reply.push(Section::Answer, NewRecord::new(&inside, 5, Rdata::Cname(&host)));
        reply.push(Section::Answer, NewRecord::new(&host, 5, Rdata::A([192, 0, 2, 1].into())));
        reply.push(Section::Additional, NewRecord::new(&host, 5, Rdata::Txt(b"x")));
        query.pop_original();
        reply.readdress(&query, |draft| {
            if draft.owner.as_wire() == inside {
                draft.owner.set_folded(query.name());
            }
            draft.ttl += 1;
            draft.rtype != Rtype::TXT
        });
        assert_eq!(&reply.bytes()[HEADER..reply.question_end()], query.question());
        let drafts = reply.drafts();
        assert_eq!(drafts.len(), 2);
        for draft in &drafts {
            assert_eq!(draft.owner.as_wire(), query.original_name());
            assert_eq!(draft.ttl, 6);
        }
        assert_eq!(drafts[0].rdata, query.original_name());
        assert_eq!(reply.plain_len() as usize, 12 + 24 + (20 + 10 + 20) + (20 + 10 + 4));

        reply.replace_records(&query, &drafts[1..]);
        assert_eq!(reply.count(Section::Answer), 1);
    }
}
