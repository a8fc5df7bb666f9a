//! Replies of several messages, from a plugin's `query.send` to a real client: the server completes
//! each message, and answers other queries on the same connection between them.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena::server::{CorefileSource, Options, Process};
use chain::memory::Memory;
use chain::{BoxFuture, Kind, Next, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Failure, HEADER, Rcode, Rdata, Rtype, Section};

/// Messages before the last one.
const MESSAGES: u16 = 400;
/// Records of each message: with their owner names compressed, about 60 KB.
const RECORDS: usize = 240;

/// How many messages the plugin has made.
static MADE: AtomicUsize = AtomicUsize::new(0);

static PLUGIN: Kind = Kind { name: "several", doc: "", answers: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    setup.no_arguments(uses)?;
    setup.link(Several);
    Ok(())
}

/// Answers AXFR with many messages, numbered by the TTL of their records, and A with one.
struct Several;

impl ServeDns for Several {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::TRANSFERS, ..Roles::default() }
    }

    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if query.qtype() == Rtype::AXFR {
            return Ok(Step::Wait);
        }
        reply.answer(60, Rdata::A([192, 0, 2, 1].into()));
        Ok(Step::Done)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let text = [b'x'; 240];
            for number in 0..=MESSAGES {
                reply.set_authoritative(true);
                for _ in 0..RECORDS {
                    reply.answer(u32::from(number), Rdata::Txt(&text));
                }
                MADE.fetch_add(1, Ordering::Relaxed);
                if number < MESSAGES && query.send(reply).await.is_err() {
                    return Err(Failure::rcode(Rcode::REFUSED));
                }
            }
            Ok(Step::Done)
        })
    }
}

/// A server with this plugin alone, and its address.
async fn server() -> (Process, std::net::SocketAddr) {
    let source = CorefileSource {
        name: "test".into(),
        path: None,
        text: "example.org:0 {\n bind 127.0.0.1\n several\n}\n".into(),
    };
    let options = Options {
        registry: catena::REGISTRY.before("file", &PLUGIN),
        port: 0,
        workers: 1,
        memory: Arc::new(Memory::new(u64::MAX)),
        watcher: None,
    };
    let process = Process::start(source, options).await.map_err(|it| it.text()).unwrap();
    let address = process.local_addresses()[0];
    (process, address)
}

fn question(id: u16, qtype: Rtype) -> Vec<u8> {
    let mut message = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    message.extend_from_slice(b"\x07example\x03org\0");
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// The TTL of the first record.
fn number(message: &[u8]) -> u32 {
    let message = wire::Message::new(message).unwrap();
    let first = message.records().next().unwrap().unwrap();
    assert_eq!((first.section, first.rtype), (Section::Answer, Rtype::TXT));
    first.ttl
}

#[tokio::test]
async fn a_transfer_and_other_queries_share_a_connection() {
    let (process, address) = server().await;
    let client = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&question(1, Rtype::AXFR)).unwrap();
        // The client does not read yet: the server makes a few messages, not all.
        stream.write_all(&question(2, Rtype::A)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let made = MADE.load(Ordering::Relaxed);
        let (mut numbers, mut others) = (Vec::new(), 0);
        while numbers.len() <= usize::from(MESSAGES) || others < 10 {
            let reply = message(&mut stream);
            match reply[..2] {
                [0, 1] => {
                    // Complete: QR and AA, one question, its records, and the id.
                    assert_eq!(
                        (reply[2] & 0x84, reply[3] & 15, reply.len() > 60_000),
                        (0x84, 0, true)
                    );
                    assert_eq!(reply[4..8], [0, 1, 0, RECORDS as u8]);
                    numbers.push(number(&reply));
                    if numbers.len() % 40 == 0 && numbers.len() < usize::from(MESSAGES) {
                        stream.write_all(&question(2, Rtype::A)).unwrap();
                    }
                }
                _ => {
                    assert_eq!((reply[1], reply[7], reply.len()), (2, 1, HEADER + 17 + 16));
                    // The first was sent before the client read anything.
                    assert!(others > 0 || numbers.len() < 200, "it does not wait for the transfer");
                    others += 1;
                }
            }
        }
        (made, numbers, others)
    });
    let (made, numbers, others) = client.await.unwrap();
    assert!(made < 200, "{made} messages for a client that does not read");
    assert_eq!(numbers, (0..=u32::from(MESSAGES)).collect::<Vec<_>>());
    assert_eq!(others, 10);
    process.stop().await;
}
