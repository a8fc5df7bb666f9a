//! The catalog zone that `transfer` makes, with knotd, named and Catena as consumers: members come, go and come
//! back, by IXFR and over a restart of the producer.

use std::path::Path;
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer::{self, Peer, Recipe};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";

/// Writes a zone into the directory of the producer, under another name first: a scan must not find half of it.
fn add(producer: &Scratch, zone: &str) {
    let text = "$TTL 60\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
    producer.write("new", text);
    let to = producer.path().join("zones").join(format!("db.{zone}"));
    std::fs::rename(producer.path().join("new"), to).unwrap();
}

fn remove(producer: &Scratch, zone: &str) {
    std::fs::remove_file(producer.path().join("zones").join(format!("db.{zone}"))).unwrap();
}

/// A server of a directory of zones that notifies these ports.
fn producer(scratch: Scratch, port: u16, ports: &[u16]) -> Server {
    let to: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    scratch.write(
        "Corefile",
        &format!(
            ".:{port} {{\n bind 127.0.0.1\n tsig {{\n secret k. {SECRET}\n }}\n transfer {{\n to {} {{\n key k.\n \
             }}\n notify_delay 50ms\n catalog catalog.internal {{\n group blue b.test\n }}\n }}\n auto {{\n \
             directory zones\n reload 1s\n }}\n}}\n",
            to.join(" ")
        ),
    );
    Server::start_in(scratch, port, &["-conf", "Corefile"])
}

fn catena(primary: u16, port: u16) -> Server {
    let scratch = Scratch::new();
    scratch.write(
        "Corefile",
        &format!(
            ".:{port} {{\n bind 127.0.0.1\n tsig {{\n secret k. {SECRET}\n }}\n secondary catalog.internal {{\n \
             transfer from 127.0.0.1:{primary}\n key k.\n catalog test\n }}\n}}\n"
        ),
    );
    Server::start_in(scratch, port, &["-conf", "Corefile"])
}

fn knotd(primary: u16, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: info\nkey:\n  - id: k.\n    algorithm: hmac-sha256\n    secret: \
         {SECRET}\nremote:\n  - id: primary\n    address: 127.0.0.1@{primary}\n    key: k.\nacl:\n  - id: \
         notify\n    key: k.\n    action: notify\ntemplate:\n  - id: default\n    storage: \
         \"{directory}\"\n  - id: member\n    storage: \"{directory}\"\n    master: primary\n    acl: \
         notify\n  - id: blue\n    storage: \"{directory}\"\n    file: \"blue-%s\"\n    master: primary\n    \
         acl: notify\nzone:\n  - domain: catalog.internal\n    master: primary\n    acl: notify\n    \
         catalog-role: interpret\n    catalog-template: [member, blue]\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn named(primary: u16, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let config = format!(
        "key \"k.\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\noptions {{ directory \
         \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file \
         \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; managed-keys-directory \
         \"{directory}\"; notify no; empty-zones-enable no; recursion no; dnssec-validation no; \
         catalog-zones {{ zone \"catalog.internal\" default-primaries port {primary} {{ 127.0.0.1 key \
         \"k.\"; }} in-memory yes min-update-interval 1; }}; }};\ncontrols {{}};\nzone \
         \"catalog.internal\" {{ type secondary; primaries port {primary} {{ 127.0.0.1 key \"k.\"; }}; \
         file \"catalog\"; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}

/// Whether a server answers from this zone.
fn serves(port: u16, zone: &str) -> bool {
    let client = Client::with_patience(port, Duration::from_millis(300));
    let asked = Question::new(&format!("ns.{zone}."), RecordType::A);
    let reply = client.try_udp(&asked);
    reply.is_ok_and(|reply| reply.rcode == ResponseCode::NoError && !reply.answer.is_empty())
}

#[test]
fn knotd_named_and_catena_serve_what_the_catalog_lists() {
    let ports = [free_port(), free_port(), free_port()];
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("zones")).unwrap();
    add(&scratch, "a.test");
    add(&scratch, "b.test");
    let port = free_port();
    let ours = producer(scratch, port, &ports);
    // knotd answers from a catalog as little as we do.
    let probe = Question::new("a.test.", RecordType::SOA);
    let knotd = Peer::start_at(ports[0], |at, port| knotd(ours.port, at, port), &probe);
    let named = Peer::start_at(ports[1], |at, port| named(ours.port, at, port), &probe);
    let catena = catena(ours.port, ports[2]);
    let wait = |ours: &Server, zone: &str, there: bool| {
        let deadline = Instant::now() + 3 * PATIENCE;
        for (port, name) in ports.into_iter().zip(["knotd", "named", "catena"]) {
            while serves(port, zone) != there {
                assert!(
                    Instant::now() < deadline,
                    "{name}: {zone} {there}\nours:\n{}\n{}\n{}\n{}",
                    ours.said(),
                    knotd.said(),
                    named.said(),
                    catena.said()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    wait(&ours, "a.test", true);
    wait(&ours, "b.test", true);
    assert!(knotd.said().contains("blue-b.test"), "by the template of its group: {}", knotd.said());
    add(&ours.scratch, "c.test");
    wait(&ours, "c.test", true);
    remove(&ours.scratch, "a.test");
    wait(&ours, "a.test", false);
    let said = ours.said();
    let changes = said.lines().filter(|line| {
        line.contains("Outgoing incremental transfer") && line.contains("\"catalog.internal.\"")
    });
    assert!(changes.count() >= 3, "changes came as changes: {said}");
    assert!(!said.contains("was not accepted"), "{said}");

    // The list is for those only that may transfer it.
    let key = format!("hmac-sha256:k.:{SECRET}");
    let dig = |arguments: &[&str]| {
        let port = ours.port.to_string();
        let all =
            [&["@127.0.0.1", "-p", &port, "+noall", "+answer", "+comments"], arguments].concat();
        let said = peer::run("dig", "bind9-dnsutils", ours.scratch.path(), &all);
        said.replace('\t', " ")
    };
    let whole = dig(&["-y", &key, "catalog.internal", "AXFR"]);
    assert!(whole.contains("PTR b.test.") && whole.contains("TXT \"blue\""), "{whole}");
    assert!(whole.contains("PTR c.test.") && !whole.contains("a.test."), "{whole}");
    assert!(dig(&["version.catalog.internal", "TXT"]).contains("status: REFUSED"));
    let version = dig(&["-y", &key, "version.catalog.internal", "TXT"]);
    assert!(version.contains("TXT \"2\""), "{version}");

    // While the producer is down, a zone goes and another one comes back. The serial rises.
    let mut ours = ours;
    ours.signal("KILL");
    ours.wait();
    let scratch = std::mem::replace(&mut ours.scratch, Scratch::new());
    remove(&scratch, "c.test");
    add(&scratch, "a.test");
    let ours = producer(scratch, port, &ports);
    wait(&ours, "a.test", true);
    wait(&ours, "c.test", false);
    wait(&ours, "b.test", true);
}
