//! Lists and watches as streams of octets, of which one object at a time is in memory.

use crate::decoded::{Decoded, Refusal};
use crate::failure::Failure;
use crate::resource::{Kind, Object};
use crate::{json, proto};

/// The largest object. etcd takes 1.5 MiB by default.
const LARGEST: usize = 16 << 20;

/// What happens to the objects of a resource.
#[derive(Debug)]
pub enum Event<'a> {
    /// A list begins.
    Begins,
    /// The list has this object.
    Listed(Object<'a>),
    /// The list is complete: what it does not have is gone.
    Ends,
    /// An object came or changed.
    Changed(Object<'a>),
    /// An object is gone.
    Gone(Object<'a>),
    /// Something went wrong; it is tried again.
    Failed(&'a Failure),
    /// Changes arrive again.
    Recovered,
}

/// Takes events.
pub trait Sink: Send {
    /// Takes an event. Never waits.
    fn take(&mut self, event: Event<'_>);
}

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// The format that a response has.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match media {
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn object<'a>(self, kind: Kind, octets: &'a [u8]) -> Result<Decoded<'a>, String> {
        match self {
            Self::Protobuf => proto::object(kind, octets),
            Self::Json => json::object(kind, octets),
        }
    }

    /// The Status in the body of a refusal.
    pub(crate) fn refusal(self, octets: &[u8]) -> Option<Refusal> {
        match self {
            Self::Protobuf => proto::open(octets).ok().map(proto::status),
            Self::Json => json::status(octets),
        }
    }
}

/// Octets that arrive, of which the end may be the beginning of something.
#[derive(Default)]
struct Pending(Vec<u8>);

impl Pending {
    /// Lets `read` take what is whole from the front: it returns how much.
    fn feed(
        &mut self,
        octets: &[u8],
        mut read: impl FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        if self.0.is_empty() {
            let taken = read(octets)?;
            self.0.extend_from_slice(&octets[taken..]);
        } else {
            self.0.extend_from_slice(octets);
            let taken = read(&self.0)?;
            self.0.drain(..taken);
        }
        if self.0.len() > LARGEST {
            return Err(format!("an object has more than {LARGEST} octets"));
        }
        if self.0.is_empty() && self.0.capacity() > 1 << 16 {
            self.0 = Vec::new();
        }
        Ok(())
    }
}

/// Reads one page of a list.
pub(crate) struct List {
    kind: Kind,
    pending: Pending,
    reader: Reader,
    /// The version of the list, and where it goes on: both empty before they arrive.
    pub(crate) version: String,
    pub(crate) next: String,
}

enum Reader {
    /// Whether the envelope has begun, and how much of the list in it is left, once that has begun.
    Protobuf {
        is_open: bool,
        left: Option<u64>,
    },
    Json(Scan),
}

impl List {
    pub(crate) fn new(kind: Kind, format: Format) -> Self {
        let reader = match format {
            Format::Protobuf => Reader::Protobuf { is_open: false, left: None },
            Format::Json => Reader::Json(Scan::default()),
        };
        let pending = Pending::default();
        Self { kind, pending, reader, version: String::new(), next: String::new() }
    }

    /// Takes octets; `each` gets the objects that become whole.
    pub(crate) fn feed(
        &mut self,
        octets: &[u8],
        mut each: impl FnMut(Object<'_>),
    ) -> Result<(), String> {
        let Self { kind, pending, reader, version, next } = self;
        pending.feed(octets, |octets| match reader {
            Reader::Protobuf { is_open, left } => {
                let mut at = 0;
                if !*is_open {
                    if octets.len() < proto::MAGIC.len() {
                        return Ok(0);
                    }
                    if !octets.starts_with(&proto::MAGIC) {
                        return Err("the list does not begin as one".to_owned());
                    }
                    (*is_open, at) = (true, proto::MAGIC.len());
                }
                while let Some(field) = delimited(&octets[at..], left.is_some_and(|left| left > 0))?
                {
                    match (&mut *left, field) {
                        // The list within the envelope: its fields follow.
                        (None, Field { number: 2, len, .. }) => *left = Some(len),
                        (Some(left @ 1..), Field { number, value, end, .. }) => {
                            *left = left
                                .checked_sub(end as u64)
                                .ok_or("an object of the list is longer than the list")?;
                            match number {
                                1 => (*version, *next) = proto::list_meta(value),
                                2 => {
                                    if let Some(object) = proto::object(*kind, value)?.object {
                                        each(object);
                                    }
                                }
                                _ => {}
                            }
                        }
                        _ => {}
                    }
                    at += field.end;
                }
                Ok(at)
            }
            Reader::Json(scan) => scan.read(octets, |piece, octets| match piece {
                Piece::Item => {
                    if let Some(object) = json::object(*kind, octets)?.object {
                        each(object);
                    }
                    Ok(())
                }
                Piece::Meta => {
                    (*version, *next) = json::list_meta(octets)?;
                    Ok(())
                }
            }),
        })
    }

    /// Whether the page is complete.
    pub(crate) fn is_whole(&self) -> bool {
        self.pending.0.is_empty()
            && !self.version.is_empty()
            && match &self.reader {
                Reader::Protobuf { left, .. } => *left == Some(0),
                Reader::Json(scan) => scan.is_whole(),
            }
    }
}

/// A field of octets.
#[derive(Clone, Copy)]
struct Field<'a> {
    number: u64,
    len: u64,
    value: &'a [u8],
    /// Where it ends.
    end: usize,
}

/// The first field of a protobuf message. `None` if it is not whole.
///
/// Outside of the list, the value of field 2 is the list itself, whose fields are to be read one by one: it
/// ends where it begins.
fn delimited(octets: &[u8], is_inside: bool) -> Result<Option<Field<'_>>, String> {
    let Some((tag, head)) = proto::varint(octets) else { return Ok(None) };
    let number = tag >> 3;
    if tag & 7 != 2 {
        return Err(format!("the list has a field of wire type {}", tag & 7));
    }
    let Some((len, more)) = proto::varint(&octets[head..]) else { return Ok(None) };
    let start = head + more;
    if !is_inside && number == 2 {
        return Ok(Some(Field { number, len, value: &[], end: start }));
    }
    let size = usize::try_from(len).ok().filter(|len| *len <= LARGEST);
    let size = size.ok_or_else(|| format!("an object has more than {LARGEST} octets"))?;
    let value = octets.get(start..start + size);
    Ok(value.map(|value| Field { number, len, value, end: start + size }))
}

