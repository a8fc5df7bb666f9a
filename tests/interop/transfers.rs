//! Transfers from knotd, nsd and named: whole zones and changes, over TCP and TLS, with a key and without.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_server::proto::rr::RecordType;
use net::client::Network;
use net::tls;
use transfer::{Client, Limits, Outcome, Peer as Primary, TransferError};
use wire::Name;
use zone::{Listing, Zone, text};

use crate::ask::Question;
use crate::kit::{self, PATIENCE, Scratch, free_port};
use crate::peer::{Peer, Recipe};

const KEY: &str = "hmac-sha256:k.:c2VjcmV0IG9mIHRoZSB0ZXN0cw==";
const SERVER: &str = "ns.example.org";

/// The zone `example.org`, which is transferred with the key only, and `open.test`, which needs none.
fn zone(serial: u32, hosts: std::ops::Range<u8>) -> String {
    let mut text = format!(
        "$TTL 300\n@ SOA ns hostmaster {serial} 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\n\
         @ MX 10 mail.example.net.\n*.w TXT \"a b\" \"c\"\nt CAA 0 issue \"ca.example.net\"\n\
         s HTTPS 1 . alpn=h2,h3\nx TYPE65280 \\# 3 010203\n"
    );
    for host in hosts {
        text += &format!("host{host} A 192.0.2.{host}\nhost{host} AAAA 2001:db8::{host}\n");
    }
    text
}

/// Many names: a transfer of several messages.
fn many(serial: u32) -> String {
    let mut text = zone(serial, 1..40);
    for host in 0..4000 {
        text += &format!("many{host} A 198.51.100.{}\n", host % 250);
    }
    text
}

struct Kind {
    recipe: fn(&Path, &Path, u16, u16) -> Recipe,
    tls: bool,
    /// The signal that makes it read its zones again.
    reload: &'static str,
}

const KINDS: [Kind; 3] = [
    // Its version in Debian has no TLS.
    Kind { recipe: knotd, tls: false, reload: "HUP" },
    Kind { recipe: nsd, tls: true, reload: "HUP" },
    Kind { recipe: named, tls: true, reload: "HUP" },
];

/// A primary with both zones and a certificate for [`SERVER`].
struct Running {
    peer: Peer,
    files: Scratch,
    tls_port: u16,
    runtime: tokio::runtime::Runtime,
}

