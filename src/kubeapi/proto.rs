//! Objects in Kubernetes' protobuf. The numbers of fields are those of the `generated.proto` files of the API.

use std::borrow::Cow;

use cluster::objects::{Endpoint, Id, Pod, Port, Slice, Text};

use crate::decoded::{Decoded, LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, Refusal, TRIGGER, Told};
use crate::resource::{Kind, Object};

/// What every object in this encoding begins with.
pub(crate) const MAGIC: [u8; 4] = *b"k8s\0";

/// A field: its number and value.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Octets(&'a [u8]),
}

/// The fields of a message. It ends early where the message is malformed: `is_whole` tells.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    pub(crate) is_whole: bool,
}

/// A number in groups of seven bits, and its length. `None` if the octets end before it.
pub(crate) fn varint(octets: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, &byte) in octets.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at).min(63);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, is_whole: true }
    }

    fn read(&mut self) -> Option<(u32, Value<'a>)> {
        let (tag, len) = varint(self.rest)?;
        let rest = &self.rest[len..];
        let (value, rest) = match tag & 7 {
            0 => varint(rest).map(|(value, len)| (Value::Number(value), &rest[len..]))?,
            2 => {
                let (len, head) = varint(rest)?;
                let (value, rest) = rest[head..].split_at_checked(usize::try_from(len).ok()?)?;
                (Value::Octets(value), rest)
            }
            1 => (Value::Number(0), rest.get(8..)?),
            5 => (Value::Number(0), rest.get(4..)?),
            _ => return None,
        };
        self.rest = rest;
        Some((u32::try_from(tag >> 3).ok()?, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.is_whole = false;
            self.rest = &[];
        }
        field
    }
}

impl<'a> Value<'a> {
    fn octets(self) -> &'a [u8] {
        match self {
            Self::Octets(octets) => octets,
            Self::Number(_) => &[],
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Octets(_) => 0,
        }
    }

    pub(crate) fn text(self) -> Text<'a> {
        String::from_utf8_lossy(self.octets())
    }
}

/// The message within the envelope of an object.
pub(crate) fn open(octets: &[u8]) -> Result<&[u8], String> {
    let envelope = octets.strip_prefix(&MAGIC).ok_or("an object does not begin as one")?;
    let raw = Fields::new(envelope).find(|(number, _)| *number == 2);
    Ok(raw.map_or(&[], |(_, value)| value.octets()))
}

#[derive(Default)]
struct Meta<'a> {
    id: Id<'a>,
    version: Text<'a>,
    terminates: bool,
    service: Text<'a>,
    import: Text<'a>,
    cluster: Text<'a>,
    triggered: Text<'a>,
    labels: Vec<(Text<'a>, Text<'a>)>,
}

/// A pair of a map of texts.
fn pair(octets: &[u8]) -> (Text<'_>, Text<'_>) {
    let mut pair = (Text::default(), Text::default());
    for (number, value) in Fields::new(octets) {
        match number {
            1 => pair.0 = value.text(),
            2 => pair.1 = value.text(),
            _ => {}
        }
    }
    pair
}

/// Reads the metadata; all labels if `labels` says so.
fn meta(octets: &[u8], labels: bool) -> Meta<'_> {
    let mut meta = Meta::default();
    for (number, value) in Fields::new(octets) {
        match number {
            1 => meta.id.name = value.text(),
            3 => meta.id.namespace = value.text(),
            6 => meta.version = value.text(),
            9 => meta.terminates = true,
            11 => {
                let (key, text) = pair(value.octets());
                match &*key {
                    LABEL_SERVICE => meta.service = text,
                    LABEL_IMPORT => meta.import = text,
                    LABEL_CLUSTER => meta.cluster = text,
                    _ if labels => meta.labels.push((key, text)),
                    _ => {}
                }
            }
            12 => {
                let (key, text) = pair(value.octets());
                if key == TRIGGER {
                    meta.triggered = text;
                }
            }
            _ => {}
        }
    }
    meta
}

