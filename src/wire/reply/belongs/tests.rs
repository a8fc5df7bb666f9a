//! Records that belong, and records that do not.

use super::*;
use crate::{Name, NewRecord, Rdata, Request};

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

fn question(text: &str) -> Request {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&wire(text));
    bytes.extend_from_slice(&[0, 1, 0, 1]);
    let mut query = Request::new();
    query.receive(&bytes).unwrap();
    query
}

/// A record as `section owner TYPE [name]`; the name goes behind what the type has before it.
fn push(reply: &mut Reply, text: &str) {
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap();
    let section = match next() {
        "an" => Section::Answer,
        "ns" => Section::Authority,
        _ => Section::Additional,
    };
    let owner = wire(next());
    let kind = next();
    let (rtype, mut rdata) = match kind.split_once('/') {
        // A signature of this type, by the name that follows.
        Some(("RRSIG", covered)) => {
            let covered = Rtype::from_text(covered).unwrap();
            let mut rdata = vec![0; 18];
            rdata[..2].copy_from_slice(&covered.0.to_be_bytes());
            (Rtype::RRSIG, rdata)
        }
        _ => (Rtype::from_text(kind).unwrap(), Vec::new()),
    };
    match rtype {
        Rtype::A => rdata.extend([192, 0, 2, 1]),
        Rtype::MX | Rtype::HTTPS => rdata.extend([0, 1]),
        Rtype::SRV => rdata.extend([0; 6]),
        _ => {}
    }
    if let Some(name) = words.next() {
        rdata.extend(wire(name));
    }
    match rtype {
        Rtype::SOA => rdata.extend([&[0][..], &[0; 20]].concat()),
        Rtype::NSEC => rdata.extend([0, 1, 0x40]),
        Rtype::NSEC3 | Rtype::TXT => rdata.extend([1, 0]),
        _ => {}
    }
    reply.push(section, NewRecord::new(&owner, 60, Rdata::Other(rtype, &rdata)));
}

/// The records that are dropped from a reply to `www.example.org. A`.
fn dropped(records: &[&str]) -> Vec<String> {
    let query = question("www.example.org.");
    let write = |records: &[&str]| {
        let mut reply = Reply::new();
        reply.begin(&query);
        records.iter().for_each(|record| push(&mut reply, record));
        reply
    };
    let mut reply = write(records);
    let before = reply.bytes().to_vec();
    let count = reply.keep_what_belongs();
    if count == 0 {
        assert_eq!(reply.bytes(), before, "nothing is touched");
        return Vec::new();
    }
    // What is left is what is there without some of them: find which.
    let mut gone = Vec::new();
    let mut left: Vec<&str> = Vec::new();
    let lines = show(&reply);
    for record in records {
        let one = show(&write(&[record]));
        if lines.contains(&one[0]) {
            left.push(record);
        } else {
            gone.push((*record).to_owned());
        }
    }
    assert_eq!(gone.len(), count);
    assert_eq!(reply.bytes(), write(&left).bytes(), "the order stays");
    gone
}

fn show(reply: &Reply) -> Vec<(Section, Vec<u8>, Rtype, Vec<u8>)> {
    let mut owner = NameBuf::new();
    reply
        .records()
        .map(|record| {
            let record = record.unwrap();
            record.owner(&mut owner).unwrap();
            let mut rdata = Vec::new();
            rdata::expand(record.rtype, record.message, record.rdata_at, record.end, &mut rdata)
                .unwrap();
            (record.section, owner.as_wire().to_vec(), record.rtype, rdata)
        })
        .collect()
}

#[test]
fn what_belongs_stays() {
    let cases: &[&[&str]] = &[
        &[],
        &["an www.example.org. A"],
        &["an WWW.Example.ORG. A"],
        // An alias and what it leads to, in any order.
        &["an www.example.org. CNAME a.example.net.", "an a.example.net. A"],
        &["an a.example.net. A", "an www.example.org. CNAME a.example.net."],
        &[
            "an b.example. A",
            "an a.example. CNAME b.example.",
            "an www.example.org. CNAME a.example.",
        ],
        &[
            "an example.org. DNAME example.net.",
            "an example.org. RRSIG/DNAME example.org.",
            "an www.example.org. CNAME www.example.net.",
            "an www.example.net. A",
        ],
        &["an example.org. DNAME example.net.", "an www.example.net. A"],
        &["an www.example.org. CNAME www.example.org."],
        // Denials, referrals, the zone of an alias's end.
        &["ns example.org. SOA ns.example.org."],
        &["ns . SOA a.root-servers.net."],
        &["ns org. NS a.org.", "ar a.org. A"],
        &[
            "an www.example.org. CNAME a.example.net.",
            "ns example.net. SOA ns.example.net.",
            "ns example.net. RRSIG/SOA example.net.",
            "ns z.example.net. NSEC a.example.net.",
            "ns z.example.net. RRSIG/NSEC example.net.",
        ],
        // A referral without DS, and an answer of a wildcard.
        &[
            "ns example.org. NS ns.example.net.",
            "ns hash.org. NSEC3",
            "ns hash.org. RRSIG/NSEC3 org.",
        ],
        &[
            "an www.example.org. A",
            "an www.example.org. RRSIG/A example.org.",
            "ns z.example.org. NSEC a.example.org.",
        ],
        // What records point to.
        &[
            "an www.example.org. MX mail.example.net.",
            "ns example.org. NS ns.example.com.",
            "ar mail.example.net. A",
            "ar mail.example.net. RRSIG/A example.net.",
            "ar ns.example.com. A",
            "ar www.example.org. A",
        ],
        &["an www.example.org. HTTPS svc.example.net.", "ar svc.example.net. A"],
        &[
            "an www.example.org. PTR printer.example.org.",
            "ar printer.example.org. SRV host.example.org.",
            "ar printer.example.org. TXT",
            "ar host.example.org. A",
        ],
    ];
    for records in cases {
        assert_eq!(dropped(records), Vec::<String>::new(), "{records:?}");
    }
}

