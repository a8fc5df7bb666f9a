//! Services with their slices, found by name and by address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wire::hash;

use crate::index::{AddressIndex, minus, pairs_of};
use crate::objects;
use crate::objects::Detail;
use crate::packed::{self, Entry};
use crate::shards::Shards;

/// Services of one kind: those of the cluster, or those that it imports.
pub struct Services {
    detail: Detail,
    shards: Shards,
    addresses: AddressIndex,
    writer: Mutex<Writer>,
}

/// What is listed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Services, or imported services.
    Services,
    /// Slices.
    Slices,
}

/// A list of all objects of a kind: those that it does not put go when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u32);

/// What a change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Whether names in the cluster have other records.
    pub inside: bool,
    /// Whether a service has other addresses outside of the cluster.
    pub outside: bool,
}

impl Changed {
    /// What two changes did together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { inside: self.inside | other.inside, outside: self.outside | other.outside }
    }
}

/// What only writers need.
#[derive(Default)]
struct Writer {
    hash: RandomState,
    services: Known,
    slices: Known,
}

/// The objects of one kind: the tag of the service of each, and the last list that it was seen in.
#[derive(Default)]
struct Known {
    by_id: HashMap<u64, (u32, u32)>,
    list: u32,
}

impl Writer {
    fn known(&mut self, listed: Listed) -> &mut Known {
        match listed {
            Listed::Services => &mut self.services,
            Listed::Slices => &mut self.slices,
        }
    }

    fn id(&self, namespace: &str, name: &str) -> u64 {
        self.hash.hash_one((namespace, name))
    }
}

/// The tag of the service with these labels.
#[inline]
fn tag_of(namespace: &[u8], name: &[u8]) -> u32 {
    let wide = hash::child(hash::child(hash::root(), namespace), name);
    (wide ^ wide >> 32) as u32
}

impl Services {
    /// No services yet.
    pub fn new(detail: Detail) -> Self {
        Self {
            detail,
            shards: Shards::default(),
            addresses: AddressIndex::default(),
            writer: Mutex::default(),
        }
    }

    // --- reading

