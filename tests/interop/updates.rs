//! Updates by the real `nsupdate`, and by messages as external-dns and cert-manager send them; kills and
//! full disks.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tsig::Key;
use wire::{Class, Name, Rcode, Rtype};

use crate::kit::{self, CATENA, Scratch, Server, framed, free_port, question, read_framed};

const KEY: &str = "hmac-sha256:k.:i9M+00yrECfVZG2qCjr4mPpaGim/Bq+IWMiNrLjUO4Y=";
const SECRET: &str = "i9M+00yrECfVZG2qCjr4mPpaGim/Bq+IWMiNrLjUO4Y=";
const SEED: &str = "\
$TTL 300
@    SOA ns hostmaster 1 7200 3600 1209600 300
     NS  ns
     NS  ns2
ns   A   192.0.2.1
ns2  A   192.0.2.2
www  A   192.0.2.80
     A   192.0.2.81
deep.er TXT \"x\"
alias CNAME www
";

fn corefile(allow: &str) -> String {
    format!(
        "example.org {{\n  bind 127.0.0.1\n  tsig {{\n    secret k. {SECRET}\n    secret acme. {SECRET}\n  }}\n  \
         dynupdate {{\n    file seed\n    database db\n    {allow}\n    max_records 100000\n  }}\n}}\n"
    )
}

fn folder(allow: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("seed", SEED);
    scratch.write("Corefile", &corefile(allow));
    scratch
}

fn start(scratch: Scratch) -> Server {
    Server::start_in(scratch, free_port(), &["-conf", "Corefile"])
}

/// Kills the server as `kill -9` does, and leaves its directory.
fn kill(mut server: Server) -> Scratch {
    server.signal("KILL");
    server.wait();
    std::mem::replace(&mut server.scratch, Scratch::new())
}

/// Runs `nsupdate`; what it says of the reply, such as `NOERROR`.
fn nsupdate(server: &Server, arguments: &[&str], script: &str) -> String {
    let mut child = Command::new("nsupdate")
        .args(["-d", "-t", "10"])
        .args(arguments)
        .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate: install bind9-dnsutils, as `make need-peers` does");
    let script = format!("server 127.0.0.1 {}\nzone example.org.\n{script}\nsend\n", server.port);
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = kit::text(&output.stdout) + &kit::text(&output.stderr);
    let reply = said.split("Reply from update query:").nth(1);
    let status = reply.and_then(|reply| reply.split("status: ").nth(1));
    let status = status.and_then(|rest| rest.split(',').next());
    status.map_or_else(|| format!("no reply: {said}"), str::to_owned)
}

fn count(server: &Server, name: &str, rtype: Rtype) -> usize {
    server.ask(&question(9, name, rtype, &[])).answers()
}