enum Piece {
    Item,
    Meta,
}

/// Finds the items and the metadata of a list in JSON, without reading what is in them.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// The key at the outermost level whose value comes.
    key: Vec<u8>,
    is_key: bool,
    /// Where what is being captured begins, in what is pending.
    start: Option<usize>,
    /// How far what is pending is read.
    read: usize,
    has_ended: bool,
}

impl Scan {
    fn is_whole(&self) -> bool {
        self.has_ended
    }

    /// Reads on; returns how much of the front is not needed any more.
    fn read(
        &mut self,
        octets: &[u8],
        mut found: impl FnMut(Piece, &[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        while let Some(&byte) = octets.get(self.read) {
            let at = self.read;
            self.read += 1;
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ if self.depth == 1 && self.is_key => self.key.push(byte),
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    if self.depth == 1 && self.is_key {
                        self.key.clear();
                    }
                }
                b':' if self.depth == 1 => self.is_key = false,
                b',' if self.depth == 1 => self.is_key = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    let (depth, key) = (self.depth, &*self.key);
                    if depth == 1 {
                        self.is_key = true;
                    } else if byte == b'{'
                        && matches!((depth, key), (2, b"metadata") | (3, b"items"))
                    {
                        self.start = Some(at);
                    }
                }
                b'}' | b']' => {
                    let (depth, key) = (self.depth, &*self.key);
                    let is_captured = matches!((depth, key), (2, b"metadata") | (3, b"items"));
                    if is_captured && let Some(start) = self.start.take() {
                        let piece = if depth == 2 { Piece::Meta } else { Piece::Item };
                        found(piece, &octets[start..=at])?;
                    }
                    let depth = self.depth.checked_sub(1);
                    self.depth = depth.ok_or("a bracket closes nothing")?;
                    self.has_ended = self.depth == 0;
                }
                _ => {}
            }
        }
        let taken = self.start.unwrap_or(self.read);
        self.start = self.start.map(|_| 0);
        self.read -= taken;
        Ok(taken)
    }
}

