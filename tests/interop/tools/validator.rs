//! unbound validates what we serve: every answer must have its signatures, and every denial a proof
//! that another program follows from the key down.

use std::path::Path;

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question, Record, Reply};
use crate::authority::questions;
use crate::compare::ORIGIN;
use crate::kit::Server;
use crate::nameservers::serve;
use crate::peer::{Peer, Recipe};
use crate::signing::Denial;

#[test]
fn nsec_is_valid() {
    validate(Denial::Nsec);
}

#[test]
fn nsec3_is_valid() {
    validate(Denial::Nsec3);
}

#[test]
fn nsec3_with_opt_out_is_valid() {
    validate(Denial::OptOut);
}

/// An unbound that knows the zone's key and asks us for the zone, and for each question anew as far
/// as it can be told to.
fn unbound(ours: &Server) -> Peer {
    let (serves, files) = (ours.port, ours.scratch.path().display());
    let recipe = |directory: &Path, port: u16| {
        let config = format!(
            "server:\n  interface: 127.0.0.1@{port}\n  num-threads: 1\n  username: \"\"\n  chroot: \
             \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  \
             module-config: \"validator iterator\"\n  trust-anchor-file: \"{files}/key-signing.key\"\n  \
             do-not-query-localhost: no\n  qname-minimisation: no\n  aggressive-nsec: no\n  \
             harden-below-nxdomain: no\n  val-log-level: 2\nremote-control:\n  control-enable: \
             no\nstub-zone:\n  name: {ORIGIN}\n  stub-addr: 127.0.0.1@{serves}\n",
            directory.display()
        );
        Recipe { program: "unbound", package: "unbound", config, arguments: &["-d", "-c"] }
    };
    Peer::start(recipe, &Question::new(ORIGIN, RecordType::SOA))
}

fn validate(denial: Denial) {
    let ours = serve(denial);
    let unbound = unbound(&ours);
    let (direct, validator) = (Client::new(ours.port), Client::new(unbound.port));
    let mut wrong = Vec::new();
    let mut asked = 0;
    for question in questions().into_iter().map(Question::dnssec) {
        let said = direct.ask(&question);
        if !ends_here(&question, &said) {
            continue;
        }
        asked += 1;
        let judged = validator.ask(&question);
        // A name in an opt-out span may exist unsigned: its absence, which an answer from a wildcard
        // rests on too, is not secure, only not bogus.
        let absence = said.authority.iter().any(|record| record.rtype == "NSEC3");
        let secure = judged.authentic || denial == Denial::OptOut && absence;
        if judged.rcode != said.rcode || !secure {
            let rcode = judged.lines().swap_remove(0);
            wrong.push(format!("> {question}\n  {rcode}\n    {}", said.lines().join("\n    ")));
        }
    }
    assert!(asked > 1000);
    let (count, why) = (wrong.len(), unbound.said());
    assert!(count == 0, "{count} of {asked} are not valid:\n{}\n{why}", wrong.join("\n"));
}

/// Whether a resolver needs nobody but the zone for the answer. Signatures have none of their own,
/// what stands beside an alias it may look for at the target, and it goes on behind a redirection
/// even if asked for one, for an alias, or for all there is.
fn ends_here(question: &Question, said: &Reply) -> bool {
    let wanted = question.rtype.to_string();
    let has = |records: &[Record], rtype: &str| records.iter().any(|r| r.rtype == rtype);
    let redirected = has(&said.answer, "DNAME") && has(&said.answer, "CNAME");
    let redirected = redirected && ["ANY", "CNAME", "DNAME"].contains(&wanted.as_str());
    let referral = said.authority.iter().any(|r| r.rtype == "NS" && r.owner != ORIGIN);
    let to_apex = said.answer.iter().any(|record| record.rdata == ORIGIN);
    let of_parent = wanted == "DS" && (question.name == ORIGIN || to_apex);
    let ended = has(&said.authority, "SOA") || has(&said.answer, &wanted);
    // It answers FORMERR to MAILB itself.
    let taken = question.rtype != RecordType::Unknown(253);
    taken
        && ended
        && !redirected
        && !referral
        && !of_parent
        && !["RRSIG", "NSEC"].contains(&wanted.as_str())
}
