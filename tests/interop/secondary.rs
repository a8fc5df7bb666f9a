//! `secondary` beside knotd, nsd and named as primaries: whole zones, changes after a NOTIFY, keys, TLS, and a
//! restart while the primary is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer::{Peer, Recipe};

const NAME: &str = "ns.example.org";
const SECRET: &str = "c2VjcmV0IG9mIHRoZSB0ZXN0cw==";

/// A version of the zone `example.org`, whose transfers need a key.
fn zone(serial: u32, address: u8) -> String {
    let mut text = format!(
        "$TTL 300\n@ SOA ns hostmaster {serial} 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\n\
         www A 192.0.2.{address}\n*.w TXT \"a b\" \"c\"\nx TYPE65280 \\# 3 010203\n"
    );
    for host in 0..1000 {
        text += &format!("host{host} A 198.51.100.{}\n", host % 250);
    }
    text
}

struct Ports {
    primary: u16,
    tls: u16,
    secondary: u16,
}

struct Kind {
    recipe: fn(&Path, &Path, &Ports) -> Recipe,
    has_tls: bool,
}

const KINDS: [Kind; 3] = [
    // Its version in Debian has no TLS.
    Kind { recipe: knotd, has_tls: false },
    Kind { recipe: nsd, has_tls: true },
    Kind { recipe: named, has_tls: true },
];

/// A primary and the files of its zones.
struct Primary {
    peer: Peer,
    files: Scratch,
}

impl Primary {
    fn start(kind: &Kind, ports: &Ports) -> Self {
        let files = Scratch::new();
        files.write("example.org", &zone(5, 10));
        let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        files.write("cert.pem", &certificate.cert.pem());
        files.write("key.pem", &certificate.signing_key.serialize_pem());
        let probe = Question::new("www.example.org.", RecordType::A);
        let recipe = |directory: &Path, _| (kind.recipe)(files.path(), directory, ports);
        let peer = Peer::start_at(ports.primary, recipe, &probe);
        Self { peer, files }
    }

    fn change(&self, serial: u32, address: u8) {
        self.files.write("example.org", &zone(serial, address));
        self.peer.signal("HUP");
    }
}

fn corefile(ports: &Ports, certificate: &Path, has_tls: bool) -> String {
    let from = match has_tls {
        true => format!("tls://127.0.0.1:{}%{NAME}", ports.tls),
        false => format!("127.0.0.1:{}", ports.primary),
    };
    let tls = match has_tls {
        true => format!("tls {}\n", certificate.display()),
        false => String::new(),
    };
    format!(
        "example.org:{} {{\n  bind 127.0.0.1\n  debug\n  tsig {{\n    secret k. {SECRET}\n  }}\n  \
         secondary {{\n    transfer from {from}\n    {tls}    key k.\n    database copies\n  }}\n}}\n",
        ports.secondary
    )
}