#[test]
fn nsupdate_updates_with_a_key_and_not_without() {
    let server = start(folder("allow k. * *"));
    let signed = ["-y", KEY];
    let add = "update add new.example.org. 60 A 192.0.2.9";
    assert_eq!(nsupdate(&server, &[], add), "REFUSED");
    assert_eq!(nsupdate(&server, &["-y", &KEY.replace("i9M", "j9M")], add), "NOTAUTH");
    assert_eq!(count(&server, "new.example.org", Rtype::A), 0);
    assert_eq!(nsupdate(&server, &signed, add), "NOERROR");
    assert_eq!(
        nsupdate(&server, &["-v", "-y", KEY], "update add new.example.org. 60 A 192.0.2.10"),
        "NOERROR"
    );
    assert_eq!(count(&server, "new.example.org", Rtype::A), 2);
    // All forms of prerequisites, each holding and not.
    for (prerequisite, expected) in [
        ("yxdomain new.example.org.", "NOERROR"),
        ("yxdomain none.example.org.", "NXDOMAIN"),
        ("yxdomain er.example.org.", "NXDOMAIN"),
        ("nxdomain none.example.org.", "NOERROR"),
        ("nxdomain new.example.org.", "YXDOMAIN"),
        ("yxrrset www.example.org. A", "NOERROR"),
        ("yxrrset www.example.org. AAAA", "NXRRSET"),
        ("nxrrset www.example.org. AAAA", "NOERROR"),
        ("nxrrset www.example.org. A", "YXRRSET"),
        (
            "yxrrset www.example.org. A 192.0.2.81\nprereq yxrrset www.example.org. A 192.0.2.80",
            "NOERROR",
        ),
        ("yxrrset www.example.org. A 192.0.2.80", "NXRRSET"),
        ("yxrrset alias.example.org. CNAME WWW.example.org.", "NOERROR"),
        ("yxdomain example.net.", "NOTZONE"),
    ] {
        let script = format!("prereq {prerequisite}\nupdate add p.example.org. 60 TXT x");
        assert_eq!(nsupdate(&server, &signed, &script), expected, "{prerequisite}");
        let added = count(&server, "p.example.org", Rtype::TXT);
        assert_eq!(added, usize::from(expected == "NOERROR"), "{prerequisite}");
        nsupdate(&server, &signed, "update delete p.example.org.");
    }
    for (script, expected) in [
        ("update delete new.example.org. A 192.0.2.9", "NOERROR"),
        ("update delete www.example.org. A", "NOERROR"),
        ("update delete deep.er.example.org.", "NOERROR"),
        ("update add www.example.org. 60 CNAME ns.example.org.", "NOERROR"),
        ("update add alias.example.org. 60 TXT ignored", "NOERROR"),
        ("update delete example.org. SOA", "NOERROR"),
        ("update delete example.org. NS", "NOERROR"),
        ("update delete example.org. NS ns2.example.org.", "NOERROR"),
        ("update delete example.org. NS ns.example.org.", "NOERROR"),
        ("update add a.example.net. 60 A 192.0.2.1", "NOTZONE"),
    ] {
        assert_eq!(nsupdate(&server, &signed, script), expected, "{script}");
    }
    let counts = [
        ("new.example.org", Rtype::A, 1),
        ("www.example.org", Rtype::CNAME, 1),
        ("deep.er.example.org", Rtype::TXT, 0),
        ("alias.example.org", Rtype::CNAME, 1),
        ("example.org", Rtype::SOA, 1),
        ("example.org", Rtype::NS, 1),
    ];
    for (name, rtype, expected) in counts {
        assert_eq!(count(&server, name, rtype), expected, "{name} {rtype}");
    }
    // It is all there after a kill; the seed is not read again.
    let scratch = kill(server);
    scratch.write("seed", &SEED.replace("www", "other"));
    let server = Server::spawn(CATENA, scratch, free_port(), &["-conf", "Corefile"], &[]);
    let mut server = server;
    server.wait_for("catena-");
    for (name, rtype, expected) in counts {
        assert_eq!(count(&server, name, rtype), expected, "{name} {rtype}");
    }
    assert!(server.said().contains("is newer than the database"), "{}", server.said());
}