fn start(kind: &Kind, text: &str) -> Running {
    let files = Scratch::new();
    files.write("example.org", text);
    files.write("open.test", &zone(5, 1..4));
    let certificate = rcgen::generate_simple_self_signed([SERVER.to_owned()]).unwrap();
    files.write("cert.pem", &certificate.cert.pem());
    files.write("key.pem", &certificate.signing_key.serialize_pem());
    let tls_port = free_port();
    let probe = Question::new("open.test.", RecordType::SOA);
    let peer = Peer::start(
        |directory, port| (kind.recipe)(files.path(), directory, port, tls_port),
        &probe,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Running { peer, files, tls_port, runtime }
}

impl Running {
    fn primary(&self, key: Option<&str>, tls: bool) -> Primary {
        let session = tls.then(|| {
            let pem = std::fs::read(self.files.path().join("cert.pem")).unwrap();
            let client = tls::Client::new(&tls::Trust::from_pem(&pem).unwrap(), None).unwrap();
            client.session(SERVER).unwrap().for_transfers()
        });
        let port = if tls { self.tls_port } else { self.peer.port };
        let key = key.map(|key| Arc::new(tsig::Key::from_text(key).unwrap()));
        Primary { session, key, ..Primary::new(([127, 0, 0, 1], port).into()) }
    }

    fn client(&self, key: Option<&str>, tls: bool) -> Client {
        let limits = Limits {
            total: PATIENCE,
            idle: PATIENCE,
            datagram: Duration::from_millis(500),
            ..Limits::default()
        };
        Client::new(Network::Os, self.primary(key, tls), limits)
    }

    fn axfr(&self, zone: &str, key: Option<&str>, tls: bool) -> Result<Box<Zone>, TransferError> {
        let name = Name::from_text(zone).unwrap();
        let received = self.runtime.block_on(self.client(key, tls).axfr(&name, None, 0))?;
        match received.outcome {
            Outcome::Zone(zone) => Ok(zone),
            other => panic!("{}: {other:?}", self.peer.name),
        }
    }

    /// Writes a zone file and waits until the primary serves it.
    fn change(&self, kind: &Kind, zone: &str, text: &str, serial: u32) {
        self.files.write(zone, text);
        self.peer.signal(kind.reload);
        let name = Name::from_text(zone).unwrap();
        let key = (zone == "example.org").then_some(KEY);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let soa = self.runtime.block_on(self.client(key, false).soa(&name));
            match soa {
                Ok(soa) if soa.serial == serial => return,
                other => assert!(
                    Instant::now() < deadline,
                    "{}: {other:?}\n{}",
                    self.peer.name,
                    self.peer.said()
                ),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A zone as our reader of master files sees it.
fn read(origin: &str, text: &str) -> Zone {
    let origin = Name::from_text(origin).unwrap();
    let mut builder = zone::Builder::new(&origin, 0);
    let add = &mut |record: zone::RecordRef<'_>| builder.add(record);
    zone::master::parse_text(text, &zone::master::Options::new(&origin), add).unwrap();
    builder.finish().unwrap()
}

fn shown(zone: &Zone) -> String {
    let mut out = Vec::new();
    text::write_zone(&Listing::of(zone), zone.apex(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn whole_zones_come_over_tcp_and_tls_with_a_key_and_without() {
    for kind in &KINDS {
        let running = start(kind, &many(5));
        let said = || format!("{}:\n{}", running.peer.name, running.peer.said());
        let transports: &[bool] = if kind.tls { &[false, true] } else { &[false] };
        for &tls in transports {
            let open = running.axfr("open.test.", None, tls);
            let open = open.unwrap_or_else(|error| panic!("{error}, TLS {tls}: {}", said()));
            assert_eq!(shown(&open), shown(&read("open.test.", &zone(5, 1..4))), "{}", said());
            let signed = running.axfr("example.org.", Some(KEY), tls);
            let signed = signed.unwrap_or_else(|error| panic!("{error}, TLS {tls}: {}", said()));
            assert_eq!(shown(&signed), shown(&read("example.org.", &many(5))), "{}", said());
        }
        for (key, told) in [
            (None, &["REFUSED", "NOTAUTH"][..]),
            (Some("other.:c2VjcmV0"), &["does not know the key", "NOTAUTH"]),
            (Some("k.:b3RoZXI="), &["another secret", "BADSIG", "NOTAUTH"]),
        ] {
            let error = running.axfr("example.org.", key, false).err().expect("no key, no zone");
            let text = error.to_string();
            assert!(told.iter().any(|told| text.contains(told)), "{key:?} {text}: {}", said());
        }
        let error = running.axfr("nowhere.test.", None, false).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("server answers"), "{text}: {}", said());
    }
}

#[test]
fn changes_come_as_changes_and_lead_to_the_same_zone() {
    for kind in &KINDS {
        let running = start(kind, &many(5));
        let name = Name::from_text("example.org.").unwrap();
        let mut ours = running.axfr("example.org.", Some(KEY), false).unwrap();
        let client = running.client(Some(KEY), kind.tls);
        let refresh = |ours: &Zone| running.runtime.block_on(client.ixfr(&name, &ours.soa(), 0));
        assert!(
            matches!(refresh(&ours).unwrap().outcome, Outcome::Current(soa) if soa.serial == 5)
        );

        // Two versions later, of which the client has seen neither.
        let first =
            many(6).replace("host7 A 192.0.2.7\n", "host7 A 192.0.2.77\nnew A 192.0.2.78\n");
        running.change(kind, "example.org", &first, 6);
        let second = many(7).replace("host9 A 192.0.2.9\n", "").replace("TXT \"a b\"", "TXT \"b\"");
        running.change(kind, "example.org", &second, 7);
        let received =
            refresh(&ours).unwrap_or_else(|error| panic!("{error}: {}", running.peer.said()));
        let Outcome::Changes(changes) = received.outcome else {
            panic!("{}: {:?}\n{}", running.peer.name, received.outcome, running.peer.said())
        };
        assert!(received.tally.records < 40, "{}: {:?}", running.peer.name, received.tally);
        for one in &changes {
            ours = Box::new(Arc::<Zone>::from(ours).apply(one).unwrap());
        }
        assert_eq!(ours.serial(), 7);
        assert_eq!(shown(&ours), shown(&read("example.org.", &second)), "{}", running.peer.name);

        // A version that the primary has never had: it sends the whole zone, and that is taken.
        let other = read("example.org.", &zone(3, 1..2));
        let received = refresh(&other).unwrap();
        let Outcome::Zone(whole) = received.outcome else {
            panic!("{}: {:?}", running.peer.name, received.outcome)
        };
        assert_eq!(shown(&whole), shown(&ours), "{}", running.peer.name);
    }
}

/// The command line prints what the servers send.
#[test]
fn the_command_prints_zones_and_changes() {
    for kind in &KINDS {
        let running = start(kind, &zone(5, 1..40));
        let server = format!("@127.0.0.1:{}", running.peer.port);
        let axfr = |more: &[&str]| {
            let out = kit::run(running.files.path(), &[&["axfr", &server], more].concat());
            (out.status.code(), kit::text(&out.stdout), kit::text(&out.stderr))
        };
        let open = shown(&read("open.test.", &zone(5, 1..4)));
        assert_eq!(axfr(&["open.test"]), (Some(0), open.clone(), String::new()));
        assert_eq!(shown(&read("open.test.", &open)), open, "it reads back");
        let (code, out, _) = axfr(&["open.test", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &json["zone"], &json["serial"]),
            (Some(0), &"open.test.".into(), &5.into())
        );
        assert_eq!(json["records"].as_array().unwrap().len(), 14);
        assert_eq!(json["records"][0]["name"], "open.test.");

        let (code, out, err) = axfr(&["example.org"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.starts_with("zone `example.org.` at 127.0.0.1:"), "{err}");
        assert!(err.contains("= help: "), "{err}");
        let (code, out, err) = axfr(&["example.org", "-y", KEY]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert_eq!(out, shown(&read("example.org.", &zone(5, 1..40))));
        running.files.write(
            "k.key",
            "key \"k.\" { algorithm hmac-sha256; secret \"c2VjcmV0IG9mIHRoZSB0ZXN0cw==\"; };\n",
        );
        assert_eq!(axfr(&["-k", "k.key", "example.org"]).1, out);
        if kind.tls {
            let server = format!("@127.0.0.1:{}", running.tls_port);
            let tls = |more: &[&str]| {
                let all = [&["axfr", &server, "example.org", "-y", KEY], more].concat();
                let out = kit::run(running.files.path(), &all);
                (out.status.code(), kit::text(&out.stdout), kit::text(&out.stderr))
            };
            assert_eq!(tls(&["--tls-insecure"]).1, out);
            assert_eq!(tls(&["--tls-ca", "cert.pem", "--tls-name", SERVER]).1, out);
            let (code, _, err) = tls(&["--tls-ca", "cert.pem"]);
            assert!(code == Some(1) && err.contains("x509: certificate is valid for"), "{err}");
            let (code, _, err) = tls(&["--tls"]);
            assert!(code == Some(1) && err.contains("unknown authority"), "{err}");
        }

        let changed = zone(6, 1..4).replace("host3 A 192.0.2.3\n", "host3 A 192.0.2.33\n");
        running.change(kind, "open.test", &changed, 6);
        let (code, out, err) = axfr(&["open.test", "--ixfr", "5"]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let soa = |serial: u32| {
            format!(
                "open.test. 300 IN SOA ns.open.test. hostmaster.open.test. {serial} 7200 3600 \
                 1209600 300"
            )
        };
        let host = |last: u8| format!("host3.open.test. 300 IN A 192.0.2.{last}");
        // nsd sends a record of the new version that the old one has, too.
        let out = out.replace("+ open.test. 300 IN MX 10 mail.example.net.\n", "");
        let (gone, come) = (format!("- {}\n- {}", soa(5), host(3)), soa(6));
        let expected = format!("; from serial 5 to 6\n{gone}\n+ {come}\n+ {}\n", host(33));
        assert_eq!(out, expected, "{}", running.peer.name);
        let (_, out, _) = axfr(&["open.test", "--ixfr", "5", "--format", "json"]);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let added = json["changes"][0]["added"].as_array().unwrap();
        assert_eq!(added.last().unwrap()["rdata"], "192.0.2.33");
        assert_eq!(
            (&json["changes"][0]["from"], &json["changes"][0]["to"]),
            (&5.into(), &6.into())
        );
        let (code, out, _) = axfr(&["open.test", "--ixfr", "6"]);
        assert_eq!((code, out.as_str()), (Some(0), "; no newer version than serial 6\n"));
    }
}

const KNOT_KEY: &str =
    "  - id: k.\n    algorithm: hmac-sha256\n    secret: c2VjcmV0IG9mIHRoZSB0ZXN0cw==\n";

fn knotd(files: &Path, directory: &Path, port: u16, _: u16) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: info\nkey:\n{KNOT_KEY}acl:\n  - id: with-key\n    key: k.\n    \
         action: transfer\n  - id: open\n    address: 127.0.0.0/8\n    action: transfer\ntemplate:\n  \
         - id: default\n    semantic-checks: off\n    zonefile-load: difference\n    zonefile-sync: \
         -1\n    journal-content: changes\nzone:\n  - domain: example.org\n    file: \
         \"{files}/example.org\"\n    acl: with-key\n  - domain: open.test\n    file: \
         \"{files}/open.test\"\n    acl: open\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn nsd(files: &Path, directory: &Path, port: u16, tls_port: u16) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let zone = |name: &str, key: &str| {
        format!(
            "zone:\n  name: {name}\n  zonefile: \"{files}/{name}\"\n  provide-xfr: 127.0.0.1 {key}\n  \
             store-ixfr: yes\n  create-ixfr: yes\n"
        )
    };
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  ip-address: 127.0.0.1@{tls_port}\n  tls-port: \
         {tls_port}\n  tls-service-key: \"{files}/key.pem\"\n  tls-service-pem: \
         \"{files}/cert.pem\"\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{directory}\"\n  \
         pidfile: \"{directory}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
         \"{directory}/nsd.list\"\n  xfrdfile: \"{directory}/nsd.xfrd\"\n  xfrdir: \
         \"{directory}\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nkey:\n  name: \
         k.\n  algorithm: hmac-sha256\n  secret: \"c2VjcmV0IG9mIHRoZSB0ZXN0cw==\"\n{}{}",
        zone("example.org", "k."),
        zone("open.test", "NOKEY"),
    );
    Recipe { program: "nsd", package: "nsd", config, arguments: &["-d", "-c"] }
}

fn named(files: &Path, directory: &Path, port: u16, tls_port: u16) -> Recipe {
    let (files, directory) = (files.display(), directory.display());
    let zone = |name: &str, allowed: &str| {
        format!(
            "zone \"{name}\" {{ type primary; file \"{files}/{name}\"; check-names ignore; \
             ixfr-from-differences yes; max-ixfr-ratio unlimited; allow-transfer {{ {allowed}; }}; \
             }};\n"
        )
    };
    let config = format!(
        "key \"k.\" {{ algorithm hmac-sha256; secret \"c2VjcmV0IG9mIHRoZSB0ZXN0cw==\"; }};\n\
         tls own {{ cert-file \"{files}/cert.pem\"; key-file \"{files}/key.pem\"; }};\n\
         options {{ directory \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on port \
         {tls_port} tls own {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file \
         \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; \
         managed-keys-directory \"{directory}\"; notify no; check-integrity no; empty-zones-enable \
         no; recursion no; dnssec-validation no; }};\ncontrols {{}};\n{}{}",
        zone("example.org", "key \"k.\""),
        zone("open.test", "any"),
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}
