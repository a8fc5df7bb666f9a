//! Writes small MaxMind databases (<https://maxmind.github.io/MaxMind-DB/>) out of JSON:
//! `{"database_type": "GeoLite2-City", "networks": {"192.0.2.0/24": RECORD}}`.
//!
//! `ip_version` is 6 and `record_size` 24 unless the object says otherwise.

use std::net::IpAddr;

use serde_json::{Value, json};

/// Leads to the metadata, which stand last in the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Between the tree and the data.
const SEPARATOR: usize = 16;

/// The database as a file.
pub(crate) fn write(text: &str) -> Result<Vec<u8>, String> {
    let wanted: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let version = wanted["ip_version"].as_u64().unwrap_or(6);
    let size = wanted["record_size"].as_u64().unwrap_or(24);
    let mut data = Vec::new();
    let mut networks = Vec::new();
    for (network, record) in wanted["networks"].as_object().into_iter().flatten() {
        networks.push((bits(network, version)?, data.len()));
        value(record, &mut data);
    }
    // What is nearer comes later and takes its part of what is wider.
    networks.sort_by_key(|(bits, _)| bits.len());
    let mut tree = Tree(vec![[Child::Nothing; 2]]);
    for (bits, at) in &networks {
        tree.put(bits, Child::Data(*at));
    }
    if version == 6 {
        // As in MaxMind's own databases IPv4 inside IPv6 (::ffff:0:0/96) leads to IPv4 (::/96).
        let ipv4 = tree.node(&[false; 96]);
        let mapped: Vec<bool> = (0..96).map(|bit| bit >= 80).collect();
        tree.put(&mapped, ipv4);
    }
    let mut file = tree.write(size)?;
    file.extend([0; SEPARATOR]);
    file.extend(data);
    file.extend(MARKER);
    let texts = json!({
        "database_type": wanted["database_type"],
        "description": {"en": "made for a test"},
        "languages": ["en"],
    });
    let numbers = [
        ("binary_format_major_version", UINT16, 2),
        ("binary_format_minor_version", UINT16, 0),
        ("build_epoch", UINT64, 1_700_000_000),
        ("ip_version", UINT16, version),
        ("node_count", UINT32, tree.0.len() as u64),
        ("record_size", UINT16, size),
    ];
    control(MAP, 3 + numbers.len(), &mut file);
    fields(&texts, &mut file);
    for (name, kind, number) in numbers {
        value(&json!(name), &mut file);
        // Without the zeros before them: that is so in real ones, too.
        let digits = number.to_be_bytes();
        let digits = &digits[digits.iter().take_while(|&&digit| digit == 0).count()..];
        control(kind, digits.len(), &mut file);
        file.extend(digits);
    }
    Ok(file)
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    /// Offset in the data.
    Data(usize),
}

/// The nodes, the root first.
struct Tree(Vec<[Child; 2]>);

impl Tree {
    /// What is at the end of this way; nodes are made on it.
    fn node(&mut self, way: &[bool]) -> Child {
        let mut at = 0;
        for (step, &bit) in way.iter().enumerate() {
            if step + 1 == way.len() && !matches!(self.0[at][usize::from(bit)], Child::Nothing) {
                return self.0[at][usize::from(bit)];
            }
            at = self.walk(at, bit);
        }
        Child::Node(at)
    }

    fn put(&mut self, way: &[bool], child: Child) {
        let Some((&last, way)) = way.split_last() else {
            self.0[0] = [child; 2];
            return;
        };
        let mut at = 0;
        for &bit in way {
            at = self.walk(at, bit);
        }
        self.0[at][usize::from(last)] = child;
    }

    fn walk(&mut self, at: usize, bit: bool) -> usize {
        match self.0[at][usize::from(bit)] {
            Child::Node(next) => next,
            // A network that is cut in two: both parts keep what it had.
            other => {
                self.0.push([other; 2]);
                self.0[at][usize::from(bit)] = Child::Node(self.0.len() - 1);
                self.0.len() - 1
            }
        }
    }

    fn write(&self, size: u64) -> Result<Vec<u8>, String> {
        let number = |child: Child| match child {
            Child::Nothing => self.0.len(),
            Child::Node(at) => at,
            Child::Data(at) => self.0.len() + SEPARATOR + at,
        } as u32;
        let mut out = Vec::new();
        for &[left, right] in &self.0 {
            let [left, right] = [number(left), number(right)];
            let [l, r] = [left.to_be_bytes(), right.to_be_bytes()];
            match size {
                24 => out.extend([&l[1..], &r[1..]].concat()),
                // The upper four bits of both share the byte in the middle.
                28 => out.extend([&l[1..], &[l[0] << 4 | r[0]], &r[1..]].concat()),
                32 => out.extend([l, r].concat()),
                _ => return Err(format!("`record_size` is 24, 28 or 32, not {size}")),
            }
        }
        Ok(out)
    }
}

/// The bits of a network, from the root of the tree.
fn bits(network: &str, version: u64) -> Result<Vec<bool>, String> {
    let bad = || format!("`{network}` is not a network of an IPv{version} database");
    let (address, prefix) = network.split_once('/').ok_or_else(bad)?;
    let prefix: usize = prefix.parse().map_err(|_| bad())?;
    let (number, width, count) = match (address.parse().map_err(|_| bad())?, version) {
        (IpAddr::V4(ip), 4) => (u128::from(u32::from(ip)), 32, prefix),
        (IpAddr::V4(ip), 6) => (u128::from(u32::from(ip)), 128, 96 + prefix),
        (IpAddr::V6(ip), 6) => (u128::from(ip), 128, prefix),
        _ => return Err(bad()),
    };
    Ok((0..count).map(|bit| number >> (width - 1 - bit) & 1 == 1).collect())
}

/// Numbers of the format's types.
const STRING: u8 = 2;
const DOUBLE: u8 = 3;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const INT32: u8 = 8;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;
const BOOLEAN: u8 = 14;

fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => control(MAP, 0, out),
        Value::Bool(yes) => control(BOOLEAN, usize::from(*yes), out),
        Value::String(text) => {
            control(STRING, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Array(values) => {
            control(ARRAY, values.len(), out);
            for one in values {
                self::value(one, out);
            }
        }
        Value::Object(object) => {
            control(MAP, object.len(), out);
            fields(value, out);
        }
        Value::Number(number) => {
            let (kind, bytes) = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) if n <= u64::from(u32::MAX) => {
                    (UINT32, (n as u32).to_be_bytes().to_vec())
                }
                (Some(n), _) => (UINT64, n.to_be_bytes().to_vec()),
                (_, Some(n)) => (INT32, (n as i32).to_be_bytes().to_vec()),
                _ => (DOUBLE, number.as_f64().unwrap_or_default().to_be_bytes().to_vec()),
            };
            control(kind, bytes.len(), out);
            out.extend(bytes);
        }
    }
}

fn fields(object: &Value, out: &mut Vec<u8>) {
    for (name, one) in object.as_object().into_iter().flatten() {
        value(&json!(name), out);
        value(one, out);
    }
}

/// Type and size before a value.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (low, more) = match size {
        0..29 => (size as u8, Vec::new()),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
    };
    match kind {
        0..=7 => out.push(kind << 5 | low),
        _ => out.extend([low, kind - 7]),
    }
    out.extend(more);
}
