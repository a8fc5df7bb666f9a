//! Classification: in which partition a reply is stored, and for how long. Pure: time is an argument.

use exchange::Query;
use wire::answer::Answer;
pub(super) use wire::answer::AnswerKind;
use wire::{Malformed, Reply};

use crate::cache::config::Config;
use crate::cache::partition::Partition;

/// The classification of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: AnswerKind,
    /// The TTL that all records get, in the reply as in the cache.
    pub(super) ttl: u32,
    /// The partition, if the reply may be stored.
    pub(super) partition: Option<Partition>,
    /// The answer section has the queried records, at the end of any aliases.
    pub(super) answering: bool,
    /// A record's owner is the queried name written in full, perhaps in another case.
    pub(super) uncompressed: bool,
}

/// CoreDNS's TTL for replies without a TTL of their own.
const BARE_TTL: u32 = 5;

/// Classifies the reply to `query`. `unix` is the time for signatures.
pub(super) fn classify_reply(
    query: &Query,
    reply: &Reply,
    unix: impl FnOnce() -> u64,
    config: &Config,
) -> Result<Verdict, Malformed> {
    let answer = Answer::of(query, reply, unix)?;
    let (partition, limits) = match answer.kind {
        AnswerKind::NameError | AnswerKind::NoData => (Partition::Denial, &config.denial),
        AnswerKind::Failure => (Partition::Denial, &config.denial),
        AnswerKind::Answer | AnswerKind::Delegation | AnswerKind::Other => {
            (Partition::Success, &config.success)
        }
    };
    let bare = match answer.kind {
        AnswerKind::Answer | AnswerKind::NoData | AnswerKind::NameError => {
            answer.min_ttl.unwrap_or(BARE_TTL)
        }
        AnswerKind::Delegation | AnswerKind::Failure | AnswerKind::Other => BARE_TTL,
    };
    let ttl = answer.signed_for(match answer.kind {
        AnswerKind::Failure => config.servfail,
        // The maximum wins over the minimum.
        _ => bare.max(limits.min_ttl).min(limits.max_ttl),
    });
    let keep =
        answer.is_lasting() && ttl > 0 && !reply.truncated && !limits.disabled.contains(query);
    Ok(Verdict {
        kind: answer.kind,
        ttl,
        partition: keep.then_some(partition),
        answering: answer.answering,
        uncompressed: answer.uncompressed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Name, NewRecord, Rcode, Rdata, Rtype, Section};

    /// A question and its reply: `record("an", owner, type, ttl, data)`.
    struct Case {
        query: Query,
        reply: Reply,
    }

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    fn ask(name: &str, qtype: Rtype, dnssec: bool) -> Case {
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.make_subquery(&Query::new(), &wire(name), qtype, dnssec);
        reply.begin(&query);
        Case { query, reply }
    }

    impl Case {
        fn put(
            mut self,
            section: Section,
            owner: &str,
            rtype: Rtype,
            ttl: u32,
            data: &[u8],
        ) -> Self {
            let rdata = Rdata::Other(rtype, data);
            self.reply.push(section, NewRecord::new(&wire(owner), ttl, rdata));
            self
        }
        fn a(self, owner: &str, ttl: u32) -> Self {
            self.put(Section::Answer, owner, Rtype::A, ttl, &[192, 0, 2, 1])
        }
        fn cname(self, owner: &str, to: &str) -> Self {
            self.put(Section::Answer, owner, Rtype::CNAME, 300, &wire(to))
        }
        fn soa(self, ttl: u32) -> Self {
            let data = [wire("ns."), wire("host."), vec![0; 20]].concat();
            self.put(Section::Authority, "example.org.", Rtype::SOA, ttl, &data)
        }
        fn ns(self) -> Self {
            self.put(Section::Authority, "example.org.", Rtype::NS, 900, &wire("ns."))
        }
        fn rcode(mut self, rcode: Rcode) -> Self {
            self.reply.set_rcode(rcode);
            self
        }
        fn rrsig(self, inception: u32, expiration: u32) -> Self {
            let mut data = vec![0, 1, 13, 2, 0, 0, 1, 44];
            data.extend_from_slice(&expiration.to_be_bytes());
            data.extend_from_slice(&inception.to_be_bytes());
            data.extend_from_slice(&[0, 1, 0, 9]);
            self.put(Section::Answer, "www.example.org.", Rtype::RRSIG, 300, &data)
        }
        fn classify_reply(&self) -> Verdict {
            classify_reply(&self.query, &self.reply, || 1_000_000, &Config::default()).unwrap()
        }
        fn kept(&self) -> (AnswerKind, u32, Option<Partition>) {
            let verdict = self.classify_reply();
            (verdict.kind, verdict.ttl, verdict.partition)
        }
    }

    fn www() -> Case {
        ask("www.example.org.", Rtype::A, false)
    }

    const POSITIVE: Option<Partition> = Some(Partition::Success);
    const NEGATIVE: Option<Partition> = Some(Partition::Denial);

    #[test]
    fn answers_live_as_long_as_their_shortest_record() {
        assert_eq!(www().a("www.example.org.", 300).kept(), (AnswerKind::Answer, 300, POSITIVE));
        let two = www().a("www.example.org.", 3000).ns();
        assert_eq!(two.kept(), (AnswerKind::Answer, 900, POSITIVE));
        assert_eq!(
            www().a("www.example.org.", 90_000).kept(),
            (AnswerKind::Answer, 3600, POSITIVE)
        );
        assert_eq!(www().a("www.example.org.", 0).kept(), (AnswerKind::Answer, 5, POSITIVE));
    }

    #[test]
    fn denials_need_a_soa() {
        let nx = || www().rcode(Rcode::NXDOMAIN);
        assert_eq!(nx().soa(300).kept(), (AnswerKind::NameError, 300, NEGATIVE));
        assert_eq!(nx().soa(3000).kept(), (AnswerKind::NameError, 1800, NEGATIVE));
        assert_eq!(nx().kept(), (AnswerKind::NameError, 5, None));
        assert_eq!(www().soa(300).kept(), (AnswerKind::NoData, 300, NEGATIVE));
        let alias = www().cname("www.example.org.", "gone.").rcode(Rcode::NXDOMAIN);
        assert_eq!(alias.soa(60).kept(), (AnswerKind::NameError, 60, NEGATIVE));
        let odd = www().a("www.example.org.", 60).rcode(Rcode::NXDOMAIN);
        assert_eq!(odd.soa(60).kept(), (AnswerKind::Other, 5, None));
    }

    #[test]
    fn replies_without_a_ttl_of_their_own() {
        assert_eq!(www().rcode(Rcode::NOERROR).kept(), (AnswerKind::Answer, 5, POSITIVE));
        assert_eq!(www().ns().kept(), (AnswerKind::Delegation, 5, POSITIVE));
        assert_eq!(www().rcode(Rcode::SERVFAIL).kept(), (AnswerKind::Failure, 5, NEGATIVE));
        assert_eq!(www().rcode(Rcode::NOTIMP).kept(), (AnswerKind::Failure, 5, NEGATIVE));
        assert_eq!(www().rcode(Rcode::REFUSED).kept(), (AnswerKind::Other, 5, None));
    }

    #[test]
    fn truncated_replies_are_not_kept() {
        let mut case = www().a("www.example.org.", 300);
        case.reply.truncated = true;
        assert_eq!(case.kept(), (AnswerKind::Answer, 300, None));
    }

    #[test]
    fn an_alias_must_lead_to_the_type_asked_for() {
        let start = "www.example.org.";
        assert_eq!(www().cname(start, "b.").a("b.", 60).kept(), (AnswerKind::Answer, 60, POSITIVE));
        assert_eq!(www().a("b.", 60).cname(start, "b.").kept(), (AnswerKind::Answer, 60, POSITIVE));
        assert_eq!(www().cname(start, "b.").kept(), (AnswerKind::Answer, 300, None));
        assert_eq!(www().cname(start, "b.").soa(60).kept(), (AnswerKind::NoData, 60, NEGATIVE));
        assert_eq!(www().cname(start, "b.").a("c.", 60).kept(), (AnswerKind::Answer, 60, None));
        let twice = www().cname(start, "b.").cname(start, "c.").a("b.", 60);
        assert_eq!(twice.kept(), (AnswerKind::Answer, 60, None));
        let same = www().cname(start, "b.").cname(start, "B.").a("b.", 60);
        assert_eq!(same.kept(), (AnswerKind::Answer, 60, POSITIVE));
        let looped = www().cname(start, "b.").cname("b.", start).a("b.", 60);
        assert_eq!(looped.kept(), (AnswerKind::Answer, 60, None));
        let asked = ask(start, Rtype::CNAME, false).cname(start, "b.");
        assert_eq!(asked.kept(), (AnswerKind::Answer, 300, POSITIVE));
        let any = ask(start, Rtype::ANY, false).cname(start, "b.");
        assert_eq!(any.kept(), (AnswerKind::Answer, 300, POSITIVE));
    }

    #[test]
    fn long_chains_end() {
        let mut case = ask("n0.", Rtype::A, false);
        for n in 0..40 {
            case = case.cname(&format!("n{n}."), &format!("n{}.", n + 1));
        }
        assert_eq!(case.a("n40.", 60).classify_reply().partition, None);
    }

    #[test]
    fn signatures_bound_the_lifetime() {
        let signed = |from, to| {
            ask("www.example.org.", Rtype::A, true).a("www.example.org.", 300).rrsig(from, to)
        };
        assert_eq!(signed(0, 2_000_000).kept(), (AnswerKind::Answer, 300, POSITIVE));
        assert_eq!(signed(0, 1_000_100).kept(), (AnswerKind::Answer, 100, POSITIVE));
        assert_eq!(signed(0, 999_999).kept(), (AnswerKind::Other, 5, None));
        assert_eq!(signed(1_000_001, 2_000_000).kept(), (AnswerKind::Other, 5, None));
        let unasked = www().a("www.example.org.", 300).rrsig(0, 999_999);
        assert_eq!(unasked.kept(), (AnswerKind::Answer, 300, POSITIVE), "without DO nobody checks");
    }

    #[test]
    fn the_maximum_wins_over_the_minimum() {
        let mut config = Config::default();
        config.success.min_ttl = 100;
        config.success.max_ttl = 50;
        let case = www().a("www.example.org.", 10);
        let verdict = classify_reply(&case.query, &case.reply, || 0, &config).unwrap();
        assert_eq!(verdict.ttl, 50);
    }

    #[test]
    fn names_written_out_are_seen() {
        let mut case = www().a("www.example.org.", 60);
        assert!(!case.classify_reply().uncompressed);
        let record = [wire("WWW.example.org."), vec![0, 1, 0, 1, 0, 0, 0, 9, 0, 0]].concat();
        case.reply.push_raw(Section::Answer, &[], &record, 1, record.len());
        assert!(case.classify_reply().uncompressed);
    }

    #[test]
    fn disabled_zones_are_only_clamped() {
        let mut config = Config::default();
        config.success.disabled = chain::ZoneSet::new([Name::from_text("example.org.").unwrap()]);
        let case = www().a("www.example.org.", 90_000);
        let verdict = classify_reply(&case.query, &case.reply, || 0, &config).unwrap();
        assert_eq!((verdict.ttl, verdict.partition), (3600, None));
    }
}