/// external-dns sends the deletions and additions of a plan as one message: a `delete RR` for each target
/// with its old TTL and class NONE, then the additions. cert-manager adds and removes one TXT record.
#[test]
fn the_messages_of_controllers_are_taken() {
    let server = start(folder(
        "allow k. * A TXT CNAME\n    allow acme. _acme-challenge.www.example.org. TXT",
    ));
    let external = |updates: &[Record<'_>]| send(&server, "k.", &[], updates);
    // Creation: the record, and the TXT record that marks its owner.
    let txt = b"\x38heritage=external-dns,external-dns/owner=default,resource";
    let txt = &[&[txt.len() as u8 - 1][..], &txt[1..]].concat();
    let create = [
        add("app.example.org.", Rtype::A, 0, &[192, 0, 2, 50]),
        add("a-app.example.org.", Rtype::TXT, 0, txt),
    ];
    assert_eq!(external(&create), Rcode::NOERROR);
    assert_eq!(external(&create), Rcode::NOERROR, "again, as it does after a restart");
    // Its deletion of a whole set, then of single records: miekg/dns `RemoveRRset` and `Remove`.
    let change = [
        Record { class: Class::NONE, ..add("app.example.org.", Rtype::A, 0, &[192, 0, 2, 50]) },
        add("app.example.org.", Rtype::A, 300, &[192, 0, 2, 51]),
        add("app.example.org.", Rtype::A, 300, &[192, 0, 2, 52]),
    ];
    assert_eq!(external(&change), Rcode::NOERROR);
    assert_eq!(count(&server, "app.example.org", Rtype::A), 2);
    let remove = [
        Record { class: Class::ANY, rdata: &[], ..add("app.example.org.", Rtype::A, 0, &[]) },
        Record { class: Class::ANY, rdata: &[], ..add("a-app.example.org.", Rtype::TXT, 0, &[]) },
    ];
    assert_eq!(external(&remove), Rcode::NOERROR);
    assert_eq!(count(&server, "app.example.org", Rtype::A), 0);

    let challenge = "_acme-challenge.www.example.org.";
    let token = [&[43][..], &[b'a'; 43]].concat();
    let acme = |record| send(&server, "acme.", &[], &[record]);
    assert_eq!(acme(add(challenge, Rtype::TXT, 60, &token)), Rcode::NOERROR);
    assert_eq!(count(&server, challenge, Rtype::TXT), 1);
    let none = Record { class: Class::NONE, ..add(challenge, Rtype::TXT, 0, &token) };
    assert_eq!(acme(none), Rcode::NOERROR);
    assert_eq!(count(&server, challenge, Rtype::TXT), 0);
    // What its key is not for.
    assert_eq!(acme(add("www.example.org.", Rtype::TXT, 60, &token)), Rcode::REFUSED);
    assert_eq!(acme(add(challenge, Rtype::A, 60, &[192, 0, 2, 1])), Rcode::REFUSED);
    let any = Record {
        class: Class::ANY,
        rtype: Rtype::ANY,
        rdata: &[],
        ..add(challenge, Rtype::ANY, 0, &[])
    };
    assert_eq!(acme(any), Rcode::REFUSED, "deleting all sets is a permission of its own");
}

/// A record of an UPDATE message.
#[derive(Clone, Copy)]
struct Record<'a> {
    owner: &'a str,
    rtype: Rtype,
    class: Class,
    ttl: u32,
    rdata: &'a [u8],
}

fn add<'a>(owner: &'a str, rtype: Rtype, ttl: u32, rdata: &'a [u8]) -> Record<'a> {
    Record { owner, rtype, class: Class::IN, ttl, rdata }
}

/// A signed UPDATE message.
fn message(key: &str, prerequisites: &[Record<'_>], updates: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [7, 5 << 11, 1, prerequisites.len() as u16, updates.len() as u16, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    let name = |text: &str| Name::from_text(text).unwrap().as_wire().to_vec();
    out.extend(name("example.org."));
    out.extend([0, 6, 0, 1]);
    for record in prerequisites.iter().chain(updates) {
        out.extend(name(record.owner));
        out.extend(record.rtype.0.to_be_bytes());
        out.extend(record.class.0.to_be_bytes());
        out.extend(record.ttl.to_be_bytes());
        out.extend((record.rdata.len() as u16).to_be_bytes());
        out.extend(record.rdata);
    }
    let key = Name::from_text(key).unwrap();
    let key = Arc::new(Key::from_base64(&key, tsig::Algorithm::Sha256, SECRET).unwrap());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    tsig::sign(&mut out, &key, now);
    out
}

fn send(server: &Server, key: &str, prerequisites: &[Record<'_>], updates: &[Record<'_>]) -> Rcode {
    Rcode(server.ask_tcp(&message(key, prerequisites, updates)).rcode())
}

/// Sends updates until the server is gone; the names that were confirmed. Each update adds two records.
fn add_names(
    mut stream: TcpStream,
    prefix: &str,
    stop: &AtomicBool,
    count: &AtomicU32,
) -> Vec<String> {
    let mut confirmed = Vec::new();
    for number in 0.. {
        let owner = format!("{prefix}-{number}.example.org.");
        let updates =
            [add(&owner, Rtype::A, 60, &[192, 0, 2, 7]), add(&owner, Rtype::TXT, 60, b"\x01x")];
        if stop.load(Ordering::Relaxed)
            || stream.write_all(&framed(&message("k.", &[], &updates))).is_err()
        {
            break;
        }
        let answer =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_framed(&mut stream)));
        match answer {
            Ok(answer) => assert_eq!(answer.rcode(), 0),
            // The connection broke.
            Err(_) => break,
        }
        confirmed.push(owner);
        count.fetch_add(1, Ordering::Relaxed);
    }
    confirmed
}

