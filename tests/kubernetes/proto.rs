//! Writes objects as an API server does in protobuf, from their JSON.

use serde_json::Value;

fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn octets(&mut self, number: u64, value: &[u8]) {
        varint(number << 3 | 2, &mut self.0);
        varint(value.len() as u64, &mut self.0);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.octets(number, text.as_bytes());
        }
    }

    fn number(&mut self, number: u64, value: &Value) {
        if let Some(value) = value.as_u64().or_else(|| value.as_bool().map(u64::from)) {
            varint(number << 3, &mut self.0);
            varint(value, &mut self.0);
        }
    }

    fn each(&mut self, number: u64, values: &Value, write: impl Fn(&Value) -> Vec<u8>) {
        for value in values.as_array().into_iter().flatten() {
            self.octets(number, &write(value));
        }
    }

    fn texts(&mut self, number: u64, values: &Value) {
        self.each(number, values, |value| value.as_str().unwrap().as_bytes().to_vec());
    }

    fn map(&mut self, number: u64, values: &Value) {
        for (key, value) in values.as_object().into_iter().flatten() {
            let mut pair = Self::default();
            pair.octets(1, key.as_bytes());
            pair.text(2, value);
            self.octets(number, &pair.0);
        }
    }
}

fn meta(value: &Value) -> Vec<u8> {
    let mut meta = Message::default();
    meta.text(1, &value["name"]);
    // Fields that nobody reads are there, too.
    meta.octets(2, b"");
    meta.text(3, &value["namespace"]);
    meta.octets(5, b"8e5d4c1e-0000-4000-8000-0123456789ab");
    meta.text(6, &value["resourceVersion"]);
    meta.number(7, &Value::from(3));
    if value["deletionTimestamp"].is_string() {
        meta.octets(9, &[8, 1]);
    }
    meta.map(11, &value["labels"]);
    meta.map(12, &value["annotations"]);
    meta.octets(17, b"\x0a\x07kubectl");
    meta.0
}

fn service_port(value: &Value) -> Vec<u8> {
    let mut port = Message::default();
    port.text(1, &value["name"]);
    port.text(2, &value["protocol"]);
    port.number(3, &value["port"]);
    port.0
}

fn service(value: &Value) -> Vec<u8> {
    let mut service = Message::default();
    service.octets(1, &meta(&value["metadata"]));
    let from = &value["spec"];
    let mut spec = Message::default();
    spec.each(1, &from["ports"], service_port);
    spec.map(2, &from["selector"]);
    spec.text(3, &from["clusterIP"]);
    spec.text(4, &from["type"]);
    spec.texts(5, &from["externalIPs"]);
    spec.octets(7, b"None");
    spec.text(10, &from["externalName"]);
    spec.texts(18, &from["clusterIPs"]);
    service.octets(2, &spec.0);
    let mut balancer = Message::default();
    balancer.each(1, &value["status"]["loadBalancer"]["ingress"], |value| {
        let mut ingress = Message::default();
        ingress.text(1, &value["ip"]);
        ingress.text(2, &value["hostname"]);
        ingress.0
    });
    let mut status = Message::default();
    status.octets(1, &balancer.0);
    service.octets(3, &status.0);
    service.0
}

fn endpoint(value: &Value) -> Vec<u8> {
    let mut endpoint = Message::default();
    endpoint.texts(1, &value["addresses"]);
    let mut conditions = Message::default();
    conditions.number(1, &value["conditions"]["ready"]);
    conditions.number(2, &value["conditions"]["serving"]);
    conditions.number(3, &value["conditions"]["terminating"]);
    endpoint.octets(2, &conditions.0);
    endpoint.text(3, &value["hostname"]);
    if value["targetRef"].is_object() {
        let mut target = Message::default();
        target.text(1, &value["targetRef"]["kind"]);
        target.text(3, &value["targetRef"]["name"]);
        endpoint.octets(4, &target.0);
    }
    endpoint.text(6, &value["nodeName"]);
    endpoint.text(7, &value["zone"]);
    endpoint.0
}

fn slice(value: &Value) -> Vec<u8> {
    let mut slice = Message::default();
    slice.octets(1, &meta(&value["metadata"]));
    slice.each(2, &value["endpoints"], endpoint);
    slice.each(3, &value["ports"], service_port);
    slice.text(4, &value["addressType"]);
    slice.0
}

fn pod(value: &Value) -> Vec<u8> {
    let mut pod = Message::default();
    pod.octets(1, &meta(&value["metadata"]));
    let mut status = Message::default();
    status.text(1, &value["status"]["phase"]);
    status.text(6, &value["status"]["podIP"]);
    pod.octets(3, &status.0);
    pod.0
}

fn object(resource: &str, value: &Value) -> Vec<u8> {
    match resource {
        "services" => service(value),
        "endpointslices" => slice(value),
        "pods" => pod(value),
        _ => {
            let mut other = Message::default();
            other.octets(1, &meta(&value["metadata"]));
            other.0
        }
    }
}

/// A Status.
pub(crate) fn status(value: &Value) -> Vec<u8> {
    let mut status = Message::default();
    status.text(2, &value["status"]);
    status.text(3, &value["message"]);
    status.number(6, &value["code"]);
    status.0
}

/// An object in its envelope.
pub(crate) fn envelope(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut about = Message::default();
    about.octets(1, b"v1");
    about.octets(2, kind.as_bytes());
    let mut envelope = Message(b"k8s\0".to_vec());
    envelope.octets(1, &about.0);
    envelope.octets(2, object);
    envelope.octets(3, b"");
    envelope.octets(4, b"");
    envelope.0
}

/// A list in its envelope.
pub(crate) fn list(resource: &str, version: &str, next: &str, items: &[Value]) -> Vec<u8> {
    let mut meta = Message::default();
    meta.octets(1, b"");
    meta.octets(2, version.as_bytes());
    meta.octets(3, next.as_bytes());
    let mut list = Message::default();
    list.octets(1, &meta.0);
    for item in items {
        list.octets(2, &object(resource, item));
    }
    envelope("List", &list.0)
}

/// A watch event behind its length.
pub(crate) fn event(resource: &str, kind: &str, value: &Value) -> Vec<u8> {
    let octets = match kind {
        "ERROR" => envelope("Status", &status(value)),
        _ => envelope("Object", &object(resource, value)),
    };
    let mut raw = Message::default();
    raw.octets(1, &octets);
    let mut event = Message::default();
    event.octets(1, kind.as_bytes());
    event.octets(2, &raw.0);
    [&(event.0.len() as u32).to_be_bytes()[..], &event.0].concat()
}
