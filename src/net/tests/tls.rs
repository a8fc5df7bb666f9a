//! DNS over TLS over real sockets.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use net::tls::{
    Acceptor, Certificate, Chain, ClientAuth, Clients, Credentials, Identity, Material, TicketKeys,
    Trust,
};
use net::{Change, Limits, ListenSpec, Workers};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    StreamOwned,
};
use wire::{Endpoint, Scheme};

/// A certificate of the tests, and its key.
struct Made {
    pem: String,
    key: String,
}

impl Made {
    fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn rsa() -> Self {
        let (pem, key) = (include_str!("keys/rsa.pem"), include_str!("keys/rsa.key.pem"));
        Self { pem: pem.to_owned(), key: key.to_owned() }
    }

    fn certificate(&self) -> Certificate {
        let chain = Chain::from_pem(self.pem.as_bytes()).unwrap();
        Certificate::new(&Identity::new(chain, self.key.as_bytes()).unwrap()).unwrap()
    }

    fn der(&self) -> CertificateDer<'static> {
        rustls::pki_types::pem::PemObject::from_pem_slice(self.pem.as_bytes()).unwrap()
    }
}

fn nobody() -> Clients {
    Clients::new(ClientAuth::None, &Trust::none()).unwrap()
}

fn material(made: &[&Made]) -> Material {
    let certificates = made.iter().map(|made| made.certificate()).collect();
    Material { certificates, clients: nobody() }
}

fn credentials(material: Material) -> Arc<Credentials> {
    Arc::new(Credentials::new(material, TicketKeys::random().unwrap(), None))
}

fn spec(credentials: &Arc<Credentials>) -> ListenSpec {
    let address = "127.0.0.1:0".parse().unwrap();
    let mut spec = ListenSpec::new(Endpoint { scheme: Scheme::Tls, address });
    spec.tls = Some(Acceptor::new(vec![Arc::clone(credentials)]).unwrap());
    spec
}

fn serve(workers: &Workers) -> (net::Listener, SocketAddr) {
    let (listener, address, _) =
        listen_with(workers, &spec(&credentials(material(&[&Made::new("dns.example")]))));
    (listener, address)
}

/// Accepts every certificate.
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