/// `CATENA_KILLS` is the number of kills: `make kills` makes 200.
#[test]
fn what_was_confirmed_survives_kills() {
    let kills: u32 = std::env::var("CATENA_KILLS").map_or(5, |text| text.parse().unwrap());
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.to_string();
        if !text.contains("UnexpectedEof") && !text.contains("ConnectionReset") {
            quiet(info);
        }
    }));
    let mut scratch = folder("allow k. * *");
    let mut confirmed: BTreeSet<String> = BTreeSet::new();
    let mut checked = 0;
    for round in 0..kills {
        let server = start(scratch);
        for name in confirmed.iter().rev().take(20) {
            assert_eq!(count(&server, name, Rtype::A), 1, "{name}");
        }
        let (stop, done) = (AtomicBool::new(false), AtomicU32::new(0));
        scratch = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (stream, stop, done) = (server.tcp(), &stop, &done);
                    let prefix = format!("r{round}-w{writer}");
                    scope.spawn(move || add_names(stream, &prefix, stop, done))
                })
                .collect();
            // Another moment in each round: before the first update is confirmed, and up to 40 later, at
            // some microseconds into the next sync.
            let began = Instant::now();
            while done.load(Ordering::Relaxed) < round % 40 && began.elapsed() < kit::PATIENCE {
                std::thread::yield_now();
            }
            let (reached, pause) =
                (Instant::now(), Duration::from_micros(u64::from(round) * 137 % 4000));
            while reached.elapsed() < pause {
                std::hint::spin_loop();
            }
            let scratch = kill(server);
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                confirmed.extend(writer.join().unwrap());
            }
            scratch
        });
        // The files as the next start will find them.
        let origin = Name::from_text("example.org.").unwrap();
        let (_, recovered) = journal::Journal::read(&scratch.path().join("db"), &origin).unwrap();
        let Some(zone) = recovered.zone else {
            assert!(confirmed.is_empty(), "nothing was confirmed before the database began");
            continue;
        };
        let mut seen = (BTreeSet::new(), BTreeSet::new());
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let owner = wire::name::Text(record.owner).to_string();
            match record.rtype {
                Rtype::A if owner.starts_with('r') => seen.0.insert(owner),
                Rtype::TXT if owner.starts_with('r') => seen.1.insert(owner),
                _ => false,
            };
        }
        assert_eq!(seen.0, seen.1, "an update is half there");
        let lost: Vec<_> = confirmed.difference(&seen.0).collect();
        assert!(lost.is_empty(), "confirmed, and lost in round {round}: {lost:?}");
        checked = seen.0.len();
    }
    println!("{kills} kills, {} updates confirmed, {checked} there", confirmed.len());
    assert!(!confirmed.is_empty(), "some were confirmed");
}