#[test]
fn what_does_not_belong_goes() {
    let cases: &[(&[&str], usize)] = &[
        // Another name, beside, below and above.
        (&["an www.example.org. A", "an mail.example.org. A"], 1),
        (&["an www.example.org. A", "an a.www.example.org. A"], 1),
        (&["an www.example.org. A", "an example.org. A"], 1),
        (&["an bank.example. A"], 0),
        // An alias that nothing leads to, and where it leads.
        (&["an www.example.org. A", "an x.example. CNAME y.example.", "an y.example. A"], 1),
        (&["an example.net. DNAME example.org.", "an www.example.org. A"], 0),
        // DNAME does not rewrite its owner.
        (&["an www.example.org. DNAME example.net.", "an example.net. A"], 1),
        // Authorities of somebody else.
        (&["an www.example.org. A", "ns example.net. NS ns.example.net."], 1),
        (&["ns example.org. SOA ns.example.org.", "ns bank.example. SOA ns.evil.example."], 1),
        (&["ns a.www.example.org. NS ns.example.org."], 0),
        // A proof of no zone that anybody speaks of.
        (&["an www.example.org. A", "ns a.example.net. NSEC b.example.net."], 1),
        // Signed by somebody who is not above.
        (&["an www.example.org. A", "ns a.evil. NSEC b.evil.", "ns a.evil. RRSIG/NSEC evil."], 1),
        // Addresses that nobody points to.
        (&["an www.example.org. A", "ar bank.example. A"], 1),
        (&["an www.example.org. MX mail.example.net.", "ar bank.example. A"], 1),
        (&["ns example.org. SOA ns.example.org.", "ar ns.example.org. A"], 1),
    ];
    for (records, kept) in cases {
        let expected: Vec<String> = match *kept {
            0 => records.iter().filter(|one| !one.contains(" www.example.org. A")).collect(),
            kept => records[kept..].iter().collect::<Vec<_>>(),
        }
        .into_iter()
        .map(|one| (*one).to_owned())
        .collect();
        assert_eq!(dropped(records), expected, "{records:?}");
    }
}

#[test]
fn a_long_chain_costs_little() {
    let query = question("www.example.org.");
    let mut reply = Reply::new();
    reply.begin(&query);
    let name = |at: usize| if at == 0 { "www.example.org.".to_owned() } else { format!("n{at}.") };
    // Backwards, so that the first record is the last to be reached.
    for at in (0..20).rev() {
        push(&mut reply, &format!("an {} CNAME {}", name(at), name(at + 1)));
    }
    let records = 5000;
    for at in 0..records {
        push(&mut reply, &format!("ar x{at}. A"));
    }
    let total: usize = reply.counts.iter().map(|&count| usize::from(count)).sum();
    assert!(total > 3000 && reply.truncated, "a full message: {total}");
    assert_eq!(reply.keep_what_belongs(), total - 20);
    assert_eq!(reply.count(Section::Answer), 20);
}

#[test]
fn what_is_left_belongs() {
    let names = [
        "www.example.org.",
        "example.org.",
        "a.example.net.",
        "example.net.",
        ".",
        "b.www.example.org.",
    ];
    let kinds = ["A", "CNAME", "DNAME", "NS", "SOA", "NSEC", "RRSIG/NSEC", "MX", "RRSIG/DNAME"];
    // Any sequence that does not repeat soon; this one is the same each time.
    let mut state = 1u64;
    let mut any = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..2000 {
        let mut reply = Reply::new();
        reply.begin(&question("www.example.org."));
        for section in ["an", "ns", "ar"] {
            for _ in 0..any(8) {
                let kind = any(kinds.len());
                let target = if kind == 0 { "" } else { names[any(names.len())] };
                let owner = names[any(names.len())];
                let record = format!("{section} {owner} {} {target}", kinds[kind]);
                push(&mut reply, record.trim_end());
            }
        }
        let count = |reply: &Reply| reply.counts.iter().map(|&one| usize::from(one)).sum();
        let before: usize = count(&reply);
        let gone = reply.keep_what_belongs();
        assert_eq!(before - gone, count(&reply));
        let bytes = reply.bytes().to_vec();
        assert_eq!(reply.keep_what_belongs(), 0, "what is left belongs");
        assert_eq!(reply.bytes(), bytes);
    }
}