/// Waits until the address of `www` is this one.
fn wait_for(port: u16, address: u8, said: impl Fn() -> String) {
    let client = Client::with_patience(port, Duration::from_millis(200));
    let asked = Question::new("www.example.org.", RecordType::A);
    let wanted = format!("192.0.2.{address}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.try_udp(&asked);
        if reply.is_ok_and(|reply| reply.answer.iter().any(|record| record.rdata == wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "no {wanted} in time:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn zones_come_from_real_primaries_follow_them_and_outlive_them() {
    for kind in &KINDS {
        let ports = Ports { primary: free_port(), tls: free_port(), secondary: free_port() };
        let primary = Primary::start(kind, &ports);
        let name = primary.peer.name;
        let scratch = Scratch::new();
        let certificate = primary.files.path().join("cert.pem");
        scratch.write("Corefile", &corefile(&ports, &certificate, kind.has_tls));
        let directory = scratch.path().to_owned();
        let mut server = Server::start_in(scratch, ports.secondary, &["-conf", "Corefile"]);
        let both = |server: &Server, primary: &Primary| {
            format!("{name}\n{}\n{}", server.said(), primary.peer.said())
        };
        wait_for(ports.secondary, 10, || both(&server, &primary));
        // What the primary says of every kind of name.
        let (ours, theirs) = (Client::new(ports.secondary), Client::new(ports.primary));
        for (name, rtype) in [
            ("host999.example.org.", RecordType::A),
            ("a.w.example.org.", RecordType::TXT),
            ("x.example.org.", RecordType::Unknown(65280)),
            ("nothere.example.org.", RecordType::A),
            ("example.org.", RecordType::SOA),
        ] {
            let asked = Question::new(name, rtype);
            let (ours, theirs) = (ours.ask(&asked), theirs.ask(&asked));
            assert_eq!((ours.rcode, &ours.answer), (theirs.rcode, &theirs.answer), "{asked}");
        }
        // Two changes, each by NOTIFY, as changes.
        for (serial, address) in [(6, 20), (7, 30)] {
            primary.change(serial, address);
            wait_for(ports.secondary, address, || both(&server, &primary));
        }
        server.wait_for(": IXFR to serial 7 from");
        let said = server.said();
        assert!(said.contains("plugin/file: Notify from 127.0.0.1 for example.org.: "), "{said}");
        assert_eq!(said.matches(": AXFR to serial").count(), 1, "{said}");

        // The primary is gone, and the server dies without a word: the copy on disk serves.
        wait_for_copy(&directory);
        let Primary { peer, files: _files } = primary;
        drop(peer);
        let restarted = Scratch::new();
        for entry in std::fs::read_dir(&directory).unwrap() {
            copy_all(&entry.unwrap().path(), restarted.path());
        }
        drop(server);
        let server = Server::start_in(restarted, ports.secondary, &["-conf", "Corefile"]);
        let reply =
            Client::new(ports.secondary).ask(&Question::new("www.example.org.", RecordType::A));
        assert_eq!(reply.rcode, ResponseCode::NoError, "{name}: {}", server.said());
        assert!(reply.authoritative);
        assert_eq!(reply.answer[0].rdata, "192.0.2.30", "{name}");
    }
}

/// Waits until the disk has serial 7 and when it was confirmed.
fn wait_for_copy(directory: &Path) {
    let copies = directory.join("copies");
    let name = wire::Name::from_text("example.org.").unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stored = journal::Journal::read(&copies, &name).ok().and_then(|(_, found)| found.zone);
        let is_noted = copies.join("example.org.confirmed").exists();
        if is_noted && stored.is_some_and(|zone| zone.serial() == 7) {
            return;
        }
        assert!(Instant::now() < deadline, "the copy is not stored");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn copy_all(from: &Path, into: &Path) {
    let to = into.join(from.file_name().unwrap());
    if from.is_dir() {
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            copy_all(&entry.unwrap().path(), &to);
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn knotd(files: &Path, directory: &Path, ports: &Ports) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let Ports { primary, secondary, .. } = ports;
    let config = format!(
        "server:\n  listen: 127.0.0.1@{primary}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: info\nkey:\n  - id: k.\n    algorithm: hmac-sha256\n    secret: \
         {SECRET}\nremote:\n  - id: s\n    address: 127.0.0.1@{secondary}\n    key: k.\nacl:\n  - \
         id: with-key\n    key: k.\n    action: transfer\ntemplate:\n  - id: default\n    \
         semantic-checks: off\n    zonefile-load: difference\n    zonefile-sync: -1\n    \
         journal-content: changes\nzone:\n  - domain: example.org\n    file: \
         \"{files}/example.org\"\n    acl: with-key\n    notify: s\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn nsd(files: &Path, directory: &Path, ports: &Ports) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let Ports { primary, tls, secondary } = ports;
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{primary}\n  ip-address: 127.0.0.1@{tls}\n  tls-port: \
         {tls}\n  tls-service-key: \"{files}/key.pem\"\n  tls-service-pem: \
         \"{files}/cert.pem\"\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{directory}\"\n  \
         pidfile: \"{directory}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
         \"{directory}/nsd.list\"\n  xfrdfile: \"{directory}/nsd.xfrd\"\n  xfrdir: \
         \"{directory}\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nkey:\n  name: \
         k.\n  algorithm: hmac-sha256\n  secret: \"{SECRET}\"\nzone:\n  name: example.org\n  \
         zonefile: \"{files}/example.org\"\n  provide-xfr: 127.0.0.1 k.\n  notify: \
         127.0.0.1@{secondary} k.\n  store-ixfr: yes\n  create-ixfr: yes\n"
    );
    Recipe { program: "nsd", package: "nsd", config, arguments: &["-d", "-c"] }
}

fn named(files: &Path, directory: &Path, ports: &Ports) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let Ports { primary, tls, secondary } = ports;
    let config = format!(
        "key \"k.\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         tls own {{ cert-file \"{files}/cert.pem\"; key-file \"{files}/key.pem\"; }};\n\
         options {{ directory \"{directory}\"; listen-on port {primary} {{ 127.0.0.1; }}; listen-on \
         port {tls} tls own {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file \
         \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; \
         managed-keys-directory \"{directory}\"; notify explicit; notify-delay 0; \
         check-integrity no; empty-zones-enable no; recursion no; dnssec-validation no; }};\n\
         controls {{}};\nzone \"example.org\" {{ type primary; file \"{files}/example.org\"; \
         check-names ignore; ixfr-from-differences yes; allow-transfer {{ key \"k.\"; }}; \
         also-notify {{ 127.0.0.1 port {secondary} key \"k.\"; }}; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}
