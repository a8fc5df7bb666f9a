//! Signed messages (TSIG) between us and others: `dig` and `kdig` ask us, and we ask knotd, nsd and named.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_server::proto::rr::RecordType;
use tsig::{Algorithm, Key, Signed, Tsig, VerifyError};
use wire::{Message, Rtype};

use crate::ask::Question;
use crate::compare::ORIGIN;
use crate::kit::{self, PATIENCE, Scratch, Server, free_port};
use crate::peer::{Peer, Recipe, run};

const SECRET: &str = "c2VjcmV0IG9mIGJvdGggc2lkZXMsIDMyIG9jdGV0cy4=";

/// Text records in the zone: at 16 KiB a message, more messages than a server may leave unsigned.
const MANY: usize = 20_000;

/// How a server of another project is told to serve the zone, with a key for each of these algorithms.
type Configure = fn(&Path, &Path, u16, &[Algorithm]) -> Recipe;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn key(algorithm: Algorithm, secret: &str) -> Arc<Key> {
    Arc::new(Key::from_text(&format!("{algorithm}:{algorithm}.key:{secret}")).unwrap())
}

/// Our program, with a key for each algorithm and those of a file that `tsig-keygen` wrote.
fn ours() -> (Server, String) {
    let scratch = Scratch::new();
    let made = run("tsig-keygen", "bind9", scratch.path(), &["-a", "hmac-sha512", "made.key"]);
    scratch.write("keys", &made);
    scratch.write("zone", kit::ZONE);
    let secrets: String = Algorithm::ALL
        .into_iter()
        .map(|algorithm| format!("    secret {algorithm}.key {SECRET} {algorithm}\n"))
        .collect();
    scratch.write(
        "Corefile",
        &format!(
            "example.org {{\n  bind 127.0.0.1\n  tsig {{\n{secrets}    secret short.key {SECRET} \
             hmac-sha256-128\n    secrets keys\n    require TXT\n  }}\n  file zone\n}}\n"
        ),
    );
    (Server::start_in(scratch, free_port(), &["-conf", "Corefile"]), made)
}

/// What a client of another project says to a query for `name` with this key.
fn client(program: &str, server: &Server, key: &str, more: &[&str]) -> String {
    let port = server.port.to_string();
    let arguments: &[&str] = &["@127.0.0.1", "-p", &port, "-y", key, "+timeout=5"];
    let output = Command::new(program)
        .args(arguments)
        .args(more)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    kit::text(&output.stdout) + &kit::text(&output.stderr)
}

/// Whether the client accepted the reply's signature.
fn is_content(said: &str) -> bool {
    let complaints = ["could not be validated", "Couldn't verify", "failed to verify"];
    said.contains("TSIG PSEUDOSECTION") && !complaints.iter().any(|word| said.contains(word))
}

#[test]
fn dig_and_kdig_accept_our_signatures() {
    let (server, made) = ours();
    let keys = Algorithm::ALL.map(|algorithm| format!("{algorithm}:{algorithm}.key:{SECRET}"));
    let made_secret = made.split('"').nth(3).unwrap();
    let keys = keys.into_iter().chain([format!("hmac-sha512:made.key:{made_secret}")]);
    for key in keys {
        for program in ["dig", "kdig"] {
            for more in [
                &["www.example.org", "A"][..],
                &["big.example.org", "TXT"],
                &["big.example.org", "TXT", "+tcp", "+dnssec"],
                &["nothing.example.org", "A"],
            ] {
                let said = client(program, &server, &key, more);
                let rcode = if more[0].starts_with("nothing") { "NXDOMAIN" } else { "NOERROR" };
                assert!(
                    is_content(&said) && said.contains(rcode),
                    "{program} {key} {more:?}\n{said}"
                );
            }
        }
    }
    // Truncated MACs, in the form of BIND.
    let said = client(
        "dig",
        &server,
        &format!("hmac-sha256-128:short.key:{SECRET}"),
        &["www.example.org"],
    );
    assert!(is_content(&said) && said.contains("192.0.2.80"), "{said}");
    let said = client(
        "dig",
        &server,
        &format!("hmac-sha256-128:hmac-sha256.key:{SECRET}"),
        &["www.example.org"],
    );
    assert!(said.contains("NOTAUTH") && said.contains("BADTRUNC"), "{said}");
    // Other secrets, names and algorithms.
    for (key, error) in [
        ("hmac-sha256:hmac-sha256.key:YW5vdGhlcg==", "BADSIG"),
        ("hmac-sha256:other.key:YW5vdGhlcg==", "BADKEY"),
        ("hmac-sha512:hmac-sha256.key:YW5vdGhlcg==", "BADKEY"),
    ] {
        let said = client("dig", &server, key, &["www.example.org"]);
        assert!(said.contains("NOTAUTH") && said.contains(error), "{error}\n{said}");
    }
    let unsigned = run(
        "dig",
        "bind9-dnsutils",
        server.scratch.path(),
        &["@127.0.0.1", "-p", &server.port.to_string(), "big.example.org", "TXT"],
    );
    assert!(unsigned.contains("REFUSED"), "{unsigned}");
}

