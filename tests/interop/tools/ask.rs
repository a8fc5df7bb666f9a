//! Questions to any server on loopback, and replies in a form that can be compared.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_server::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_server::proto::rr::{self, Name, RecordType};

/// How long a server may take; over loopback, so this is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) rtype: RecordType,
    pub(crate) dnssec: bool,
    /// The buffer that an OPT record offers; none without one.
    pub(crate) size: Option<u16>,
}

impl Question {
    /// With an OPT record that offers 1232 octets.
    pub(crate) fn new(name: &str, rtype: RecordType) -> Self {
        Self { name: name.to_owned(), rtype, dnssec: false, size: Some(1232) }
    }

    /// The same with the DO bit.
    pub(crate) fn dnssec(self) -> Self {
        Self { dnssec: true, ..self }
    }

    /// The same without an OPT record.
    pub(crate) fn plain(self) -> Self {
        Self { dnssec: false, size: None, ..self }
    }

    fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(&self.name).unwrap(), self.rtype));
        if let Some(size) = self.size {
            let mut edns = Edns::new();
            edns.set_max_payload(size).set_dnssec_ok(self.dnssec);
            message.set_edns(edns);
        }
        message
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, mnemonic(self.rtype))?;
        f.write_str(if self.dnssec { " +do" } else { "" })?;
        f.write_str(if self.size.is_none() { " +noedns" } else { "" })
    }
}

/// A record that can be sorted and shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) rtype: String,
    pub(crate) rdata: String,
    pub(crate) ttl: u32,
    /// The type that an RRSIG signs, the record's own otherwise.
    pub(crate) covers: String,
}

impl Record {
    pub(crate) fn of(record: &rr::Record) -> Self {
        let rtype = mnemonic(record.record_type());
        let rdata = record.data.to_string();
        let signed = rdata.split(' ').next().filter(|_| rtype == "RRSIG");
        let covers = signed.unwrap_or(&rtype).to_owned();
        Self {
            owner: record.name.to_lowercase().to_string(),
            rtype,
            rdata,
            ttl: record.ttl,
            covers,
        }
    }

    /// The same record as far as a cache may not change it.
    pub(crate) fn same(&self, other: &Self) -> bool {
        (&self.owner, &self.rtype, &self.rdata) == (&other.owner, &other.rtype, &other.rdata)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.owner, self.ttl, self.rtype, self.rdata)
    }
}

fn mnemonic(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// A reply; the records of each section are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) rcode: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    /// The AD bit.
    pub(crate) authentic: bool,
    /// Whether the reply has the DO bit; none without an OPT record.
    pub(crate) dnssec: Option<bool>,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
}

impl Reply {
    fn read(bytes: &[u8], asked: &Message) -> Self {
        let message = Message::from_vec(bytes)
            .unwrap_or_else(|error| panic!("unreadable ({error}): {bytes:02x?}"));
        assert_eq!(message.metadata.id, asked.metadata.id);
        assert_eq!(message.metadata.message_type, MessageType::Response);
        assert_eq!(message.queries, asked.queries);
        let sorted = |records: &[rr::Record]| {
            let mut records: Vec<Record> = records.iter().map(Record::of).collect();
            records.sort();
            records
        };
        Self {
            rcode: message.metadata.response_code,
            authoritative: message.metadata.authoritative,
            truncated: message.metadata.truncation,
            authentic: message.metadata.authentic_data,
            dnssec: message.edns.as_ref().map(|edns| edns.flags().dnssec_ok),
            answer: sorted(&message.answers),
            authority: sorted(&message.authorities),
            additional: sorted(&message.additionals),
        }
    }

    pub(crate) fn sections(&self) -> [(&'static str, &[Record]); 3] {
        [("an", &self.answer), ("ns", &self.authority), ("ar", &self.additional)]
    }

    /// The reply in lines, as scenarios write it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let flag = |name: &str, set: bool| format!(" {name}={}", u8::from(set));
        let flags = flag("aa", self.authoritative)
            + &flag("tc", self.truncated)
            + &flag("ad", self.authentic);
        let mut lines = vec![format!("{}{flags}", wire::Rcode(self.rcode.into()))];
        for (section, records) in self.sections() {
            lines.extend(records.iter().map(|record| format!("{section} {record}")));
        }
        lines
    }
}

/// A server to ask.
pub(crate) struct Client {
    address: SocketAddr,
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self::with_patience(port, PATIENCE)
    }

    pub(crate) fn with_patience(port: u16, patience: Duration) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        Self { address, socket }
    }

    /// Asks over UDP as a resolver does: over TCP if that was truncated.
    pub(crate) fn ask(&self, question: &Question) -> Reply {
        let reply = self.ask_udp(question);
        if reply.truncated { self.ask_tcp(question) } else { reply }
    }

    /// Asks over UDP once.
    pub(crate) fn ask_udp(&self, question: &Question) -> Reply {
        self.try_udp(question).unwrap_or_else(|error| panic!("{question}: {error}"))
    }

    pub(crate) fn try_udp(&self, question: &Question) -> std::io::Result<Reply> {
        let asked = question.message();
        self.socket.send(&asked.to_vec().unwrap())?;
        let mut buffer = [0; 65_535];
        loop {
            let len = match self.socket.recv(&mut buffer) {
                // A signal came between; with a timeout on the socket the call does not go on.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            // The answer to a question before this one may come late.
            if buffer[..2] == asked.metadata.id.to_be_bytes() {
                return Ok(Reply::read(&buffer[..len], &asked));
            }
        }
    }

    /// Asks over a TCP connection of its own.
    pub(crate) fn ask_tcp(&self, question: &Question) -> Reply {
        let asked = question.message();
        let bytes = asked.to_vec().unwrap();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        let reply = Reply::read(&reply, &asked);
        assert!(!reply.truncated, "{question}: truncated over TCP");
        reply
    }
}
