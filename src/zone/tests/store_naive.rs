//! The store against a reference that is slow and plain: a sorted map of names and the words of
//! RFC 1034 section 4.3.2, RFC 4592 and RFC 6672, on random small zones.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use std::collections::BTreeMap;

use catena_zone::{Builder, Outcome, RecordRef};
use proptest::prelude::*;
use store_kit::{Record, ask, same, show};
use wire::{Class, Name, Rcode, Rtype};

type Labels = Vec<String>;

/// A zone as a map from labels (from the apex down) to types to RDATA.
#[derive(Clone, Debug, Default)]
struct Naive {
    names: BTreeMap<Labels, BTreeMap<Rtype, Vec<Vec<u8>>>>,
}

const APEX: &str = "zone.test.";

fn full(labels: &[String]) -> Name {
    let mut text: String = labels.iter().rev().map(|label| format!("{label}.")).collect();
    text.push_str(APEX);
    Name::from_text(&text).unwrap()
}

fn labels_of(name: &Name) -> Option<Labels> {
    let apex = Name::from_text(APEX).unwrap();
    if !name.is_under(&apex) {
        return None;
    }
    let mut all: Labels =
        name.labels().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
    all.truncate(all.len() - 2);
    all.reverse();
    Some(all)
}

enum Step {
    Exact(Labels),
    Wild(Labels),
    Cut(Labels),
    Dname(Labels),
    Missing,
}

#[derive(Default)]
struct Reply {
    /// Aliases without end: how far to go is a matter of taste.
    endless: bool,
    rcode: Rcode,
    aa: bool,
    answer: Vec<Record>,
    authority: Vec<Record>,
    external: bool,
}

impl Naive {
    fn exists(&self, name: &[String]) -> bool {
        self.names.keys().any(|key| key.starts_with(name))
    }

    fn has(&self, name: &[String], rtype: Rtype) -> bool {
        self.names.get(name).is_some_and(|types| types.contains_key(&rtype))
    }

    fn records(&self, at: &[String], owner: &Name, rtype: Rtype) -> Vec<Record> {
        let sets = self.names.get(at).and_then(|types| types.get(&rtype));
        sets.into_iter()
            .flatten()
            .map(|data| {
                let data = store_kit::fold(rtype, data.clone());
                (owner.to_lower().to_string(), rtype, 300, data)
            })
            .collect()
    }

    fn step(&self, name: &[String], qtype: Rtype) -> Step {
        for len in 0..=name.len() {
            let above = &name[..len];
            if len > 0 && self.has(above, Rtype::NS) && !(len == name.len() && qtype == Rtype::DS) {
                return Step::Cut(above.to_vec());
            }
            if len < name.len() && self.has(above, Rtype::DNAME) {
                return Step::Dname(above.to_vec());
            }
        }
        if self.exists(name) {
            return Step::Exact(name.to_vec());
        }
        let mut encloser = name.to_vec();
        while !self.exists(&encloser) {
            encloser.pop();
        }
        encloser.push("*".into());
        if self.exists(&encloser) { Step::Wild(encloser) } else { Step::Missing }
    }