/// A zone whose transfer has more messages than may be unsigned in a row.
fn large_zone(scratch: &Scratch) {
    let mut zone = format!(
        "$ORIGIN {ORIGIN}\n$TTL 300\n@ SOA ns hostmaster 1 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\n"
    );
    for number in 0..MANY {
        zone.push_str(&format!("name-{number} TXT \"{}\"\n", "x".repeat(80)));
    }
    scratch.write("zone", &zone);
}

/// A server of another project with the zone and one key for each algorithm in `algorithms`.
fn start(recipe: Configure, algorithms: &[Algorithm]) -> (Peer, Scratch) {
    let scratch = Scratch::new();
    large_zone(&scratch);
    let zone = scratch.path().join("zone");
    let probe = Question::new(ORIGIN, RecordType::SOA);
    (Peer::start(|directory, port| recipe(&zone, directory, port, algorithms), &probe), scratch)
}

fn knotd(zone: &Path, directory: &Path, port: u16, algorithms: &[Algorithm]) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let keys: String = algorithms
        .iter()
        .map(|it| format!("  - id: {it}.key\n    algorithm: {it}\n    secret: {SECRET}\n"))
        .collect();
    let names: Vec<String> = algorithms.iter().map(|it| format!("{it}.key")).collect();
    let names = names.join(", ");
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: warning\nkey:\n{keys}acl:\n  - id: signed\n    key: [{names}]\n    \
         action: transfer\ntemplate:\n  - id: default\n    zonefile-load: whole\n    zonefile-sync: -1\n    \
         journal-content: none\nzone:\n  - domain: {ORIGIN}\n    file: \"{zone}\"\n    acl: signed\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn nsd(zone: &Path, directory: &Path, port: u16, algorithms: &[Algorithm]) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let keys: String = algorithms
        .iter()
        .map(|it| format!("key:\n  name: {it}.key\n  algorithm: {it}\n  secret: \"{SECRET}\"\n"))
        .collect();
    let provide: String =
        algorithms.iter().map(|it| format!("  provide-xfr: 127.0.0.1 {it}.key\n")).collect();
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  zonesdir: \
         \"{directory}\"\n  pidfile: \"{directory}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
         \"{directory}/nsd.list\"\n  xfrdfile: \"{directory}/nsd.xfrd\"\n  xfrdir: \"{directory}\"\n  \
         rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n{keys}zone:\n  name: {ORIGIN}\n  \
         zonefile: \"{zone}\"\n{provide}"
    );
    Recipe { program: "nsd", package: "nsd", config, arguments: &["-d", "-c"] }
}

