//! What several servers say to one question: what counts, and who is alone with it.

use hickory_server::proto::rr::RecordType;

use crate::ask::{Question, Record, Reply};

pub(crate) const ORIGIN: &str = "example.org.";

/// The part of a reply that no server may choose, and the part that it may.
pub(crate) struct Judged {
    pub(crate) required: Reply,
    pub(crate) optional: Vec<Record>,
}

/// Splits a reply. Optional are the apex NS set behind an answer, and of the additional section all
/// but the addresses without which a referral cannot be followed. The SOA record of a negative answer
/// and its signature may have any TTL: the others lower it to the SOA's last field (RFC 2308
/// section 3), here it stays, as in CoreDNS, and a resolver takes the lower of the two itself.
pub(crate) fn judge(mut reply: Reply) -> Judged {
    let mut optional = Vec::new();
    for record in reply.authority.iter_mut().filter(|record| record.covers == "SOA") {
        record.ttl = 0;
    }
    let answered = !reply.answer.is_empty() && !reply.authority.iter().any(|r| r.rtype == "SOA");
    if reply.authoritative && answered {
        let apex = |record: &mut Record| record.owner == ORIGIN && record.covers == "NS";
        optional.extend(reply.authority.extract_if(.., apex));
    }
    let cuts: Vec<Record> = reply.authority.iter().filter(|r| r.rtype == "NS").cloned().collect();
    let is_glue = |record: &mut Record| {
        matches!(record.rtype.as_str(), "A" | "AAAA")
            && cuts
                .iter()
                .any(|cut| cut.rdata == record.owner && is_under(&record.owner, &cut.owner))
    };
    let glue = reply.additional.extract_if(.., is_glue).collect();
    optional.append(&mut reply.additional);
    optional.sort();
    reply.additional = glue;
    Judged { required: reply, optional }
}

fn is_under(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|head| head.ends_with('.'))
}

/// Where we side with the few.
struct Exception {
    /// Names below this one.
    below: &'static str,
    with: &'static str,
}

const EXCEPTIONS: [Exception; 1] = [
    // RFC 4035 section 3.1.3.4: a name that matches a wildcard without the type is answered with the
    // NSEC of the wildcard too. knotd and named leave it out if that is an empty non-terminal.
    Exception { below: ".star.example.org.", with: "nsd" },
];

/// Ours must be what most of the others say, or what one of them says if all differ; else the
/// difference in lines.
pub(crate) fn vote(
    question: &Question,
    ours: &Reply,
    others: &[(&str, &Reply)],
) -> Result<(), String> {
    if question.rtype != RecordType::ANY {
        return vote_on_all(question, ours, others);
    }
    // RFC 8482 section 4.1: knotd and nsd pick one set of the name, named gives all of them. Ours
    // are those of named, and what the others picked is among them. Behind a DNAME named looks no
    // further, against RFC 6672 section 3.2, and has no vote.
    let redirected = ours.answer.iter().any(|record| record.rtype == "DNAME");
    let others = others.iter().filter(|(name, _)| *name != "named" || !redirected);
    for &(name, other) in others.clone() {
        let missing = other.answer.iter().any(|record| !ours.answer.contains(record));
        if missing || (name == "named" && other.answer != ours.answer) {
            return vote_on_all(question, ours, &[(name, other)]);
        }
    }
    let alike = |other: &Reply| Reply { answer: ours.answer.clone(), ..other.clone() };
    let others: Vec<_> = others.map(|(name, reply)| (*name, alike(reply))).collect();
    let others: Vec<_> = others.iter().map(|(name, reply)| (*name, reply)).collect();
    vote_on_all(question, ours, &others)
}

/// The vote on whole replies.
fn vote_on_all(question: &Question, ours: &Reply, others: &[(&str, &Reply)]) -> Result<(), String> {
    let agree = |reply: &Reply| others.iter().filter(|(_, other)| *other == reply).count();
    let most = others.iter().map(|(_, reply)| agree(reply)).max().unwrap_or_default();
    let excepted = EXCEPTIONS.iter().any(|exception| {
        question.name.ends_with(exception.below) && others.contains(&(exception.with, ours))
    });
    if agree(ours) == most || excepted {
        return Ok(());
    }
    let (_, expected) = others.iter().find(|(_, reply)| agree(reply) == most).unwrap();
    let names = |wanted: bool| {
        let names = others.iter().filter(|(_, reply)| (reply == expected) == wanted);
        names.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let (ours, theirs) = (ours.lines(), expected.lines());
    let mut lines = vec![format!("> {question}")];
    lines.push(format!("  - what {} say (not: {}), + what we say", names(true), names(false)));
    let sign = |line: &String| if ours.contains(line) { ' ' } else { '-' };
    lines.extend(theirs.iter().map(|line| format!("  {} {line}", sign(line))));
    lines.extend(
        ours.iter().filter(|line| !theirs.contains(line)).map(|line| format!("  + {line}")),
    );
    Err(lines.join("\n"))
}
