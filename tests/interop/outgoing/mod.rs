//! Zones that leave: knotd, nsd and named as secondaries of our server, by AXFR, then by NOTIFY and IXFR,
//! with and without TSIG.

use std::path::Path;
use std::time::{Duration, Instant};

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer::{self, Peer, Recipe};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";

/// The zone with this serial, which is also the last octet of an address.
fn zone(serial: u8) -> String {
    let mut text = format!(
        "$TTL 60\n@ SOA ns host {serial} 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nwww A 192.0.2.{serial}\n\
         *.wild TXT \"a wildcard\"\nsub NS ns.sub\nns.sub A 192.0.2.4\nalias CNAME www\nmx MX 10 www\n\
         svc HTTPS 1 www alpn=h2\n"
    );
    // Long enough for several messages.
    for host in 0..2000 {
        text.push_str(&format!(
            "host-{host}.deep A 192.0.2.7\nhost-{host}.deep MX 5 host-{host}.deep\n"
        ));
    }
    text
}

/// Starts our server with these secondaries.
fn serve(ports: &[u16], signed: bool) -> Server {
    let scratch = Scratch::new();
    scratch.write("zone", &zone(1));
    let to: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let (keys, key) = match signed {
        true => (format!("tsig {{\n secret k. {SECRET} hmac-sha256\n }}"), "{\n key k.\n }"),
        false => (String::new(), ""),
    };
    scratch.write(
        "Corefile",
        &format!(
            "example.org {{\n bind 127.0.0.1\n {keys}\n transfer {{\n to {} {key}\n notify_delay 50ms\n \
             notify_tries 3\n }}\n file zone {{\n reload 1s\n }}\n}}\n",
            to.join(" ")
        ),
    );
    Server::start_in(scratch, free_port(), &["-conf", "Corefile"])
}

fn knotd(primary: u16, signed: bool, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let (keys, key) = match signed {
        true => (
            format!("key:\n  - id: k.\n    algorithm: hmac-sha256\n    secret: {SECRET}\n"),
            "    key: k.\n",
        ),
        false => (String::new(), ""),
    };
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: info\n{keys}remote:\n  - id: primary\n    address: \
         127.0.0.1@{primary}\n{key}acl:\n  - id: notify\n    address: 127.0.0.1\n    action: \
         notify\n{key}zone:\n  - domain: example.org\n    storage: \"{directory}\"\n    master: \
         primary\n    acl: notify\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn nsd(primary: u16, signed: bool, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let (keys, key) = match signed {
        true => {
            (format!("key:\n  name: k.\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\n"), "k.")
        }
        false => (String::new(), "NOKEY"),
    };
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  zonesdir: \
         \"{directory}\"\n  pidfile: \"{directory}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
         \"{directory}/nsd.list\"\n  xfrdfile: \"{directory}/nsd.xfrd\"\n  xfrdir: \"{directory}\"\n  \
         rrl-ratelimit: 0\n  verbosity: 2\nremote-control:\n  control-enable: no\n{keys}zone:\n  name: \
         example.org\n  zonefile: \"secondary\"\n  allow-notify: 127.0.0.1 {key}\n  request-xfr: \
         127.0.0.1@{primary} {key}\n"
    );
    Recipe { program: "nsd", package: "nsd", config, arguments: &["-d", "-c"] }
}

fn named(primary: u16, signed: bool, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let (keys, key) = match signed {
        true => (
            format!("key \"k.\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n"),
            "key \"k.\"",
        ),
        false => (String::new(), ""),
    };
    let config = format!(
        "options {{ directory \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ \
         none; }}; pid-file \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; \
         managed-keys-directory \"{directory}\"; notify no; empty-zones-enable no; recursion no; \
         dnssec-validation no; }};\ncontrols {{}};\n{keys}zone \"example.org\" {{ type secondary; \
         primaries port {primary} {{ 127.0.0.1 {key}; }}; file \"secondary\"; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}

/// The lines that `dig` shows of a reply.
fn address(client: &Client) -> String {
    let reply = client.ask(&Question::new("www.example.org.", RecordType::A));
    reply.lines().join("\n")
}

fn wait(what: &str, mut done: impl FnMut() -> bool, why: impl Fn() -> String) {
    let end = Instant::now() + 3 * PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}:\n{}", why());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn secondaries_follow(signed: bool) {
    let ports = [free_port(), free_port(), free_port()];
    let ours = serve(&ports, signed);
    let probe = Question::new("example.org.", RecordType::SOA);
    let recipes = [knotd, nsd, named];
    let peers: Vec<Peer> = ports
        .iter()
        .zip(recipes)
        .map(|(&port, recipe)| {
            Peer::start_at(
                port,
                |directory, port| recipe(ours.port, signed, directory, port),
                &probe,
            )
        })
        .collect();
    for peer in &peers {
        let name = peer.name;
        assert!(address(&Client::new(peer.port)).contains("192.0.2.1"), "{name}: {}", peer.said());
    }
    for serial in 2..=4 {
        ours.scratch.write("zone", &zone(serial));
        for peer in &peers {
            let client = Client::new(peer.port);
            let wanted = format!("192.0.2.{serial}");
            wait(
                &format!("{} has not version {serial}", peer.name),
                || address(&client).contains(&wanted),
                || format!("{}\nours: {}", peer.said(), ours.said()),
            );
        }
    }
    // Each took the first version as a whole, and the others as changes.
    let said = ours.said();
    let count = |text: &str| said.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("Outgoing transfer of 4011 records of zone"), 3, "{said}");
    assert_eq!(count("Outgoing incremental transfer of 6 records"), 9, "{said}");
    assert_eq!(count("was not accepted"), 0, "{said}");
}

#[test]
fn knotd_nsd_and_named_follow_by_notify_and_ixfr() {
    secondaries_follow(false);
}

#[test]
fn with_tsig_too() {
    secondaries_follow(true);
}

#[test]
fn dig_verifies_every_message_of_a_signed_transfer() {
    let ours = serve(&[free_port()], true);
    let port = ours.port.to_string();
    let key = format!("hmac-sha256:k.:{SECRET}");
    let arguments = ["@127.0.0.1", "-p", &port, "example.org", "AXFR", "-y", &key];
    let said = peer::run("dig", "bind9-dnsutils", ours.scratch.path(), &arguments);
    assert!(said.contains("4011 records") && !said.contains("WARNING"), "{said}");
    assert!(said.contains("(messages ") && !said.contains("(messages 1,"), "{said}");
    let unsigned = peer::run("dig", "bind9-dnsutils", ours.scratch.path(), &arguments[..5]);
    assert!(unsigned.contains("Transfer failed"), "{unsigned}");
}
