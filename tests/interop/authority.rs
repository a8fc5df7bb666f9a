//! `file` beside knotd, nsd and named: the same zone, the same questions, and the answer of most.

use std::collections::BTreeSet;

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question, Record, Reply};
use crate::compare::{Judged, ORIGIN, judge, vote};
use crate::nameservers::Servers;
use crate::signing::{Denial, ZONE};

#[test]
fn unsigned_zone() {
    let servers = Servers::start(Denial::Unsigned);
    agree(&servers, questions());
    // Who asks for signatures gets no DS record either that none of them covers.
    agree(&servers, questions().into_iter().map(Question::dnssec).collect());
    truncate(&servers);
}

#[test]
fn zone_with_nsec() {
    agree(&Servers::start(Denial::Nsec), questions().into_iter().map(Question::dnssec).collect());
}

#[test]
fn zone_with_nsec3() {
    let servers = Servers::start(Denial::Nsec3);
    agree(&servers, questions().into_iter().map(Question::dnssec).collect());
    // Who does not ask for signatures gets none.
    agree(&servers, questions());
}

#[test]
fn zone_with_nsec3_and_opt_out() {
    agree(&Servers::start(Denial::OptOut), questions().into_iter().map(Question::dnssec).collect());
}

/// Every name of the zone and of its empty non-terminals.
fn names() -> BTreeSet<String> {
    let origin = wire::Name::from_text(ORIGIN).unwrap();
    let mut names = BTreeSet::new();
    let collect = &mut |record: zone::RecordRef<'_>| {
        let mut name = wire::Name::from_wire(record.owner).unwrap();
        while name.is_under(&origin) && names.insert(name.to_string()) {
            name = name.parent().unwrap();
        }
        Ok(())
    };
    zone::master::parse_text(ZONE, &zone::master::Options::new(&origin), collect).unwrap();
    names
}

/// Each name for many types, meta types among them, and names below it for a few.
pub(crate) fn questions() -> Vec<Question> {
    use RecordType::{
        A, AAAA, ANY, CNAME, DNSKEY, DS, KEY, MX, NS, NSEC, NSEC3, NSEC3PARAM, RRSIG, SOA, SRV,
        TXT, Unknown,
    };
    const DNAME: u16 = 39;
    const MAILB: u16 = 253;
    let types = [A, AAAA, MX, TXT, NS, SOA, CNAME, DS, SRV, NSEC, DNSKEY, NSEC3PARAM, RRSIG]
        .into_iter()
        .chain([ANY, KEY, NSEC3, RecordType::from(DNAME), Unknown(MAILB), Unknown(65_280)]);
    let mut questions = Vec::new();
    for name in names() {
        questions.extend(types.clone().map(|rtype| Question::new(&name, rtype)));
        for below in ["nx.", "*.", "a.b.c.", "HOST."] {
            let below = format!("{below}{name}");
            questions.extend([A, MX, CNAME, DS, NS, ANY].map(|rtype| Question::new(&below, rtype)));
        }
    }
    assert!(questions.len() > 2000);
    questions
}

/// Over UDP with all questions, without EDNS and over TCP with some, we say what most say; and what
/// we add to that is true.
fn agree(servers: &Servers, questions: Vec<Question>) {
    let plain: Vec<Question> = questions.iter().step_by(11).cloned().map(Question::plain).collect();
    let over_tcp: Vec<Question> = questions.iter().step_by(13).cloned().collect();
    let mut differences = compare(servers, &questions, Client::ask);
    differences.extend(compare(servers, &plain, Client::ask));
    differences.extend(compare(servers, &over_tcp, Client::ask_tcp));
    let (count, asked) = (differences.len(), questions.len() + plain.len() + over_tcp.len());
    assert!(count == 0, "{count} differences in {asked} answers:\n{}", differences.join("\n"));
}

/// Asks all servers at once; the differences.
fn compare(
    servers: &Servers,
    questions: &[Question],
    ask: fn(&Client, &Question) -> Reply,
) -> Vec<String> {
    let all = |port: u16| -> Vec<Judged> {
        let client = Client::new(port);
        questions.iter().map(|question| judge(ask(&client, question))).collect()
    };
    let (ours, others) = std::thread::scope(|scope| {
        let asked = servers.others.iter().map(|peer| scope.spawn(|| all(peer.port)));
        let asked: Vec<_> = asked.collect();
        let ours = all(servers.ours.port);
        (ours, asked.into_iter().map(|replies| replies.join().unwrap()).collect::<Vec<_>>())
    });
    let mut differences = Vec::new();
    let mut extras = BTreeSet::new();
    for (at, (question, ours)) in questions.iter().zip(ours).enumerate() {
        let said: Vec<(&str, &Reply)> = servers
            .others
            .iter()
            .zip(&others)
            .map(|(peer, replies)| (peer.name, &replies[at].required))
            .collect();
        differences.extend(vote(question, &ours.required, &said).err());
        if let Some(twice) = ours.optional.windows(2).find(|pair| pair[0] == pair[1]) {
            differences.push(format!("> {question}\n  we say twice: {}", twice[0]));
        }
        extras.extend(ours.optional);
    }
    differences.extend(untrue(servers, extras));
    differences
}

/// What a server may add must be what another one says when asked for it.
fn untrue(servers: &Servers, extras: BTreeSet<Record>) -> Vec<String> {
    let client = Client::new(servers.others[0].port);
    let known = |extra: &Record| {
        let question = Question::new(&extra.owner, extra.covers.parse().unwrap()).dnssec();
        let reply = client.ask(&question);
        reply.sections().iter().any(|(_, records)| records.contains(extra))
    };
    let untrue = extras.iter().filter(|extra| !known(extra));
    untrue.map(|extra| format!("  only we say: {extra}")).collect()
}

/// What does not fit is truncated by all.
fn truncate(servers: &Servers) {
    let big = Question::new("big.example.org.", RecordType::TXT);
    let ports = servers.others.iter().map(|peer| peer.port).chain([servers.ours.port]);
    for client in ports.map(Client::new) {
        for question in [big.clone(), big.clone().plain()] {
            let reply = client.ask_udp(&question);
            assert!(reply.truncated && reply.answer.len() < 7, "{:#?}", reply.lines());
        }
        assert_eq!(client.ask_tcp(&big).answer.len(), 7);
    }
}
