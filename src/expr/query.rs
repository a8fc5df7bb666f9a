//! The functions about a query that CoreDNS offers to expressions.

use std::cell::OnceCell;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use exchange::Query;
use wire::name;

use crate::scope::{Environment, Function, Scope};
use crate::{Type, Value};

/// The largest message, which is what a stream offers.
const STREAM: u16 = u16::MAX;

/// What a function gives.
#[derive(Clone, Copy)]
enum Asked {
    BufferSize,
    Class,
    ClientIp,
    DnssecOk,
    Id,
    Name,
    Opcode,
    Port,
    Proto,
    ServerIp,
    ServerPort,
    Size,
    Type,
    Metadata,
}

/// The functions in the order of their numbers. `incidr` is the language's own.
const FUNCTIONS: [(&str, Asked, Type); 14] = [
    ("bufsize", Asked::BufferSize, Type::Int),
    ("class", Asked::Class, Type::Text),
    ("client_ip", Asked::ClientIp, Type::Text),
    ("do", Asked::DnssecOk, Type::Bool),
    ("id", Asked::Id, Type::Int),
    ("name", Asked::Name, Type::Text),
    ("opcode", Asked::Opcode, Type::Int),
    ("port", Asked::Port, Type::Text),
    ("proto", Asked::Proto, Type::Text),
    ("server_ip", Asked::ServerIp, Type::Text),
    ("server_port", Asked::ServerPort, Type::Text),
    ("size", Asked::Size, Type::Int),
    ("type", Asked::Type, Type::Text),
    ("metadata", Asked::Metadata, Type::Text),
];

impl Scope {
    /// The functions about a query. More may follow; their numbers start behind these.
    pub fn of_queries() -> Self {
        let mut scope = Self::default();
        for (name, asked, result) in FUNCTIONS {
            let parameters: &[Type] =
                if matches!(asked, Asked::Metadata) { &[Type::Text] } else { &[] };
            scope.function(Function { name, parameters, result });
        }
        scope
    }
}

/// A query as an environment of [`Scope::of_queries`].
pub struct QueryEnvironment<'q> {
    query: &'q Query,
    name: OnceCell<Line<NAME>>,
    client: OnceCell<Line<ADDRESS>>,
    server: OnceCell<Line<ADDRESS>>,
    ports: OnceCell<(Line<PORT>, Line<PORT>)>,
}

/// The longest name in presentation form: every byte escaped.
const NAME: usize = 1_024;
const ADDRESS: usize = 46;
const PORT: usize = 5;

impl<'q> QueryEnvironment<'q> {
    /// The number of the first function that is not about the query.
    pub const FUNCTIONS: usize = FUNCTIONS.len();

    /// Nothing is computed before it is asked for.
    pub fn new(query: &'q Query) -> Self {
        Self {
            query,
            name: OnceCell::new(),
            client: OnceCell::new(),
            server: OnceCell::new(),
            ports: OnceCell::new(),
        }
    }

    fn port(&self) -> &(Line<PORT>, Line<PORT>) {
        let (peer, local) = (self.query.client.peer, self.query.client.local);
        let line = |address: SocketAddr| Line::of(format_args!("{}", address.port()));
        self.ports.get_or_init(|| (line(peer), line(local)))
    }
}

impl Environment for QueryEnvironment<'_> {
    fn call<'v>(&'v self, function: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, String> {
        let query = self.query;
        let Some((_, asked, _)) = FUNCTIONS.get(function) else {
            return Err("unknown function".to_owned());
        };
        Ok(match asked {
            Asked::BufferSize => Value::Int(i64::from(match query.client.transport.proto() {
                "tcp" => STREAM,
                _ => query.udp_size(),
            })),
            Asked::Class => match query.qclass().mnemonic() {
                Some(class) => Value::lent(class),
                None => Value::text(query.qclass().to_string()),
            },
            Asked::ClientIp => Value::lent(
                self.client
                    .get_or_init(|| Line::of(format_args!("{}", shown(query.client.peer))))
                    .as_str(),
            ),
            Asked::DnssecOk => Value::Bool(query.wants_dnssec()),
            Asked::Id => Value::Int(i64::from(query.id())),
            Asked::Name => Value::lent(
                self.name
                    .get_or_init(|| Line::of(format_args!("{}", name::Text(query.name()))))
                    .as_str(),
            ),
            Asked::Opcode => Value::Int(i64::from(query.opcode().0)),
            Asked::Port => Value::lent(self.port().0.as_str()),
            Asked::Proto => Value::lent(query.client.transport.proto()),
            Asked::ServerIp => Value::lent(
                self.server
                    .get_or_init(|| Line::of(format_args!("{}", shown(query.client.local))))
                    .as_str(),
            ),
            Asked::ServerPort => Value::lent(self.port().1.as_str()),
            Asked::Size => Value::Int(query.bytes().len() as i64),
            Asked::Type => match query.qtype().mnemonic() {
                Some(kind) => Value::lent(kind),
                None => Value::text(query.qtype().to_string()),
            },
            Asked::Metadata => match arguments {
                [Value::Text(label)] => Value::lent(query.metadata(label).unwrap_or_default()),
                _ => return Err("`metadata` expects a string".to_owned()),
            },
        })
    }

    #[inline]
    fn address(&self, function: usize) -> Option<IpAddr> {
        match FUNCTIONS.get(function)?.1 {
            Asked::ClientIp => Some(self.query.client.peer.ip()),
            Asked::ServerIp => Some(self.query.client.local.ip()),
            _ => None,
        }
    }
}

/// The address as a text; IPv4 inside IPv6 is IPv4.
fn shown(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// A short text without memory of its own.
struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    fn of(text: std::fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; N], len: 0 };
        // What does not fit is left out; the sizes are those of the longest texts.
        let _ = line.write_fmt(text);
        line
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expr;
    use wire::{Name, Transport};

    fn query() -> Query {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        bytes.extend(Name::from_text("WWW.a\\.b.example.").unwrap().as_wire());
        bytes.extend([0, 28, 0, 1]);
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
        let mut query = Query::new();
        query.receive(&bytes).unwrap();
        query.client.peer = "[2001:db8::7]:4000".parse().unwrap();
        query.client.local = "[::ffff:192.0.2.1]:53".parse().unwrap();
        query.collect_metadata();
        query.set_metadata("test/label", || "value".to_owned());
        query
    }

    #[test]
    fn queries_answer_what_is_asked() {
        let mut query = query();
        let scope = Scope::of_queries();
        let said = |text: &str, query: &Query| {
            let expr = Expr::parse(text, &scope).unwrap();
            expr.eval(&QueryEnvironment::new(query)).unwrap().to_string()
        };
        let all =
            "[name(), type(), class(), client_ip(), port(), server_ip(), server_port(), proto()]";
        assert_eq!(
            said(all, &query),
            "[www.a\\.b.example. AAAA IN 2001:db8::7 4000 192.0.2.1 53 udp]"
        );
        assert_eq!(
            said("[id(), opcode(), size(), bufsize(), do()]", &query),
            "[4660 0 44 1232 true]"
        );
        assert_eq!(said("metadata('test/label') + metadata('none')", &query), "value");
        assert_eq!(said("incidr(client_ip(), '2001:db8::/32')", &query), "true");
        assert_eq!(said("incidr(server_ip(), '192.0.2.0/24')", &query), "true");
        query.client.transport = Transport::Tcp;
        assert_eq!(said("proto() == 'tcp' and bufsize() == 65535", &query), "true");
    }
}
