//! `forward` to an unbound over TLS: many questions at once, certificates that are not right, and
//! an unbound that starts again.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;
use wire::Rtype;

use crate::ask::{Client, Question};
use crate::kit::{Answer, Scratch, Server, free_port, question};
use crate::peer::{Peer, Recipe};

const NAME: &str = "dns.example.net";
/// Questions at once: more than one connection carries.
const BURST: u16 = 200;

/// An unbound that answers TXT questions below `example.org`, over TLS on a port of its own.
fn unbound(port: u16, tls_port: u16, files: &Path) -> Peer {
    let recipe = |directory: &Path, port: u16| {
        let config = format!(
            "server:\n  interface: 127.0.0.1@{port}\n  interface: 127.0.0.1@{tls_port}\n  \
             tls-port: {tls_port}\n  tls-service-key: \"{1}/key.pem\"\n  tls-service-pem: \
             \"{1}/cert.pem\"\n  num-threads: 1\n  username: \"\"\n  chroot: \"\"\n  directory: \
             \"{0}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  module-config: \
             \"iterator\"\n  local-zone: \"example.org.\" redirect\n  local-data: \"example.org. \
             60 TXT here\"\n  local-zone: \".\" static\nremote-control:\n  control-enable: no\n",
            directory.display(),
            files.display(),
        );
        Recipe { program: "unbound", package: "unbound", config, arguments: &["-d", "-c"] }
    };
    Peer::start_at(port, recipe, &Question::new("probe.example.org.", RecordType::TXT))
}

/// Sends a burst over UDP and waits for all answers.
fn burst(server: &Server) {
    let socket = server.udp();
    for id in 0..BURST {
        socket.send(&question(id, &format!("n{id}.example.org."), Rtype::TXT, &[])).unwrap();
    }
    let mut ids = HashSet::new();
    let mut bytes = [0; 2048];
    while ids.len() < usize::from(BURST) {
        let len = socket.recv(&mut bytes).unwrap();
        let answer = Answer(bytes[..len].to_vec());
        assert_eq!((answer.rcode(), answer.answers()), (0, 1));
        assert!(ids.insert(answer.id()));
    }
}

#[test]
fn an_unbound_is_asked_over_tls() {
    let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let files = Scratch::new();
    files.write("cert.pem", &certificate.cert.pem());
    files.write("key.pem", &certificate.signing_key.serialize_pem());
    let (port, tls_port) = (free_port(), free_port());
    let peer = unbound(port, tls_port, files.path());
    let ca = files.path().join("cert.pem");
    let mut server = Server::start(&format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . \
         tls://127.0.0.1:{tls_port}%{NAME} {{\n    tls {0}\n    health_check 50ms\n  }}\n}}\n\
         wrong-name.test:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . \
         tls://127.0.0.1:{tls_port} {{\n    tls {0}\n    tls_servername other.example.net\n  \
         }}\n}}\n\
         untrusted.test:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . \
         tls://127.0.0.1:{tls_port}%{NAME}\n}}\n",
        ca.display()
    ));
    burst(&server);

    let client = Client::new(server.port);
    for zone in ["wrong-name.test.", "untrusted.test."] {
        let reply = client.ask_udp(&Question::new(zone, RecordType::TXT));
        assert_eq!(reply.rcode, ResponseCode::ServFail);
    }
    server.wait_for("x509: certificate is valid for dns.example.net, not other.example.net");
    server.wait_for("x509: certificate signed by unknown authority");

    // Its connections die with it; the questions that meet that are asked again.
    drop(peer);
    let _peer = unbound(port, tls_port, files.path());
    let here = Question::new("name.example.org.", RecordType::TXT);
    let patient = Client::with_patience(server.port, Duration::from_secs(10));
    assert_eq!(patient.try_udp(&here).unwrap().rcode, ResponseCode::NoError);
    burst(&server);
}