/// Reads an object of this kind, without its envelope.
///
/// # Errors
/// It is malformed.
pub(crate) fn object(kind: Kind, octets: &[u8]) -> Result<Decoded<'_>, String> {
    let mut about = Meta::default();
    let (mut service, mut slice, mut pod) = (Told::default(), Slice::default(), Pod::default());
    let mut fields = Fields::new(octets);
    for (number, value) in fields.by_ref() {
        match (kind, number) {
            (_, 1) => about = meta(value.octets(), kind == Kind::Pods),
            (Kind::Services, 2) => spec(value.octets(), &mut service),
            (Kind::Services, 3) => balancers(value.octets(), &mut service),
            (Kind::Slices, 2) => endpoint(value.octets(), &mut slice),
            (Kind::Slices, 3) => slice.ports.push(slice_port(value.octets())),
            (Kind::Pods, 3) => {
                let address = Fields::new(value.octets()).find(|(number, _)| *number == 6);
                pod.address = address.and_then(|(_, value)| value.text().parse().ok());
            }
            _ => {}
        }
    }
    if !fields.is_whole {
        return Err(format!("`{}` is malformed", about.id.name));
    }
    let Meta { id, version, .. } = about;
    if id.name.is_empty() {
        return Ok(Decoded { version, object: None });
    }
    let object = match kind {
        Kind::Services | Kind::Imports => {
            let Told { mut service, address, kind, outside } = service;
            service.id = id;
            Object::Service(crate::decoded::settle(service, &address, &kind, outside))
        }
        Kind::Slices => {
            let (service, imported_service, cluster) = (about.service, about.import, about.cluster);
            let triggered = about.triggered;
            Object::Slice(Slice { id, service, imported_service, cluster, triggered, ..slice })
        }
        Kind::Namespaces => Object::Namespace(id.name),
        Kind::Pods => {
            let address = pod.address.filter(|_| !about.terminates);
            Object::Pod(Pod { id, address, labels: about.labels })
        }
    };
    Ok(Decoded { version, object: Some(object) })
}

fn spec<'a>(octets: &'a [u8], told: &mut Told<'a>) {
    for (number, value) in Fields::new(octets) {
        match number {
            1 => told.service.ports.push(service_port(value.octets())),
            3 => told.address = value.text(),
            4 => told.kind = value.text(),
            5 => told.service.outside.push(value.text()),
            10 => told.service.external_name = value.text(),
            18 => told.add_address(&value.text()),
            _ => {}
        }
    }
}

fn balancers<'a>(octets: &'a [u8], told: &mut Told<'a>) {
    let balancer = |(number, value): (u32, Value<'a>)| (number == 1).then(|| value.octets());
    let ingress = Fields::new(octets).filter_map(balancer).flat_map(Fields::new);
    for octets in ingress.filter_map(balancer) {
        let (mut ip, mut hostname) = (Text::default(), Text::default());
        for (number, value) in Fields::new(octets) {
            match number {
                1 => ip = value.text(),
                2 => hostname = value.text(),
                _ => {}
            }
        }
        told.outside.push(if ip.is_empty() { hostname } else { ip });
    }
}

fn port_number(value: Value<'_>) -> Option<u16> {
    u16::try_from(value.number()).ok()
}

fn service_port(octets: &[u8]) -> Port<'_> {
    let mut port = Port::default();
    for (number, value) in Fields::new(octets) {
        match number {
            1 => port.name = value.text(),
            2 => port.protocol = value.text(),
            3 => port.number = port_number(value),
            _ => {}
        }
    }
    port
}

fn slice_port(octets: &[u8]) -> Port<'_> {
    // The fields have the numbers of those of a service's port.
    service_port(octets)
}