/// What a watch says.
pub(crate) enum Said<'a> {
    Changed(Object<'a>),
    Gone(Object<'a>),
    Bookmark,
    Refused(Refusal),
}

/// Reads a watch.
pub(crate) struct Watch {
    kind: Kind,
    format: Format,
    pending: Pending,
}

impl Watch {
    pub(crate) fn new(kind: Kind, format: Format) -> Self {
        Self { kind, format, pending: Pending::default() }
    }

    /// Takes octets; `each` gets what becomes whole, and its version.
    pub(crate) fn feed(
        &mut self,
        octets: &[u8],
        mut each: impl FnMut(Said<'_>, &str),
    ) -> Result<(), String> {
        let (kind, format) = (self.kind, self.format);
        self.pending.feed(octets, |octets| {
            let mut at = 0;
            loop {
                let rest = &octets[at..];
                let (event, len) = match format {
                    Format::Protobuf => {
                        let Some(head) = rest.first_chunk::<4>() else { break };
                        let len = u32::from_be_bytes(*head) as usize;
                        if len > LARGEST {
                            return Err(format!("an object has more than {LARGEST} octets"));
                        }
                        let Some(event) = rest.get(4..4 + len) else { break };
                        (event, 4 + len)
                    }
                    Format::Json => {
                        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { break };
                        (&rest[..end], end + 1)
                    }
                };
                at += len;
                if !event.iter().all(u8::is_ascii_whitespace) {
                    one(kind, format, event, &mut each)?;
                }
            }
            Ok(at)
        })
    }
}

fn one(
    kind: Kind,
    format: Format,
    event: &[u8],
    each: &mut impl FnMut(Said<'_>, &str),
) -> Result<(), String> {
    let (what, octets) = match format {
        Format::Protobuf => {
            let (what, object) = proto::event(event);
            (what, proto::open(object)?)
        }
        Format::Json => json::event(event)?,
    };
    if what == "ERROR" {
        let refusal = match format {
            Format::Protobuf => proto::status(octets),
            Format::Json => {
                json::status(octets).ok_or("the server ends the watch without a reason")?
            }
        };
        each(Said::Refused(refusal), "");
        return Ok(());
    }
    let Decoded { version, object } = format.object(kind, octets)?;
    let said = match (&*what, object) {
        ("ADDED" | "MODIFIED", Some(object)) => Said::Changed(object),
        ("DELETED", Some(object)) => Said::Gone(object),
        ("BOOKMARK", _) => Said::Bookmark,
        (other, _) => return Err(format!("a watch has no event `{other}` of this kind")),
    };
    each(said, &version);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds octets in pieces of this length. Returns names, version and place to go on.
    fn listed(format: Format, octets: &[u8], piece: usize) -> (Vec<String>, String, String, bool) {
        let mut list = List::new(Kind::Namespaces, format);
        let mut names = Vec::new();
        for piece in octets.chunks(piece) {
            let each = |object: Object<'_>| match object {
                Object::Namespace(name) => names.push(name.into_owned()),
                other => panic!("{other:?}"),
            };
            list.feed(piece, each).unwrap();
        }
        let whole = list.is_whole();
        (names, list.version, list.next, whole)
    }

    #[test]
    fn a_list_is_the_same_in_pieces_of_any_length() {
        let early = br#"{"kind":"NamespaceList","metadata":{"resourceVersion":"7","continue":"x\"}"},
            "items":[{"metadata":{"name":"a","labels":{"q":"\\\"]}"}}},{"metadata":{"name":"b"}}]}"#;
        let late = br#"{"items":[{"metadata":{"name":"a"}}, {"metadata":{"name":"b"}}],
            "metadata":{"resourceVersion":"7","continue":"x\"}"}}"#;
        let list = [(1, "a"), (2, "b")].map(|(_, name)| {
            let name = [&[10, 1], name.as_bytes()].concat();
            let meta = [&[10, name.len() as u8], &*name].concat();
            [&[18, meta.len() as u8], &*meta].concat()
        });
        let meta = [&[18, 1, b'7', 26, 3], &b"x\"}"[..]].concat();
        let raw = [&[10, meta.len() as u8], &*meta, &list.concat()].concat();
        let proto = [&b"k8s\0\x0a\x03abc"[..], &[18, raw.len() as u8], &raw].concat();
        for (format, octets) in
            [(Format::Json, &early[..]), (Format::Json, &late[..]), (Format::Protobuf, &proto)]
        {
            let expected = (vec!["a".into(), "b".into()], "7".to_owned(), "x\"}".to_owned(), true);
            for piece in 1..octets.len() {
                assert_eq!(listed(format, octets, piece), expected, "{format:?} by {piece}");
            }
            let cut = &octets[..octets.len() - 1];
            assert!(!listed(format, cut, cut.len()).3, "{format:?}: it is not whole");
        }
    }

    #[test]
    fn a_watch_is_the_same_in_pieces_of_any_length() {
        let stream = b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}}
{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"5\"}}}

{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"6\"}}}
{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n";
        for piece in 1..stream.len() {
            let mut watch = Watch::new(Kind::Namespaces, Format::Json);
            let mut seen = Vec::new();
            for piece in stream.chunks(piece) {
                let each = |said: Said<'_>, version: &str| {
                    let what = match said {
                        Said::Changed(object) => format!("{object:?}"),
                        Said::Gone(_) => "gone".to_owned(),
                        Said::Bookmark => "bookmark".to_owned(),
                        Said::Refused(refusal) => format!("{} {}", refusal.code, refusal.message),
                    };
                    seen.push(format!("{what} {version}"));
                };
                watch.feed(piece, each).unwrap();
            }
            assert_eq!(seen, ["Namespace(\"a\") 1", "bookmark 5", "gone 6", "410 too old "]);
        }
        let mut watch = Watch::new(Kind::Namespaces, Format::Json);
        assert!(watch.feed(b"{\"type\":\"NEWS\",\"object\":{}}\n", |_, _| {}).is_err());
    }
}
