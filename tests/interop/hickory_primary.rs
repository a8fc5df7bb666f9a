//! `secondary` with hickory-server as its primary: a whole zone, a newer version after a NOTIFY, and no changes,
//! which hickory-server does not send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_server::Server as Hickory;
use hickory_server::proto::rr::{Name, RecordSet, RecordType, RrKey};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use wire::{Opcode, Rcode, Rtype};

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Server, free_port, question};

/// The zone with this serial, which is also the last octet of an address.
fn records(serial: u8) -> BTreeMap<RrKey, RecordSet> {
    let mut text = format!(
        "$TTL 300\n@ SOA ns host {serial} 7200 3600 1209600 300\n@ NS ns\nns A 192.0.2.1\nwww A \
         192.0.2.{serial}\n@ MX 10 mail.example.net.\n*.wild TXT \"a b\" \"c\"\nalias CNAME www\nsrv \
         SRV 10 60 5060 www\ncaa CAA 0 issue \"ca.example.net\"\n"
    );
    for host in 0..500 {
        text += &format!("host{host} A 198.51.100.{}\n", host % 250);
    }
    let origin = Name::from_ascii("example.org.").unwrap();
    Parser::new(text, None, Some(origin)).parse().unwrap().1
}

struct Primary {
    runtime: Runtime,
    _server: Hickory<Catalog>,
    zone: Arc<InMemoryZoneHandler>,
    port: u16,
}

impl Primary {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let origin = Name::from_ascii("example.org.").unwrap();
        let (primary, policy) = (ZoneType::Primary, AxfrPolicy::AllowAll);
        let zone: InMemoryZoneHandler =
            InMemoryZoneHandler::new(origin.clone(), records(1), primary, policy, None).unwrap();
        let zone = Arc::new(zone);
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::clone(&zone) as _]);
        let mut server = Hickory::new(catalog);
        let port = free_port();
        runtime.block_on(async {
            server.register_socket(UdpSocket::bind(("127.0.0.1", port)).await.unwrap());
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            server.register_listener(listener, Duration::from_secs(5), 64);
        });
        Self { runtime, _server: server, zone, port }
    }

    fn change(&self, serial: u8) {
        let next = records(serial).into_iter().map(|(key, set)| (key, Arc::new(set))).collect();
        self.runtime.block_on(async { *self.zone.records_mut().await = next });
    }
}

fn wait_for(server: &Server, serial: u8) {
    let client = Client::with_patience(server.port, Duration::from_millis(200));
    let asked = Question::new("www.example.org.", RecordType::A);
    let wanted = format!("192.0.2.{serial}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.try_udp(&asked);
        if reply.is_ok_and(|reply| reply.answer.iter().any(|record| record.rdata == wanted)) {
            return;
        }
        assert!(Instant::now() < deadline, "no {wanted} in time:\n{}", server.said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_zone_comes_from_hickory_server_and_follows_it() {
    let primary = Primary::start();
    let server = Server::start(&format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  debug\n  secondary {{\n    transfer from \
         127.0.0.1:{}\n  }}\n}}\n",
        primary.port
    ));
    wait_for(&server, 1);
    let (ours, theirs) = (Client::new(server.port), Client::new(primary.port));
    let same = || {
        for (name, rtype) in [
            ("example.org.", RecordType::SOA),
            ("example.org.", RecordType::MX),
            ("host499.example.org.", RecordType::A),
            ("a.wild.example.org.", RecordType::TXT),
            ("alias.example.org.", RecordType::A),
            ("srv.example.org.", RecordType::SRV),
            ("caa.example.org.", RecordType::CAA),
            ("nothere.example.org.", RecordType::A),
        ] {
            let asked = Question::new(name, rtype);
            let (ours, theirs) = (ours.ask(&asked), theirs.ask(&asked));
            assert_eq!((ours.rcode, &ours.answer), (theirs.rcode, &theirs.answer), "{asked}");
        }
    };
    same();
    primary.change(2);
    // hickory-server sends no NOTIFY messages.
    let mut notify = question(7, "example.org", Rtype::SOA, &[]);
    notify[2] = Opcode::NOTIFY.0 << 3 | 4;
    assert_eq!(Rcode(server.ask(&notify).rcode()), Rcode::NOERROR);
    wait_for(&server, 2);
    same();
    let said = server.said();
    assert!(said.contains(": AXFR to serial 2 from"), "{said}");
    assert!(said.contains("no changes from 127.0.0.1:"), "IXFR was tried: {said}");
}