    fn answer(&self, qname: &Name, qtype: Rtype) -> Reply {
        let mut reply = Reply {
            rcode: Rcode::NOERROR,
            aa: true,
            answer: Vec::new(),
            authority: Vec::new(),
            ..Reply::default()
        };
        let apex = full(&[]);
        let ns = self.records(&[], &apex, Rtype::NS);
        let soa = self.records(&[], &apex, Rtype::SOA);
        let mut seen = Vec::new();
        let mut name = qname.to_lower();
        let mut dnames = Vec::new();
        let mut growing = 0;
        loop {
            if growing > 5 || seen.len() > 20 {
                reply.endless = true;
                return reply;
            }
            let Some(labels) = labels_of(&name) else {
                reply.external = true;
                reply.authority = ns;
                return reply;
            };
            if seen.contains(&name) {
                reply.authority = ns;
                return reply;
            }
            seen.push(name.clone());
            let at = match self.step(&labels, qtype) {
                Step::Cut(cut) => {
                    reply.aa = !reply.answer.is_empty();
                    reply.authority = self.records(&cut, &full(&cut), Rtype::NS);
                    return reply;
                }
                Step::Missing => {
                    reply.rcode = Rcode::NXDOMAIN;
                    reply.authority = soa;
                    return reply;
                }
                Step::Dname(owner) => {
                    let found = self.records(&owner, &full(&owner), Rtype::DNAME);
                    let target = Name::from_wire(&found[0].3).unwrap();
                    if !dnames.contains(&owner) {
                        reply.answer.extend(found);
                        dnames.push(owner.clone());
                    }
                    let mut text: String =
                        labels[owner.len()..].iter().rev().map(|l| format!("{l}.")).collect();
                    text.push_str(&target.to_string());
                    let target = Name::from_text(&text).unwrap();
                    growing += usize::from(target.as_wire().len() > name.as_wire().len());
                    let data = target.as_wire().to_vec();
                    reply.answer.push((name.to_string(), Rtype::CNAME, 300, data));
                    if qtype == Rtype::CNAME {
                        reply.authority = ns;
                        return reply;
                    }
                    name = target;
                    continue;
                }
                Step::Exact(at) | Step::Wild(at) => at,
            };
            if qtype == Rtype::ANY && self.names.contains_key(&at) {
                let types = self.names[&at].keys();
                let repeated = |rtype| rtype == Rtype::DNAME && dnames.contains(&at);
                for &rtype in types.filter(|&&rtype| !repeated(rtype)) {
                    reply.answer.extend(self.records(&at, &name, rtype));
                }
                reply.authority = if at.is_empty() { Vec::new() } else { ns };
                return reply;
            }
            if self.has(&at, qtype) {
                let repeated = qtype == Rtype::DNAME && dnames.contains(&at);
                if !repeated {
                    reply.answer.extend(self.records(&at, &name, qtype));
                }
                let apex_ns = qtype == Rtype::NS && at.is_empty();
                reply.authority = if apex_ns { Vec::new() } else { ns };
                return reply;
            }
            let alias = self.records(&at, &name, Rtype::CNAME);
            let Some(first) = alias.first() else {
                reply.authority = soa;
                return reply;
            };
            name = Name::from_wire(&first.3).unwrap();
            reply.answer.extend(alias);
        }
    }
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("a"), 3 => Just("b"), 2 => Just("c"), 2 => Just("*")]
        .prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(label(), 0..4)
}

fn target() -> impl Strategy<Value = Name> {
    prop_oneof![
        6 => labels().prop_map(|labels| full(&labels)),
        1 => Just(Name::from_text("else.where.").unwrap()),
    ]
}

#[derive(Clone, Debug)]
enum Data {
    A(u8),
    Txt(u8),
    Mx(Name),
    Cname(Name),
    Dname(Name),
    Ns(Name),
    Ds,
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        4 => any::<u8>().prop_map(Data::A),
        2 => any::<u8>().prop_map(Data::Txt),
        2 => target().prop_map(Data::Mx),
        3 => target().prop_map(Data::Cname),
        1 => target().prop_map(Data::Dname),
        2 => target().prop_map(Data::Ns),
        1 => Just(Data::Ds),
    ]
}

impl Data {
    fn wire(&self) -> (Rtype, Vec<u8>) {
        match self {
            Self::A(last) => (Rtype::A, vec![192, 0, 2, *last]),
            Self::Txt(text) => (Rtype::TXT, vec![1, *text]),
            Self::Mx(name) => (Rtype::MX, [&[0, 10], name.as_wire()].concat()),
            Self::Cname(name) => (Rtype::CNAME, name.as_wire().to_vec()),
            Self::Dname(name) => (Rtype::DNAME, name.as_wire().to_vec()),
            Self::Ns(name) => (Rtype::NS, name.as_wire().to_vec()),
            Self::Ds => (Rtype::DS, vec![1; 24]),
        }
    }
}