fn endpoint<'a>(octets: &'a [u8], slice: &mut Slice<'a>) {
    let (mut hostname, mut target, mut zone) = (Text::default(), Text::default(), Text::default());
    let mut is_ready = true;
    let mut first = None;
    let mut more: Vec<Text<'a>> = Vec::new();
    for (number, value) in Fields::new(octets) {
        match number {
            1 if first.is_none() => first = Some(value.text()),
            1 => more.push(value.text()),
            2 => {
                let ready = Fields::new(value.octets()).find(|(number, _)| *number == 1);
                is_ready = ready.is_none_or(|(_, value)| value.number() != 0);
            }
            3 => hostname = value.text(),
            4 => {
                let name = Fields::new(value.octets()).find(|(number, _)| *number == 3);
                target = name.map_or_else(Text::default, |(_, value)| value.text());
            }
            7 => zone = value.text(),
            _ => {}
        }
    }
    if !is_ready {
        return;
    }
    for address in first.into_iter().chain(more).filter_map(|text| text.parse().ok()) {
        let (hostname, target, zone) = (hostname.clone(), target.clone(), zone.clone());
        slice.endpoints.push(Endpoint { address, hostname, target, zone });
    }
}

/// Reads the metadata of a list: its version, and where it goes on.
pub(crate) fn list_meta(octets: &[u8]) -> (String, String) {
    let (mut version, mut next) = (Cow::default(), Cow::default());
    for (number, value) in Fields::new(octets) {
        match number {
            2 => version = value.text(),
            3 => next = value.text(),
            _ => {}
        }
    }
    (version.into_owned(), next.into_owned())
}

/// Reads a Status, without its envelope.
pub(crate) fn status(octets: &[u8]) -> Refusal {
    let mut refusal = Refusal::default();
    for (number, value) in Fields::new(octets) {
        match number {
            3 => refusal.message = value.text().into_owned(),
            6 => refusal.code = u16::try_from(value.number()).unwrap_or_default(),
            _ => {}
        }
    }
    refusal
}

/// Reads a watch event: its type, and the object in its envelope.
pub(crate) fn event(octets: &[u8]) -> (Text<'_>, &[u8]) {
    let (mut kind, mut object): (Text<'_>, &[u8]) = (Text::default(), &[]);
    for (number, value) in Fields::new(octets) {
        match number {
            1 => kind = value.text(),
            2 => {
                let raw = Fields::new(value.octets()).find(|(number, _)| *number == 1);
                object = raw.map_or(&[], |(_, value)| value.octets());
            }
            _ => {}
        }
    }
    (kind, object)
}

/// A service that has no fields yet.
impl<'a> Told<'a> {
    fn add_address(&mut self, text: &str) {
        if text == "None" {
            self.address = Cow::Borrowed("None");
        }
        self.service.addresses.extend(text.parse::<std::net::IpAddr>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with octets.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, value.len() as u8], value].concat()
    }

    #[test]
    fn a_message_that_ends_early_is_malformed() {
        let name = field(1, b"web");
        let whole = field(1, &name);
        let decoded = object(Kind::Namespaces, &whole).unwrap();
        assert_eq!(decoded.object, Some(Object::Namespace("web".into())));
        assert!(object(Kind::Namespaces, &whole[..whole.len() - 1]).is_err());
        assert!(object(Kind::Namespaces, &[0x0F]).is_err(), "no such wire type");
    }

    #[test]
    fn an_endpoint_that_does_not_say_is_ready() {
        let ready = |octets: &[u8]| {
            let mut slice = Slice::default();
            let octets = [field(1, b"10.0.0.1"), octets.to_vec()].concat();
            endpoint(&octets, &mut slice);
            !slice.endpoints.is_empty()
        };
        assert!(ready(&[]));
        assert!(ready(&field(2, &[])));
        assert!(ready(&field(2, &[1 << 3, 1])));
        assert!(!ready(&field(2, &[1 << 3, 0])));
    }

    #[test]
    fn numbers_have_at_most_ten_octets() {
        assert_eq!(varint(&[0x96, 1, 7]), Some((150, 2)));
        assert_eq!(varint(&[0x96]), None);
        assert_eq!(varint(&[0x80; 11]), None);
    }
}