/// A limit on the size of files stands for a full disk: the journal cannot grow.
#[test]
fn a_full_disk_refuses_updates_and_serves() {
    let scratch = folder("allow k. * *");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -S -f 64\nexec '{CATENA}' \"$@\"\n");
    scratch.write("limited", &script);
    let program = scratch.path().join("limited");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut server =
        Server::spawn(program.to_str().unwrap(), scratch, free_port(), &["-conf", "Corefile"], &[]);
    server.wait_for("catena-");
    let text = [&[200][..], &[b'x'; 200]].concat();
    let try_add = |server: &Server, number: u32| {
        let owner = format!("f{number}.example.org.");
        let updates =
            [add(&owner, Rtype::TXT, 60, &text), add(&owner, Rtype::A, 60, &[192, 0, 2, 1])];
        send(server, "k.", &[], &updates)
    };
    let mut confirmed = 0;
    while try_add(&server, confirmed) == Rcode::NOERROR {
        confirmed += 1;
        assert!(confirmed < 1000, "the limit holds");
    }
    assert!(confirmed > 10, "{confirmed}");
    assert_eq!(try_add(&server, confirmed), Rcode::SERVFAIL);
    assert_eq!(count(&server, &format!("f{}.example.org", confirmed - 1), Rtype::TXT), 1);
    assert_eq!(count(&server, &format!("f{confirmed}.example.org"), Rtype::A), 0, "not half");
    says(&server, "its changes are refused until this works again");
    // With room again, the next update is taken.
    let id = server.id().to_string();
    let raised =
        Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status().unwrap();
    assert!(raised.success());
    assert_eq!(try_add(&server, confirmed), Rcode::NOERROR);
    says(&server, "its changes can be written again");
    let server = start(kill(server));
    for number in 0..=confirmed {
        let owner = format!("f{number}.example.org");
        assert_eq!(count(&server, &owner, Rtype::TXT), 1, "{owner}");
        assert_eq!(count(&server, &owner, Rtype::A), 1, "{owner}");
    }
}

/// The database wins, and the operator who has changed the file learns it from the reload.
#[test]
fn a_reload_warns_of_a_seed_that_is_newer_than_the_database() {
    let server = start(folder("allow k. * *"));
    let until = Instant::now() + kit::PATIENCE;
    while !server.scratch.path().join("db/example.org.snapshot").exists() {
        assert!(Instant::now() < until, "{}", server.said());
        std::thread::yield_now();
    }
    assert!(!server.said().contains("is newer than the database"));
    let seed = std::fs::File::options().write(true).open(server.scratch.path().join("seed"));
    seed.unwrap().set_modified(std::time::SystemTime::now() + Duration::from_secs(3600)).unwrap();
    server.signal("USR1");
    says(&server, "is newer than the database");
}

/// Waits until the server has logged this: the log is written beside the answers.
fn says(server: &Server, text: &str) {
    let until = Instant::now() + kit::PATIENCE;
    while !server.said().contains(text) {
        assert!(Instant::now() < until, "{text}: {}", server.said());
        std::thread::yield_now();
    }
}

/// Clients that race for one name by a prerequisite: one wins each time, and the serial counts them.
#[test]
fn updates_that_race_are_made_one_after_the_other() {
    let server = start(folder("allow k. * *"));
    let won: usize = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8u8)
            .map(|racer| {
                let server = &server;
                scope.spawn(move || {
                    (0..20)
                        .filter(|round| {
                            let owner = format!("race{round}.example.org.");
                            let free = Record {
                                class: Class::NONE,
                                rdata: &[],
                                ..add(&owner, Rtype::ANY, 0, &[])
                            };
                            let rdata = [192, 0, 2, racer];
                            let taken = [add(&owner, Rtype::A, 60, &rdata)];
                            match send(server, "k.", &[free], &taken) {
                                Rcode::NOERROR => true,
                                Rcode::YXDOMAIN => false,
                                other => panic!("{other}"),
                            }
                        })
                        .count()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(won, 20);
    for round in 0..20 {
        assert_eq!(count(&server, &format!("race{round}.example.org"), Rtype::A), 1);
    }
}