    /// Reads the service with this name in this namespace, and its slices.
    #[inline]
    pub fn find<R>(
        &self,
        namespace: &[u8],
        name: &[u8],
        read: impl FnOnce(Entry<'_>) -> R,
    ) -> Option<R> {
        let tag = tag_of(namespace, name);
        let shard = self.shards.load(tag);
        let is_it = |octets: &[u8]| {
            let entry = Entry::read(octets);
            entry.name().eq_ignore_ascii_case(name)
                && entry.namespace().eq_ignore_ascii_case(namespace)
        };
        shard.find(tag, is_it).map(|(_, octets)| read(Entry::read(octets)))
    }

    /// Reads all services that have an address, or whose endpoints have it.
    pub fn with_address(&self, address: IpAddr, mut read: impl FnMut(Entry<'_>)) {
        self.addresses.tags(address, |tag| {
            let shard = self.shards.load(tag);
            for (_, octets) in shard.entries().filter(|(known, _)| *known == tag) {
                let entry = Entry::read(octets);
                if entry.addresses().any(|known| known == address) {
                    read(entry);
                }
            }
        });
    }

    /// Reads all services, in no order.
    pub fn each(&self, mut read: impl FnMut(Entry<'_>)) {
        for shard in self.shards.all() {
            shard.entries().for_each(|(_, octets)| read(Entry::read(octets)));
        }
    }

    /// How many services and slices there are.
    pub fn len(&self) -> (usize, usize) {
        let writer = self.writer();
        (writer.services.by_id.len(), writer.slices.by_id.len())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Octets of memory, about.
    pub fn memory(&self) -> usize {
        let writer = self.writer();
        let known = |known: &Known| known.by_id.capacity() * 17;
        let index = known(&writer.services) + known(&writer.slices);
        self.shards.memory() + self.addresses.memory() + index
    }

    // --- writing

    /// Begins a list.
    pub fn begin_list(&self, listed: Listed) -> Mark {
        let mut writer = self.writer();
        let known = writer.known(listed);
        known.list += 1;
        Mark(known.list)
    }

    /// Ends a list: what was not put with its mark, or later, goes.
    pub fn end_list(&self, listed: Listed, mark: Mark) -> Changed {
        let writer = &mut *self.writer();
        let known = writer.known(listed);
        let gone: Vec<(u64, u32)> = known
            .by_id
            .iter()
            .filter(|(_, (_, seen))| *seen < mark.0)
            .map(|(id, (tag, _))| (*id, *tag))
            .collect();
        let mut changed = Changed::default();
        for (id, tag) in gone {
            changed = changed.and(match listed {
                Listed::Services => self.drop_service(writer, id, tag),
                Listed::Slices => self.drop_slice(writer, id, tag),
            });
        }
        writer.known(listed).by_id.shrink_to_fit();
        changed
    }

    /// Adds or replaces a service. Nothing happens if its name is none.
    pub fn put_service(&self, service: &objects::Service<'_>) -> Changed {
        let id = &service.id;
        let Some(key) = packed::key(id.namespace.as_bytes(), id.name.as_bytes()) else {
            return Changed::default();
        };
        let writer = &mut *self.writer();
        let tag = tag_of(id.namespace.as_bytes(), id.name.as_bytes());
        let number = writer.id(&id.namespace, &id.name);
        let list = writer.services.list;
        writer.services.by_id.insert(number, (tag, list));
        let packed = packed::pack_service(service);
        self.edit(tag, &key, |old| packed::with_service(&key, old, &packed))
    }

    /// Removes a service.
    pub fn remove_service(&self, id: &objects::Id<'_>) -> Changed {
        let writer = &mut *self.writer();
        let number = writer.id(&id.namespace, &id.name);
        match writer.services.by_id.get(&number) {
            Some(&(tag, _)) => self.drop_service(writer, number, tag),
            None => Changed::default(),
        }
    }

    /// Adds or replaces a slice of this service.
    pub fn put_slice(&self, service: &str, slice: &objects::Slice<'_>) -> Changed {
        let writer = &mut *self.writer();
        let id = &slice.id;
        let number = writer.id(&id.namespace, &id.name);
        let key = packed::key(id.namespace.as_bytes(), service.as_bytes());
        let packed = packed::pack_slice(slice, self.detail.pod_names, self.detail.zones);
        let tag = tag_of(id.namespace.as_bytes(), service.as_bytes());
        let mut changed = Changed::default();
        let before = writer.slices.by_id.get(&number).map(|(tag, _)| *tag);
        match (key, packed) {
            (Some(key), Some(packed)) => {
                // The label may name another service than before.
                if let Some(before) = before.filter(|before| *before != tag) {
                    changed = self.drop_slice(writer, number, before);
                }
                let list = writer.slices.list;
                writer.slices.by_id.insert(number, (tag, list));
                let new =
                    |old: Option<Entry<'_>>| packed::with_slice(&key, old, number, Some(&packed));
                changed.and(self.edit(tag, &key, new))
            }
            // It says nothing any more.
            _ => before.map_or(changed, |before| self.drop_slice(writer, number, before)),
        }
    }

    /// Removes a slice.
    pub fn remove_slice(&self, id: &objects::Id<'_>) -> Changed {
        let writer = &mut *self.writer();
        let number = writer.id(&id.namespace, &id.name);
        match writer.slices.by_id.get(&number) {
            Some(&(tag, _)) => self.drop_slice(writer, number, tag),
            None => Changed::default(),
        }
    }

    fn drop_service(&self, writer: &mut Writer, id: u64, tag: u32) -> Changed {
        writer.services.by_id.remove(&id);
        let is_it = |entry: Entry<'_>| {
            let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
            writer.id(&text(entry.namespace()), &text(entry.name())) == id
        };
        self.edit_where(tag, is_it, |entry| packed::with_service(entry.key, Some(entry), &[]))
    }

    fn drop_slice(&self, writer: &mut Writer, id: u64, tag: u32) -> Changed {
        writer.slices.by_id.remove(&id);
        let is_it = |entry: Entry<'_>| entry.raw_slices().any(|(known, _)| known == id);
        self.edit_where(tag, is_it, |entry| packed::with_slice(entry.key, Some(entry), id, None))
    }

    /// Changes the entry that is the one, if there is such.
    fn edit_where(
        &self,
        tag: u32,
        is_it: impl Fn(Entry<'_>) -> bool,
        edit: impl FnOnce(Entry<'_>) -> Vec<u8>,
    ) -> Changed {
        let shard = self.shards.load(tag);
        let found = shard.find(tag, |octets| is_it(Entry::read(octets)));
        let Some((place, octets)) = found else { return Changed::default() };
        let old = Entry::read(octets);
        self.replace(tag, Some((place, old)), &edit(old))
    }

    /// Changes the entry with this key, or adds one.
    fn edit(
        &self,
        tag: u32,
        key: &[u8],
        edit: impl FnOnce(Option<Entry<'_>>) -> Vec<u8>,
    ) -> Changed {
        let shard = self.shards.load(tag);
        let old = shard
            .find(tag, |octets| Entry::read(octets).key == key)
            .map(|(place, octets)| (place, Entry::read(octets)));
        self.replace(tag, old, &edit(old.map(|(_, entry)| entry)))
    }

    fn replace(&self, tag: u32, old: Option<(usize, Entry<'_>)>, new: &[u8]) -> Changed {
        let entry = Entry::read(new);
        let before = old.map(|(_, old)| old);
        let same =
            |read: fn(Entry<'_>) -> Vec<u8>| before.map(read).unwrap_or_default() == read(entry);
        let whole = |entry: Entry<'_>| (entry.raw_service().to_vec(), raw(entry));
        if before.map(whole).unwrap_or_default() == whole(entry) {
            return Changed::default();
        }
        let pairs = |entry: Entry<'_>| pairs_of(entry.addresses(), tag);
        let (had, has) = (before.map(pairs).unwrap_or_default(), pairs(entry));
        // An address is added before the entry has it and removed after, so that none is missed.
        self.addresses.change(&[], &minus(&has, &had));
        let place = old.map(|(place, _)| place);
        self.shards.replace(tag, place, (!entry.is_empty()).then_some(new));
        self.addresses.change(&minus(&had, &has), &[]);
        Changed { inside: true, outside: !same(outside) }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slices of an entry.
fn raw(entry: Entry<'_>) -> Vec<u8> {
    entry.raw_slices().flat_map(|(id, octets)| [&id.to_le_bytes()[..], octets].concat()).collect()
}

/// What of an entry is seen outside of the cluster.
fn outside(entry: Entry<'_>) -> Vec<u8> {
    let service = entry.service();
    let is_outside = service.is_some_and(|service| service.outside().next().is_some());
    if is_outside { entry.raw_service().to_vec() } else { Vec::new() }
}