/// Adds a record unless the zone could not be loaded with it.
fn add(naive: &mut Naive, owner: &Labels, data: &Data) -> bool {
    let (rtype, wire) = data.wire();
    let types = naive.names.entry(owner.clone()).or_default();
    let alone = |rtype| rtype == Rtype::CNAME;
    let taken = types.keys().any(|&other| other != rtype && (alone(other) || alone(rtype)));
    let single = matches!(rtype, Rtype::CNAME | Rtype::DNAME) && types.contains_key(&rtype);
    // A DNAME that leads to itself or below makes names without end; the bounds differ.
    let endless = match data {
        Data::Dname(target) => labels_of(target).is_some_and(|to| to.starts_with(owner)),
        _ => false,
    };
    if taken || single || endless {
        if types.is_empty() {
            naive.names.remove(owner);
        }
        return false;
    }
    let set = types.entry(rtype).or_default();
    let folded = store_kit::fold(rtype, wire.clone());
    if !set.iter().any(|known| store_kit::fold(rtype, known.clone()) == folded) {
        set.push(wire);
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_the_reference(
        records in prop::collection::vec((labels(), data()), 0..14),
        queries in prop::collection::vec((labels(), 0usize..8), 24),
    ) {
        let mut naive = Naive::default();
        let apex = full(&[]);
        let mut builder = Builder::new(&apex, 0);
        let mut push = |owner: &Labels, rtype: Rtype, rdata: &[u8]| {
            let owner = full(owner);
            builder
                .add(RecordRef { owner: owner.as_wire(), rtype, class: Class::IN, ttl: 300, rdata })
                .unwrap();
        };
        let soa = [&[0, 0][..], &[7; 20]].concat();
        push(&Vec::new(), Rtype::SOA, &soa);
        let types = naive.names.entry(Vec::new()).or_default();
        types.insert(Rtype::SOA, vec![soa]);
        let ns = Name::from_text("ns.zone.test.").unwrap();
        push(&Vec::new(), Rtype::NS, ns.as_wire());
        types.insert(Rtype::NS, vec![ns.as_wire().to_vec()]);
        for (owner, data) in &records {
            if owner.is_empty() && matches!(data, Data::Cname(_)) {
                continue;
            }
            if add(&mut naive, owner, data) {
                let (rtype, rdata) = data.wire();
                push(owner, rtype, &rdata);
            }
        }
        let unfit = |unfit| TestCaseError::fail(format!("{unfit:?}"));
        let zone = builder.finish().map_err(unfit)?;

        let mut count = 0;
        let mut walk = zone.records();
        while walk.next_record().is_some() {
            count += 1;
        }
        let expected: usize = naive.names.values().flat_map(|types| types.values()).map(Vec::len).sum();
        prop_assert_eq!(count, expected);
        prop_assert_eq!(zone.record_count(), expected);

        for (labels, qtype) in queries {
            let qtype = [
                Rtype::A, Rtype::TXT, Rtype::MX, Rtype::CNAME, Rtype::DNAME, Rtype::NS, Rtype::DS,
                Rtype::ANY,
            ][qtype];
            let qname = full(&labels);
            let want = naive.answer(&qname, qtype);
            if want.endless {
                continue;
            }
            let got = ask(&zone, &qname, qtype, false);
            let title = format!("{qname} {qtype} {:?}\n{:#?}", got.outcome, naive.names);
            prop_assert!(!matches!(got.outcome, Outcome::ServFail(_)), "{}", title);
            let external = matches!(got.outcome, Outcome::External { .. });
            prop_assert_eq!(external, want.external, "{}", title);
            prop_assert_eq!(got.rcode, want.rcode, "{}", title);
            prop_assert_eq!(got.aa, want.aa, "{}", title);
            for (got, want) in got.sections.iter().zip([&want.answer, &want.authority]) {
                prop_assert!(same(got, want, true), "{}\n got {:#?}\n want {:#?}", title, show(got), show(want));
            }
        }
    }
}
