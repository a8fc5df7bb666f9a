//! An upstream whose answers depend on the question alone.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use exchange::Query;
use wire::{Class, Name, Reply, Rtype, Section, name};

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
    let addresses: &[&[u8]] = match (first.as_slice(), query.qtype()) {
        _ if rcode != 0 => &[],
        (b"empty", _) => &[],
        (b"two", Rtype::A) => &[&[192, 0, 2, 1], &[192, 0, 2, 2]],
        (_, Rtype::A) => &[&[192, 0, 2, 1]],
        (_, Rtype::AAAA) => &[&[0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
        _ => &[],
    };
    for address in addresses {
        reply.push(Section::Answer, query.name(), query.qtype(), Class::IN, 300, address);
    }
    if addresses.is_empty() && (rcode == 0 || rcode == 3) {
        let owner = Name::root();
        // `. . 1 7200 1800 86400 60`
        let numbers = [1, 7200, 1800, 86_400, 60_u32].map(u32::to_be_bytes);
        let soa = [&[0, 0], numbers.as_flattened()].concat();
        reply.push(Section::Authority, owner.as_wire(), Rtype::SOA, Class::IN, 60, &soa);
    }
    // RD and CD as they were sent.
    let sent = u16::from_be_bytes([message[2], message[3]]) & 0x0110;
    reply.seal(query.id(), 0x8080 | sent | rcode);
    reply.bytes().to_vec()
}
