//! Messages of a primary, and a primary that sends them over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{Class, Name, Rtype};
use zone::{Builder, RecordRef, Zone};

use crate::{Kind, Limits, Peer, Request};

pub(super) const ZONE: &str = "example.org.";

pub(super) fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

pub(super) fn request(kind: Kind) -> Request {
    Request { id: 7, zone: name(ZONE), kind }
}

/// A record in wire form, nothing compressed.
pub(super) fn record(owner: &str, rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    let mut wire = name(owner).as_wire().to_vec();
    wire.extend_from_slice(&rtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire.extend_from_slice(&300u32.to_be_bytes());
    wire.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    wire.extend_from_slice(rdata);
    wire
}

pub(super) fn a(owner: &str, last: u8) -> Vec<u8> {
    record(owner, Rtype::A, &[192, 0, 2, last])
}

pub(super) fn soa(serial: u32) -> Vec<u8> {
    soa_of(ZONE, serial)
}

pub(super) fn soa_of(owner: &str, serial: u32) -> Vec<u8> {
    let mut rdata = name("ns.example.org.").as_wire().to_vec();
    rdata.extend_from_slice(name("host.example.org.").as_wire());
    for number in [serial, 3600, 600, 86400, 300] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    record(owner, Rtype::SOA, &rdata)
}

/// The response to a request of the type, with the question or without.
pub(super) fn response(id: u16, question: Option<Rtype>, records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [id, 0x8400, u16::from(question.is_some()), records.len() as u16, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    if let Some(rtype) = question {
        message.extend_from_slice(name(ZONE).as_wire());
        message.extend_from_slice(&rtype.0.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
    }
    message.extend(records.iter().flatten());
    message
}

/// The id and the question's type of a request about [`ZONE`].
pub(super) fn asked(request: &[u8]) -> (u16, Rtype) {
    let at = 12 + name(ZONE).as_wire().len();
    let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    (word(0), Rtype(word(at)))
}

/// The lines of a zone, sorted: what two zones are compared by.
pub(super) fn lines(zone: &Zone) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        all.push(line(record));
    }
    all.sort();
    all
}

pub(super) fn line(record: RecordRef<'_>) -> Vec<u8> {
    let mut list = zone::RecordList::default();
    list.push(record);
    list.as_wire().to_ascii_lowercase()
}

/// A zone of records in wire form.
pub(super) fn zone_of(records: &[Vec<u8>]) -> Zone {
    let mut builder = Builder::new(&name(ZONE), 0);
    let list = zone::RecordList::from_wire(records.concat()).unwrap();
    list.iter().for_each(|record| builder.add(record).unwrap());
    builder.finish().unwrap()
}

/// Short waits, and bounds that no honest test meets.
pub(super) fn limits() -> Limits {
    Limits {
        records: 1000,
        octets: 100_000,
        connect: Duration::from_secs(5),
        idle: Duration::from_millis(400),
        total: Duration::from_secs(2),
        datagram: Duration::from_millis(50),
        attempts: 2,
    }
}

/// A connection of a client to the primary.
pub(super) struct Served {
    pub(super) stream: TcpStream,
}

impl Served {
    /// The next request.
    pub(super) async fn request(&mut self) -> Vec<u8> {
        let length = self.stream.read_u16().await.unwrap();
        let mut request = vec![0; usize::from(length)];
        self.stream.read_exact(&mut request).await.unwrap();
        request
    }

    /// Sends octets as they are; `false`: the client has gone.
    pub(super) async fn send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).await.is_ok()
    }

    /// Sends a message behind its length.
    pub(super) async fn reply(&mut self, message: &[u8]) -> bool {
        let framed = [&(message.len() as u16).to_be_bytes(), message].concat();
        self.send(&framed).await
    }

    /// Waits until the client hangs up.
    pub(super) async fn hang(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}

/// A primary that serves each connection like that, and answers nothing over UDP.
pub(super) async fn primary<F>(serve: impl Fn(Served) -> F + Send + 'static) -> Peer
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Served { stream }));
        }
    });
    Peer::new(address)
}