/// A client's configuration; `identity` is what it presents.
fn config(tls12: bool, identity: Option<&Made>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let version = if tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything));
    match identity {
        None => builder.with_no_client_auth(),
        Some(made) => {
            let key = PrivateKeyDer::try_from(
                rcgen::KeyPair::from_pem(&made.key).unwrap().serialize_der(),
            );
            builder.with_client_auth_cert(vec![made.der()], key.unwrap()).unwrap()
        }
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect_with(to: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

fn connect(to: SocketAddr) -> Client {
    connect_with(to, &Arc::new(config(false, None)), "dns.example")
}

fn receive(stream: &mut impl Read) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// Asks once; the reply's id.
fn ask(stream: &mut Client, id: u16) -> u16 {
    stream.write_all(&framed(&message(id, READY, &[7]))).unwrap();
    common::id(&receive(stream))
}

#[test]
fn answers_overtake_each_other() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = serve(&workers);
    for tls12 in [false, true] {
        let mut stream = connect_with(addr, &Arc::new(config(tls12, None)), "dns.example");
        let all: Vec<u8> = (0..90)
            .flat_map(|id| match id % 3 {
                0 => framed(&message(id, WAITS, &[200])),
                1 => framed(&message(id, READY, &[])),
                _ => framed(&message(id, SILENT, &[])),
            })
            .collect();
        stream.write_all(&all).unwrap();
        let order: Vec<u16> = (0..60).map(|_| id(&receive(&mut stream)) % 3).collect();
        assert!(order[..30].iter().all(|&kind| kind == 1), "{order:?}");
        assert!(order[30..].iter().all(|&kind| kind == 0), "{order:?}");
    }
    assert_eq!(workers.stats().tls_full, 2);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn octet_by_octet() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = serve(&workers);
    let mut client = connect(addr);
    // The handshake and a query in the same flight as its end.
    client.conn.writer().write_all(&framed(&message(1, READY, &[7; 40]))).unwrap();
    let mut answer = Vec::new();
    while answer.len() < 2 + 12 + 41 {
        while client.conn.wants_write() {
            let mut octets = Vec::new();
            client.conn.write_tls(&mut octets).unwrap();
            for octet in octets {
                client.sock.write_all(&[octet]).unwrap();
            }
        }
        client.conn.read_tls(&mut client.sock).unwrap();
        client.conn.process_new_packets().unwrap();
        let mut part = [0; 512];
        if let Ok(len) = client.conn.reader().read(&mut part) {
            answer.extend_from_slice(&part[..len]);
        }
    }
    assert_eq!(answer[2..4], [0, 1]);
    assert_eq!(ask(&mut client, 2), 2);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn large_messages_both_ways_while_the_client_does_not_read() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = serve(&workers);
    let mut stream = connect(addr);
    let large = framed(&message(3, READY, &vec![7; 65_535 - 13]));
    assert_eq!(ask(&mut stream, 1), 1);
    let many = 40;
    // Written as far as the sockets take it; answers pile up on the way.
    let mut written = 0;
    stream.sock.set_nonblocking(true).unwrap();
    let all = large.repeat(many);
    let mut answered = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    while answered.len() < all.len() {
        assert!(Instant::now() < end, "{} of {}", answered.len(), all.len());
        if written < all.len() {
            written += stream.conn.writer().write(&all[written..]).unwrap();
        }
        while stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok() {}
        if stream.conn.read_tls(&mut stream.sock).is_ok() {
            stream.conn.process_new_packets().unwrap();
            let mut part = vec![0; 1 << 20];
            while let Ok(len @ 1..) = stream.conn.reader().read(&mut part) {
                answered.extend_from_slice(&part[..len]);
            }
        }
    }
    let answer = |n: usize| &answered[n * large.len()..][..large.len()];
    assert!((0..many).all(|n| answer(n)[14..] == large[14..] && answer(n)[4] & 0x80 != 0));
    workers.shutdown(Duration::ZERO);
}

#[test]
fn sessions_are_resumed_and_certificates_replaced_without_closing_anything() {
    let workers = workers(1, Limits::default());
    let (old, new) = (Made::new("dns.example"), Made::new("dns.example"));
    let credentials = credentials(material(&[&old]));
    let (_listener, addr, _) = listen_with(&workers, &spec(&credentials));
    let config = Arc::new(config(false, None));
    let mut first = connect_with(addr, &config, "dns.example");
    assert_eq!(ask(&mut first, 1), 1);
    assert_eq!(first.conn.peer_certificates().unwrap()[0], old.der());
    credentials.replace(material(&[&new]));
    let mut second = connect_with(addr, &config, "dns.example");
    assert_eq!(ask(&mut second, 2), 2);
    assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    let mut third = connect(addr);
    assert_eq!(ask(&mut third, 3), 3);
    assert_eq!(third.conn.peer_certificates().unwrap()[0], new.der());
    assert_eq!((ask(&mut first, 4), ask(&mut second, 5)), (4, 5));
    let stats = workers.stats();
    assert_eq!((stats.tls_full, stats.tls_resumed, stats.tls_failed), (2, 1, 0));
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_certificate_is_chosen_by_name_and_by_key() {
    let workers = workers(1, Limits::default());
    let (one, two, rsa) = (Made::new("one.example"), Made::new("*.two.example"), Made::rsa());
    // Those of two server blocks.
    let blocks = [credentials(material(&[&one, &rsa])), credentials(material(&[&two]))];
    let mut spec = spec(&blocks[0]);
    spec.tls = Some(Acceptor::new(blocks.to_vec()).unwrap());
    let (_listener, addr, _) = listen_with(&workers, &spec);
    let config = Arc::new(config(false, None));
    let shown = |name: &str| {
        let mut client = connect_with(addr, &config, name);
        assert_eq!(ask(&mut client, 1), 1);
        client.conn.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown("one.example"), one.der());
    assert_eq!(shown("a.two.example"), two.der());
    assert_eq!(shown("rsa.example"), rsa.der());
    assert_eq!(shown("other.example"), one.der());
    assert_eq!(shown("192.0.2.1"), one.der(), "no name at all");
    workers.shutdown(Duration::ZERO);
}

#[test]
fn clients_need_the_certificate_that_is_demanded() {
    let workers = workers(1, Limits::default());
    let (server, known, stranger) = (Made::new("a"), Made::new("b"), Made::new("c"));
    let trust = Trust::from_pem(known.pem.as_bytes()).unwrap();
    let who = [None, Some(&known), Some(&stranger)];
    let modes = [
        (ClientAuth::None, [true, true, true]),
        (ClientAuth::Request, [true, true, true]),
        (ClientAuth::Require, [false, true, true]),
        (ClientAuth::VerifyIfGiven, [true, true, false]),
        (ClientAuth::RequireAndVerify, [false, true, false]),
    ];
    for (mode, expected) in modes {
        let clients = Clients::new(mode, &trust).unwrap();
        let material = Material { certificates: vec![server.certificate()], clients };
        let (_listener, addr, _) = listen_with(&workers, &spec(&credentials(material)));
        for (identity, expected) in who.into_iter().zip(expected) {
            let mut client = connect_with(addr, &Arc::new(config(false, identity)), "a.example");
            let asked = framed(&message(1, READY, &[7]));
            let served = client.write_all(&asked).is_ok() && {
                let mut answer = [0; 4];
                match client.read_exact(&mut answer) {
                    Ok(()) => true,
                    Err(error) => {
                        let told = error.to_string();
                        let why = ["CertificateRequired", "DecryptError"];
                        assert!(why.iter().any(|why| told.contains(why)), "{told}");
                        false
                    }
                }
            };
            assert_eq!(served, expected, "{mode:?}");
        }
    }
    workers.shutdown(Duration::ZERO);
}

#[test]
fn protocols_are_named_or_not_at_all() {
    let workers = workers(1, Limits::default());
    let (_listener, addr) = serve(&workers);
    for (named, served) in
        [(&["dot"][..], true), (&["h2", "dot"], true), (&[], true), (&["h2"], false)]
    {
        let mut config = config(false, None);
        config.alpn_protocols = named.iter().map(|one| one.as_bytes().to_vec()).collect();
        let mut client = connect_with(addr, &Arc::new(config), "dns.example");
        let asked = client.write_all(&framed(&message(1, READY, &[7])));
        assert_eq!(asked.is_ok() && client.read_exact(&mut [0; 4]).is_ok(), served, "{named:?}");
    }
    eventually("it is counted", || workers.stats().tls_failed == 1);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn handshakes_that_fail_or_do_not_end() {
    let workers = workers(1, Limits::default());
    let mut spec = spec(&credentials(material(&[&Made::new("dns.example")])));
    spec.tcp.read = Duration::from_millis(300);
    let (_listener, addr, _) = listen_with(&workers, &spec);
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut all = Vec::new();
        // A reset will do as well.
        let _ = stream.read_to_end(&mut all);
        all
    };
    // Plain DNS: an alert, then the end.
    let mut plain = TcpStream::connect(addr).unwrap();
    plain.write_all(&framed(&message(1, READY, &[7; 40]))).unwrap();
    assert_eq!(closed(&mut plain).first(), Some(&21));
    eventually("it is counted", || workers.stats().tls_failed == 1);
    // A record longer than any.
    let mut long = TcpStream::connect(addr).unwrap();
    long.write_all(&[22, 3, 1, 0xff, 0xff, 1]).unwrap();
    assert_eq!(closed(&mut long).first(), Some(&21));
    // A ClientHello of 16 MiB in records that are right each.
    let mut endless = TcpStream::connect(addr).unwrap();
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let more = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let began = endless.write_all(&record).is_ok();
    for _ in 0..64 {
        // It may be closed by now.
        let _ = endless.write_all(&more);
    }
    closed(&mut endless);
    assert!(began);
    eventually("they are counted", || workers.stats().tls_failed == 3);
    // Nothing at all, and half a record.
    let start = Instant::now();
    let mut silent = TcpStream::connect(addr).unwrap();
    let mut half = TcpStream::connect(addr).unwrap();
    half.write_all(&[22, 3, 1, 0, 100, 1]).unwrap();
    assert!(closed(&mut silent).is_empty() && closed(&mut half).is_empty());
    assert!(start.elapsed() < Duration::from_secs(3));
    eventually("timeouts are counted", || workers.stats().tls_timed_out == 2);
    assert_eq!(ask(&mut connect(addr), 9), 9);
    eventually("nothing is left", || workers.stats().tcp_open <= 1);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn the_oldest_handshake_goes_for_a_new_one() {
    let workers = workers(1, Limits { tcp_connections: 2000, ..Limits::default() });
    let (_listener, addr) = serve(&workers);
    let mut kept = connect(addr);
    assert_eq!(ask(&mut kept, 1), 1);
    let half_open: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(addr).unwrap()).collect();
    eventually("some are ended", || workers.stats().tls_evicted >= 600 - 512);
    assert_eq!((ask(&mut kept, 2), ask(&mut connect(addr), 3)), (2, 3));
    assert!(workers.stats().tcp_open <= 512 + 3);
    drop(half_open);
    eventually("all have ended", || workers.stats().tcp_open <= 1);
    assert_eq!(ask(&mut connect(addr), 4), 4);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn both_sides_say_that_they_close() {
    let workers = workers(1, Limits::default());
    let mut spec = spec(&credentials(material(&[&Made::new("dns.example")])));
    spec.tcp.idle = Duration::from_millis(300);
    let (_listener, addr, _) = listen_with(&workers, &spec);
    // The server, after a while: a plain end of the socket would be an error here.
    let mut idle = connect(addr);
    assert_eq!(ask(&mut idle, 1), 1);
    assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0);
    // The client, behind a query that waits: it is answered.
    let mut leaving = connect(addr);
    leaving.write_all(&framed(&message(2, WAITS, &[100]))).unwrap();
    leaving.conn.send_close_notify();
    leaving.flush().unwrap();
    assert_eq!(id(&receive(&mut leaving)), 2);
    assert_eq!(leaving.read(&mut [0; 8]).unwrap(), 0);
    eventually("both are gone", || workers.stats().tcp_open == 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let workers = workers(1, Limits::default());
    let mut spec = spec(&credentials(material(&[&Made::new("dns.example")])));
    spec.tcp.write = Duration::from_millis(300);
    let (_listener, addr, _) = listen_with(&workers, &spec);
    let mut stream = connect(addr);
    assert_eq!(ask(&mut stream, 1), 1);
    let all = framed(&message(3, READY, &vec![7; 60_000])).repeat(4);
    stream.sock.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while workers.stats().tcp_timed_out == 0 {
        // It blocks once nothing is taken any more.
        if stream.write_all(&all).is_err() && workers.stats().tcp_open == 0 {
            break;
        }
    }
    eventually("it is gone", || workers.stats().tcp_open == 0);
    workers.shutdown(Duration::ZERO);
}

#[test]
fn settings_change_without_other_sockets() {
    let workers = workers(1, Limits::default());
    let first = credentials(material(&[&Made::new("dns.example")]));
    let mut spec = spec(&first);
    let (listener, addr, _) = listen_with(&workers, &spec);
    let mut open = connect(addr);
    assert_eq!(ask(&mut open, 1), 1);
    assert_eq!(listener.change_to(&spec, 1), Change::None);
    spec.tls = Some(Acceptor::new(vec![Arc::clone(&first)]).unwrap());
    assert_eq!(listener.change_to(&spec, 1), Change::None, "the same credentials");
    let made = Made::new("dns.example");
    let other = credentials(material(&[&made]));
    spec.tls = Some(Acceptor::new(vec![other]).unwrap());
    assert_eq!(listener.change_to(&spec, 1), Change::Apply);
    listener.apply(&spec);
    let mut new = connect(addr);
    assert_eq!((ask(&mut open, 2), ask(&mut new, 3)), (2, 3));
    assert_eq!(new.conn.peer_certificates().unwrap()[0], made.der());
    workers.shutdown(Duration::ZERO);
}
