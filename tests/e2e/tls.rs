//! DNS over TLS by the real program: two lines of configuration, certificates that are replaced while queries come,
//! reloads, and what ten thousand idle connections cost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use wire::Rtype;

use crate::kit::{Answer, PATIENCE, Scratch, Server, ZONE, framed, free_port, question};

/// Accepts every certificate: which one it was is compared.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client that resumes no session, so that it sees the certificate each time.
fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything));
    let mut config = builder.with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    fn connect(port: u16, config: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("dns.example").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self(StreamOwned::new(session, stream))
    }

    /// Asks for `www.example.org`.
    fn ask(&mut self, id: u16) {
        let asked = question(id, "www.example.org", Rtype::A, &[]);
        self.0.write_all(&framed(&asked)).unwrap();
        let mut len = [0; 2];
        self.0.read_exact(&mut len).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        self.0.read_exact(&mut message).unwrap();
        let answer = Answer(message);
        assert_eq!((answer.id(), answer.rcode(), answer.answers()), (id, 0, 1));
    }

    fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// Replaces the certificate in the folder; returns it.
fn renew(scratch: &Scratch) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["dns.example".to_owned()]).unwrap();
    // One file, so that certificate and key are replaced together.
    let both = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    scratch.write("next.pem", &both);
    std::fs::rename(scratch.path().join("next.pem"), scratch.path().join("cert.pem")).unwrap();
    made.cert.der().to_vec()
}

/// A server of the test's zone with DNS over TLS on a port of its own.
fn serve(options: &str) -> (Server, u16) {
    let (scratch, port, tls) = (Scratch::new(), free_port(), free_port());
    renew(&scratch);
    scratch.write("example.org.zone", ZONE);
    let corefile = format!(
        "example.org {{\n bind 127.0.0.1\n file example.org.zone\n tls://.:{tls} {{\n tls cert.pem \
         cert.pem\n {options}\n }}\n prometheus 127.0.0.1:{}\n}}\n",
        free_port()
    );
    scratch.write("Corefile", &corefile);
    (Server::start_in(scratch, port, &["-conf", "Corefile"]), tls)
}

#[test]
fn certificates_and_configurations_are_replaced_under_load() {
    let (mut server, tls) = serve("");
    let config = config();
    let mut kept = Client::connect(tls, &config);
    kept.ask(1);
    let first = kept.certificate();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each query on a connection of its own: no handshake fails.
        let asking = scope.spawn(|| {
            let mut count = 0u16;
            while !done.load(Ordering::Relaxed) {
                Client::connect(tls, &config).ask(count);
                count = count.wrapping_add(1);
            }
            count
        });
        let mut last = first;
        for round in 0..10 {
            if round % 3 == 2 {
                server.signal("HUP");
            }
            let new = renew(&server.scratch);
            assert_ne!(new, last);
            server.wait_until("the new certificate", |_| {
                let mut client = Client::connect(tls, &config);
                client.ask(2);
                client.certificate() == new
            });
            kept.ask(round);
            last = new;
        }
        // What is no certificate replaces nothing.
        server.scratch.write("cert.pem", "nothing");
        server.wait_for("what was read before stays in use");
        let mut client = Client::connect(tls, &config);
        client.ask(3);
        assert_eq!(client.certificate(), last);
        done.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 10);
    });
    kept.ask(4);
    server.assert_serves();
}

#[test]
fn a_stop_answers_what_has_arrived_and_says_goodbye() {
    let (mut server, tls) = serve("");
    let config = config();
    let mut client = Client::connect(tls, &config);
    client.ask(1);
    server.signal("TERM");
    assert_eq!(client.0.read(&mut [0; 8]).unwrap(), 0, "close_notify, and no reset");
    assert_eq!(server.wait(), Some(0));
}

/// Resident memory of a process, in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn idle_connections_cost_little() {
    const COUNT: u64 = 400;
    let (server, tls) = serve("timeouts {\n idle 1h\n }");
    let config = config();
    let open = |count: u64| -> Vec<Client> {
        (0..count)
            .map(|id| {
                let mut client = Client::connect(tls, &config);
                client.ask(id as u16);
                client
            })
            .collect()
    };
    // Buffers that all connections share are there from now on.
    drop(open(50));
    let before = resident(server.id());
    let clients = open(COUNT);
    // Tickets and the like are on their way.
    std::thread::sleep(Duration::from_millis(100));
    let each = (resident(server.id()) - before) * 1024 / COUNT;
    println!("{each} octets of an idle connection");
    // 10,000 of them have less than 200 MB.
    assert!(each < 20_000, "{each} octets each");
    drop(clients);
}
