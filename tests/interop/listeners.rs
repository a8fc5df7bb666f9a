//! Our encrypted listeners, asked by the tools and servers of others.

use std::path::Path;
use std::time::{Duration, Instant};

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer::{self, Peer, Recipe};

const NAME: &str = "ns.example.org";

/// A server for `example.org`, which leaves over TLS only; the ports of DNS over TLS and over HTTPS.
fn serve() -> (Server, u16, u16) {
    let scratch = Scratch::new();
    let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    scratch.write("cert.pem", &certificate.cert.pem());
    scratch.write("key.pem", &certificate.signing_key.serialize_pem());
    let mut zone = "$TTL 60\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nwww A \
                    192.0.2.1\n"
        .to_owned();
    for host in 0..4000 {
        zone.push_str(&format!("host-{host} A 192.0.2.7\n"));
    }
    scratch.write("zone", &zone);
    let (tls, https) = (free_port(), free_port());
    scratch.write(
        "Corefile",
        &format!(
            "example.org {{\n bind 127.0.0.1\n transfer {{\n to 127.0.0.1 {{\n transport tls\n notify \
             off\n }}\n }}\n file zone\n tls://example.org:{tls} {{\n tls cert.pem key.pem\n }}\n \
             https://.:{https} {{\n tls cert.pem key.pem\n }}\n}}\n"
        ),
    );
    (Server::start_in(scratch, free_port(), &["-conf", "Corefile"]), tls, https)
}

fn run(name: &str, package: &str, server: &Server, arguments: &[&str]) -> String {
    peer::run(name, package, server.scratch.path(), arguments)
}

#[test]
fn kdig_asks_over_tls() {
    let (server, tls, _) = serve();
    let port = tls.to_string();
    let verified = ["@127.0.0.1", "-p", &port, "+tls-ca=cert.pem", "+tls-hostname=ns.example.org"];
    let asked =
        [&verified[..], &["www.example.org", "A", "+padding", "+keepopen", "ns.example.org", "A"]];
    let said = run("kdig", "knot-dnsutils", &server, &asked.concat());
    assert!(said.contains("TLS session (TLS1.3)") && said.contains("192.0.2.1"), "{said}");
    assert!(said.contains("127.0.0.1") && said.contains("PADDING"), "{said}");
    // The whole answer has a length that says nothing.
    assert!(said.contains("Received 468 B"), "{said}");
    let zone = [&verified[..], &["example.org", "AXFR"]];
    let said = run("kdig", "knot-dnsutils", &server, &zone.concat());
    assert!(said.contains("host-3999.example.org."), "{said}");
}

#[test]
fn kdig_and_dig_ask_over_https() {
    let (server, _, https) = serve();
    let port = https.to_string();
    for method in ["+https", "+https-get"] {
        let asked = [
            "@127.0.0.1",
            "-p",
            &port,
            "+tls-ca=cert.pem",
            "+tls-hostname=ns.example.org",
            "+https",
            method,
            "www.example.org",
            "A",
            "+padding",
        ];
        let said = run("kdig", "knot-dnsutils", &server, &asked);
        assert!(said.contains("HTTP session (HTTP/2-") && said.contains("status: 200"), "{said}");
        assert!(said.contains("192.0.2.1") && said.contains("Received 468 B"), "{said}");
    }
    let said = run(
        "dig",
        "bind9-dnsutils",
        &server,
        &["@127.0.0.1", "-p", &port, "+https", "www.example.org"],
    );
    assert!(said.contains("192.0.2.1") && said.contains("(HTTPS)"), "{said}");
}

#[test]
fn a_zone_leaves_over_tls_only() {
    let (server, tls, _) = serve();
    let (port, tls) = (server.port.to_string(), tls.to_string());
    let over = |port: &str, more: &[&str]| {
        let arguments = [&["@127.0.0.1", "-p", port, "example.org", "AXFR"], more].concat();
        run("dig", "bind9-dnsutils", &server, &arguments)
    };
    assert!(over(&port, &[]).contains("Transfer failed"));
    let said = over(&tls, &["+tls"]);
    assert!(said.contains("4005 records") && !said.contains("(messages 1,"), "{said}");
}

fn named(primary: u16, files: &Path, directory: &Path, port: u16) -> Recipe {
    let (directory, files) = (directory.display(), files.display());
    let config = format!(
        "options {{\n directory \"{directory}\";\n listen-on port {port} {{ 127.0.0.1; }};\n \
         listen-on-v6 {{ none; }};\n pid-file none;\n recursion no;\n dnssec-validation no;\n}};\n\
         controls {{ }};\ntls ours {{\n ca-file \"{files}/cert.pem\";\n remote-hostname \"{NAME}\";\n}};\n\
         zone \"example.org\" {{\n type secondary;\n file \"copy\";\n primaries {{ 127.0.0.1 port {primary} \
         tls ours; }};\n}};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}

/// Waits until a secondary server has the zone.
fn wait_for(port: u16, said: impl Fn() -> String) {
    let client = Client::with_patience(port, Duration::from_millis(200));
    let asked = Question::new("host-3999.example.org.", RecordType::A);
    let deadline = Instant::now() + PATIENCE;
    while !client.try_udp(&asked).is_ok_and(|reply| !reply.answer.is_empty()) {
        assert!(Instant::now() < deadline, "no zone in time:\n{}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn named_and_our_own_secondary_take_the_zone_over_tls() {
    let (server, tls, _) = serve();
    let files = server.scratch.path().to_owned();
    let port = free_port();
    let probe = Question::new("host-3999.example.org.", RecordType::A);
    let peer = Peer::start_at(port, |directory, port| named(tls, &files, directory, port), &probe);
    wait_for(port, || format!("{}\nours: {}", peer.said(), server.said()));
    let scratch = Scratch::new();
    let own = free_port();
    scratch.write(
        "Corefile",
        &format!(
            "example.org:{own} {{\n bind 127.0.0.1\n secondary {{\n transfer from \
             tls://127.0.0.1:{tls}%{NAME}\n tls {}/cert.pem\n }}\n}}\n",
            files.display()
        ),
    );
    let secondary = Server::start_in(scratch, own, &["-conf", "Corefile"]);
    wait_for(own, || format!("{}\nprimary: {}", secondary.said(), server.said()));
}