fn named(zone: &Path, directory: &Path, port: u16, algorithms: &[Algorithm]) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let keys: String = algorithms
        .iter()
        .map(|it| format!("key \"{it}.key\" {{ algorithm {it}; secret \"{SECRET}\"; }};\n"))
        .collect();
    let allow: String = algorithms.iter().map(|it| format!("key \"{it}.key\"; ")).collect();
    let config = format!(
        "{keys}options {{ directory \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; pid-file \"{directory}/named.pid\"; session-keyfile \
         \"{directory}/named.key\"; managed-keys-directory \"{directory}\"; notify no; check-integrity \
         no; empty-zones-enable no; recursion no; dnssec-validation no; }};\ncontrols {{}};\nzone \
         \"{ORIGIN}\" {{ type primary; file \"{zone}\"; allow-transfer {{ {allow}}}; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}

/// Sends a signed query over TCP.
fn send(port: u16, qtype: Rtype, key: &Arc<Key>, at: u64) -> (TcpStream, Signed) {
    let mut message = kit::question(7, ORIGIN, qtype, &[]);
    let signed = tsig::sign(&mut message, key, at);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&kit::framed(&message)).unwrap();
    (stream, signed)
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// Transfers the zone; the number of messages, and how many of them were not signed.
fn transfer(port: u16, key: &Arc<Key>) -> (usize, usize) {
    let (mut stream, signed) = send(port, Rtype::AXFR, key, now());
    let mut verifier = signed.stream();
    let (mut records, mut messages, mut unsigned) = (0, 0, 0);
    let all = MANY + 4; // and the SOA record twice
    while records < all {
        let message = receive(&mut stream);
        messages += 1;
        match verifier.accept(&message, now()) {
            Ok(is_signed) => unsigned += usize::from(!is_signed),
            Err(error) => panic!("message {messages}: {error}"),
        }
        records += usize::from(Message::new(&message).unwrap().counts()[1]);
    }
    assert_eq!(records, all);
    verifier.finish().unwrap();
    (messages, unsigned)
}

#[test]
fn we_verify_the_streams_of_others() {
    let servers: [Configure; 3] = [knotd, nsd, named];
    for recipe in servers {
        let (peer, _scratch) = start(recipe, &Algorithm::ALL);
        for algorithm in Algorithm::ALL {
            let (messages, unsigned) = transfer(peer.port, &key(algorithm, SECRET));
            assert!(messages > 10, "{}: {messages} messages", peer.name);
            assert!(unsigned < messages, "{}: {unsigned} of {messages}", peer.name);
        }
    }
}

#[test]
fn we_understand_the_refusals_of_others() {
    let servers: [Configure; 3] = [knotd, nsd, named];
    for recipe in servers {
        let (peer, _scratch) = start(recipe, &[Algorithm::Sha256]);
        let refused = |key: &Arc<Key>, at: u64| {
            let (mut stream, signed) = send(peer.port, Rtype::AXFR, key, at);
            let reply = receive(&mut stream);
            assert_eq!(Message::new(&reply).unwrap().flags() & 15, 9, "{}: NOTAUTH", peer.name);
            assert!(Tsig::find(&reply).unwrap().is_some(), "{}: a TSIG record", peer.name);
            match signed.verify(&reply, now()).unwrap_err() {
                VerifyError::Refused { error, server_time, signed } => {
                    (error.to_string(), server_time.is_some(), signed)
                }
                other => panic!("{}: {other}\n{reply:02x?}", peer.name),
            }
        };
        let wrong = refused(&key(Algorithm::Sha256, "YW5vdGhlcg=="), now());
        assert_eq!(wrong, ("BADSIG".to_owned(), false, false), "{}", peer.name);
        let unknown = refused(&key(Algorithm::Sha512, SECRET), now());
        assert_eq!(unknown, ("BADKEY".to_owned(), false, false), "{}", peer.name);
        let late = refused(&key(Algorithm::Sha256, SECRET), now() - 1000);
        // RFC 8945 section 5.2.3 wants it signed; nsd does not.
        let is_signed = peer.name != "nsd";
        assert_eq!(late, ("BADTIME".to_owned(), true, is_signed), "{}", peer.name);
    }
}
