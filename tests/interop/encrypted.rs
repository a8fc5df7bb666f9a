//! `forward` over HTTPS, QUIC and HTTP/3: to a hickory-server that speaks all three, and over HTTPS
//! to a dnsdist before it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server as Hickory;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;
use hickory_server::zone_handler::Catalog;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{DEFAULT_VERSIONS, ServerConfig};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use wire::Rtype;

use crate::ask::{Client, Question};
use crate::hickory::{catalog, compare, questions};
use crate::kit::{Answer, Scratch, Server, free_port, question};
use crate::peer::{Peer, Recipe};

const NAME: &str = "dns.example.net";
/// How long hickory waits for a query before it closes a connection.
const IDLE: Duration = Duration::from_secs(5);
/// Questions at once. hickory closes a connection of QUIC after its hundredth query.
const BURST: u16 = 100;

/// A certificate that vouches for itself, as files.
struct Certificate {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
    files: Scratch,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let files = Scratch::new();
        files.write("cert.pem", &made.cert.pem());
        files.write("key.pem", &made.signing_key.serialize_pem());
        Self { made, files }
    }

    fn path(&self) -> String {
        self.files.path().join("cert.pem").display().to_string()
    }

    fn server(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(self.made.signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(DEFAULT_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

/// Where hickory listens.
#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    https: u16,
    quic: u16,
    h3: u16,
}

impl Ports {
    fn new() -> Self {
        Self { plain: free_port(), https: free_port(), quic: free_port(), h3: free_port() }
    }

    /// It as an upstream, in all three ways.
    fn upstreams(self) -> [String; 3] {
        [
            format!("https://127.0.0.1:{}%{NAME}", self.https),
            format!("quic://127.0.0.1:{}%{NAME}", self.quic),
            format!("h3://127.0.0.1:{}%{NAME}/dns-query", self.h3),
        ]
    }
}

/// hickory-server with the zone of the other tests; ends with the value.
struct Upstream {
    runtime: Runtime,
    server: Hickory<Catalog>,
}

impl Upstream {
    fn start(certificate: &Certificate, ports: Ports) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut server = Hickory::new(catalog());
        runtime.block_on(async {
            let udp = async |port| UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
            let tcp = async |port| TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            server.register_socket(udp(ports.plain).await);
            server.register_listener(tcp(ports.plain).await, IDLE, 64);
            let (name, path) = (Some(NAME.to_owned()), "/dns-query".to_owned());
            server
                .register_https_listener_with_tls_config(
                    tcp(ports.https).await,
                    IDLE,
                    certificate.server(b"h2"),
                    name.clone(),
                    path,
                )
                .unwrap();
            let tls = certificate.server(b"doq");
            server.register_quic_listener_and_tls_config(udp(ports.quic).await, IDLE, tls).unwrap();
            let tls = certificate.server(b"h3");
            server
                .register_h3_listener_with_tls_config(udp(ports.h3).await, IDLE, tls, name)
                .unwrap();
        });
        Self { runtime, server }
    }

    fn stop(mut self) {
        self.runtime.block_on(self.server.shutdown_gracefully()).unwrap();
    }
}

fn forwards(certificate: &Certificate, upstream: &str, options: &str) -> Server {
    Server::start(&format!(
        ".:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . \
         {upstream} {{\n    tls {}\n    health_check 50ms\n    {options}\n  }}\n}}\n",
        certificate.path()
    ))
}

/// Sends many questions at once and waits for all answers.
fn burst(server: &Server) {
    let socket = server.udp();
    for id in 0..BURST {
        let name = format!("n{id}.wild.example.org.");
        socket.send(&question(id, &name, Rtype::A, &[])).unwrap();
    }
    let mut ids = HashSet::new();
    let mut bytes = [0; 2048];
    while ids.len() < usize::from(BURST) {
        let len = socket.recv(&mut bytes).unwrap();
        let answer = Answer(bytes[..len].to_vec());
        assert_eq!((answer.rcode(), answer.answers()), (0, 1), "{}", server.said());
        assert!(ids.insert(answer.id()));
    }
}

#[test]
fn hickory_is_asked_over_https_quic_and_http_3() {
    let (certificate, ports) = (Certificate::new(), Ports::new());
    let upstream = Upstream::start(&certificate, ports);
    let direct = Client::new(ports.plain);
    let servers = ports.upstreams().map(|to| forwards(&certificate, &to, "max_fails 0"));
    let mut differences = Vec::new();
    for question in questions() {
        let reply = direct.ask(&question);
        for server in &servers {
            let client = Client::new(server.port);
            differences.extend(compare(&question, &reply, &client.ask_tcp(&question)).err());
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let large = Question::new("big.example.org.", RecordType::TXT);
    for server in &servers {
        burst(server);
        let client = Client::new(server.port);
        assert_eq!(client.ask_tcp(&large).answer.len(), 30);
        assert!(client.ask_udp(&large).truncated, "by us, for this client");
    }

    // It goes, and comes again.
    upstream.stop();
    let _upstream = Upstream::start(&certificate, ports);
    let here = Question::new("www.example.org.", RecordType::A);
    for server in &servers {
        let patient = Client::with_patience(server.port, Duration::from_secs(10));
        assert_eq!(patient.try_udp(&here).unwrap().rcode, ResponseCode::NoError);
        burst(server);
    }
}

#[test]
fn upstreams_that_are_not_who_they_should_be() {
    let (certificate, ports) = (Certificate::new(), Ports::new());
    let _upstream = Upstream::start(&certificate, ports);
    let here = Question::new("www.example.org.", RecordType::A);
    for to in ports.upstreams() {
        let other = to.replace(NAME, "other.example.net");
        let mut server = Server::start(&format!(
            "named.test:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . {other} {{\n    tls \
             {0}\n  }}\n}}\nunknown.test:{{port}} {{\n  bind 127.0.0.1\n  errors\n  forward . \
             {to}\n}}\nexample.org:{{port}} {{\n  bind 127.0.0.1\n  forward . {to} {{\n    tls {0}\n  \
             }}\n}}\n",
            certificate.path(),
        ));
        let client = Client::new(server.port);
        for zone in ["named.test.", "unknown.test."] {
            let reply = client.ask_udp(&Question::new(zone, RecordType::A));
            assert_eq!(reply.rcode, ResponseCode::ServFail);
        }
        let scheme = to.split(':').next().unwrap();
        // CoreDNS has no upstreams over QUIC, so these texts are those of rustls.
        let (start, name, issuer) = match scheme {
            "https" => (
                "Post \"https://127.0.0.1:".to_owned(),
                "x509: certificate is valid for dns.example.net, not other.example.net",
                "x509: certificate signed by unknown authority",
            ),
            _ => (
                "invalid peer certificate: ".to_owned(),
                "not valid for name \"other.example.net\"",
                "UnknownIssuer",
            ),
        };
        for text in [&start, name, issuer] {
            server.wait_for(text);
        }
        assert_eq!(client.ask_udp(&here).rcode, ResponseCode::NoError);
    }
}

/// A dnsdist with `/own` and no other path, which says that its answers are 250 seconds old.
fn dnsdist(port: u16, https: u16, backend: u16, files: &Path) -> Peer {
    let recipe = |_: &Path, port: u16| {
        let config = format!(
            "setLocal('127.0.0.1:{port}')\nnewServer('127.0.0.1:{backend}')\n\
             addDOHLocal('127.0.0.1:{https}', '{0}/cert.pem', '{0}/key.pem', {{'/own'}}, \
             {{customResponseHeaders={{['age']='250'}}}})\n",
            files.display(),
        );
        let arguments = &["--supervised", "--disable-syslog", "-C"];
        Recipe { program: "dnsdist", package: "dnsdist", config, arguments }
    };
    Peer::start_at(port, recipe, &Question::new("www.example.org.", RecordType::A))
}

#[test]
fn dnsdist_is_asked_over_https() {
    let (certificate, ports) = (Certificate::new(), Ports::new());
    let _upstream = Upstream::start(&certificate, ports);
    let (port, https) = (free_port(), free_port());
    let peer = dnsdist(port, https, ports.plain, certificate.files.path());
    let address = format!("https://127.0.0.1:{https}%{NAME}");
    let here = Question::new("www.example.org.", RecordType::A);
    for (path, options) in [("/own", ""), ("/own{?dns}", "doh_method GET")] {
        let server = forwards(&certificate, &format!("{address}{path}"), options);
        burst(&server);
        let client = Client::new(server.port);
        let ttls: Vec<u32> = client.ask_udp(&here).answer.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls, [50, 50], "300 less its age");
    }

    let mut lost = forwards(&certificate, &format!("{address}/other"), "");
    let reply = lost.ask(&question(
        7,
        "www.example.org.",
        Rtype::A,
        // An OPT record, for there is something to say.
        &[0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0],
    ));
    assert_eq!(reply.rcode(), 2);
    let told = format!("invalid reply from 127.0.0.1:{https}: HTTP status 404 Not Found");
    let told = told.as_bytes();
    assert!(reply.0.windows(told.len()).any(|bytes| bytes == told), "as an extended error");
    lost.wait_for(&format!("upstream 127.0.0.1:{https}: HTTP status 404 Not Found"));

    let server = forwards(&certificate, &format!("{address}/own"), "");
    burst(&server);
    drop(peer);
    let _peer = dnsdist(port, https, ports.plain, certificate.files.path());
    let patient = Client::with_patience(server.port, Duration::from_secs(10));
    assert_eq!(patient.try_udp(&here).unwrap().rcode, ResponseCode::NoError);
    burst(&server);
}
