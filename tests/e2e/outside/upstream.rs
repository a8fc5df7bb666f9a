//! An upstream whose answers depend on the question alone.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};

use exchange::Query;
use wire::{NewRecord, Rdata, Reply, Rtype, Section, name};

use crate::kit::framed;

/// It ends with the process.
pub(super) struct Upstream {
    pub(super) port: u16,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let port = udp.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok((len, from)) = udp.recv_from(&mut message) {
                let _ = udp.send_to(&answer(&message[..len]), from);
            }
        });
        std::thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                std::thread::spawn(move || connection(stream));
            }
        });
        Self { port }
    }
}

fn connection(mut stream: TcpStream) {
    let mut len = [0; 2];
    while stream.read_exact(&mut len).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        if stream.read_exact(&mut message).is_err()
            || stream.write_all(&framed(&answer(&message))).is_err()
        {
            return;
        }
    }
}

const V4: [Rdata<'_>; 2] =
    [Rdata::A(Ipv4Addr::new(192, 0, 2, 1)), Rdata::A(Ipv4Addr::new(192, 0, 2, 2))];
const V6: Rdata<'_> = Rdata::Aaaa(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1));
const SOA: Rdata<'_> = Rdata::Soa {
    mname: name!("."),
    rname: name!("."),
    serial: 1,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: 60,
};

/// The first label says what comes: `nx`, `empty`, `fail`, `refused`, `two`, else one address.
fn answer(message: &[u8]) -> Vec<u8> {
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.receive(message).unwrap();
    reply.begin(&query);
    let first = name::labels(query.name()).next().unwrap_or_default().to_vec();
    let rcode = match (first.as_slice(), query.qtype()) {
        (b"nx", _) | (_, Rtype::HINFO) => 3,
        (b"fail", _) => 2,
        (b"refused", _) => 5,
        _ => 0,
    };
    let addresses: &[Rdata<'_>] = match (first.as_slice(), query.qtype()) {
        _ if rcode != 0 => &[],
        (b"empty", _) => &[],
        (b"two", Rtype::A) => &[V4[0], V4[1]],
        (_, Rtype::A) => &V4[..1],
        (_, Rtype::AAAA) => &[V6],
        _ => &[],
    };
    addresses.iter().for_each(|address| reply.answer(300, *address));
    if addresses.is_empty() && (rcode == 0 || rcode == 3) {
        reply.push(Section::Authority, NewRecord::new(name!("."), 60, SOA));
    }
    // RD and CD as they were sent.
    let sent = u16::from_be_bytes([message[2], message[3]]) & 0x0110;
    reply.seal(query.id(), 0x8080 | sent | rcode);
    reply.bytes().to_vec()
}
