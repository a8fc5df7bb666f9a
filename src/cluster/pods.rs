//! Pods by their address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::hash_of;
use crate::objects;
use crate::packed::Reader;
use crate::shards::Shards;

/// Pods.
#[derive(Default)]
pub struct Pods {
    keep_labels: bool,
    shards: Shards,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    hash: RandomState,
    /// The tag of the address of each pod, and the last list that it was seen in.
    known: HashMap<u64, (u32, u32)>,
    list: u32,
}

/// A pod.
#[derive(Clone, Copy)]
pub struct Pod<'a> {
    id: u64,
    /// Its address.
    pub address: IpAddr,
    /// Its namespace.
    pub namespace: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    labels: Reader<'a>,
}

impl<'a> Pod<'a> {
    fn read(octets: &'a [u8]) -> Self {
        let mut reader = Reader(octets);
        let id = u64::from_le_bytes(reader.array());
        let is_v6 = reader.byte() == 1;
        let address = reader.address(is_v6);
        let (namespace, name) = (reader.text(), reader.text());
        Self { id, address, namespace, name, labels: reader }
    }

    /// Its labels, if they are kept.
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = self.labels;
        std::iter::from_fn(move || {
            (!reader.0.is_empty()).then(|| {
                let len = usize::from(u16::from_le_bytes(reader.array()));
                (reader.take(len), reader.text())
            })
        })
    }
}

fn pack(id: u64, address: IpAddr, pod: &objects::Pod<'_>, labels: bool) -> Vec<u8> {
    let mut packed = id.to_le_bytes().to_vec();
    match address {
        IpAddr::V4(address) => {
            packed.push(0);
            packed.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            packed.push(1);
            packed.extend_from_slice(&address.octets());
        }
    }
    for text in [&pod.id.namespace, &pod.id.name] {
        let text = &text.as_bytes()[..text.len().min(255)];
        packed.push(text.len() as u8);
        packed.extend_from_slice(text);
    }
    for (key, value) in pod.labels.iter().filter(|_| labels) {
        // A key has a prefix of up to 253 octets; a value has up to 63.
        let (key, value) = (key.as_bytes(), value.as_bytes());
        if key.len() <= 512 && value.len() <= 255 {
            packed.extend_from_slice(&(key.len() as u16).to_le_bytes());
            packed.extend_from_slice(key);
            packed.push(value.len() as u8);
            packed.extend_from_slice(value);
        }
    }
    packed
}

impl Pods {
    /// No pods yet. Their labels are kept if somebody reads them.
    pub fn new(keep_labels: bool) -> Self {
        Self { keep_labels, ..Self::default() }
    }

    /// Reads the pods with an address until one gives a value.
    pub fn find<R>(
        &self,
        address: IpAddr,
        mut read: impl FnMut(Pod<'_>) -> Option<R>,
    ) -> Option<R> {
        let tag = hash_of(address);
        let shard = self.shards.load(tag);
        let found = shard.entries().filter(|(known, _)| *known == tag);
        found
            .map(|(_, octets)| Pod::read(octets))
            .filter(|pod| pod.address == address)
            .find_map(&mut read)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.writer().known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of memory, about.
    pub fn memory(&self) -> usize {
        self.shards.memory() + self.writer().known.capacity() * 17
    }

    /// Begins a list.
    pub fn begin_list(&self) {
        self.writer().list += 1;
    }

    /// Ends a list: what was not put since it began goes. Returns whether something did.
    pub fn end_list(&self) -> bool {
        let writer = &mut *self.writer();
        let list = writer.list;
        let gone: Vec<(u64, u32)> = writer
            .known
            .iter()
            .filter(|(_, (_, seen))| *seen < list)
            .map(|(id, (tag, _))| (*id, *tag))
            .collect();
        for (id, tag) in &gone {
            writer.known.remove(id);
            self.drop_pod(*id, *tag);
        }
        writer.known.shrink_to_fit();
        !gone.is_empty()
    }

    /// Adds or replaces a pod; one without an address goes. Returns whether names have other records.
    pub fn put(&self, pod: &objects::Pod<'_>) -> bool {
        let Some(address) = pod.address else { return self.remove(&pod.id) };
        let writer = &mut *self.writer();
        let id = writer.hash.hash_one((&pod.id.namespace, &pod.id.name));
        let (tag, list) = (hash_of(address), writer.list);
        let before = writer.known.insert(id, (tag, list));
        if let Some((before, _)) = before.filter(|(before, _)| *before != tag) {
            self.drop_pod(id, before);
        }
        let packed = pack(id, address, pod, self.keep_labels);
        let shard = self.shards.load(tag);
        let old = shard.find(tag, |octets| Pod::read(octets).id == id);
        if old.is_some_and(|(_, octets)| octets == packed) {
            return false;
        }
        let had = old.map(|(_, octets)| Pod::read(octets).address);
        self.shards.replace(tag, old.map(|(place, _)| place), Some(&packed));
        had != Some(address)
    }

    /// Removes a pod. Returns whether it was there.
    pub fn remove(&self, id: &objects::Id<'_>) -> bool {
        let writer = &mut *self.writer();
        let number = writer.hash.hash_one((&id.namespace, &id.name));
        let known = writer.known.remove(&number);
        if let Some((tag, _)) = known {
            self.drop_pod(number, tag);
        }
        known.is_some()
    }

    fn drop_pod(&self, id: u64, tag: u32) {
        let shard = self.shards.load(tag);
        let old = shard.find(tag, |octets| Pod::read(octets).id == id);
        if let Some((place, _)) = old {
            self.shards.replace(tag, Some(place), None);
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
