//! The builder writes records into the arena in the order of their arrival, one node per run of records with
//! the same owner.
//!
//! A name whose records are adjacent in the file, the usual case, is written once. A name that comes again
//! gets a second node, and `finish` merges the two. Nodes enter the table in batches, so that the cache
//! misses of a batch overlap.

use wire::{Class, Name, hash, name};

use super::node::{FIRST, Node, PLAIN, TOMBSTONE, relative_hash};
use super::scratch::Scratch;
use super::table::Table;
use super::unfit::{Conflict, Unfit};
use super::zone::Zone;
use crate::RecordRef;

/// Nodes that enter the table together.
const BATCH: usize = 64;
/// Conflicts that are reported at most.
const MAX_ERRORS: usize = 20;

/// Collects records into a [`Zone`](crate::Zone).
pub struct Builder {
    pub(super) apex: Name,
    pub(super) apex_hash: u64,
    pub(super) arena: Vec<u8>,
    pub(super) table: Table,
    pub(super) records: usize,
    /// Bytes of the arena in nodes that are no longer in use.
    pub(super) waste: usize,
    /// Offsets of a node and of a further node of the same name.
    pub(super) duplicates: Vec<(u64, u64)>,
    /// Hashes and offsets of the nodes that are not in the table yet.
    pending: Vec<(u64, u64)>,
    /// The records of the current owner.
    pub(super) scratch: Scratch,
    /// The current owner, relative to the apex, in lower case.
    owner: Vec<u8>,
    /// The current owner as the last record had it: an equal owner needs no folding.
    owner_as_written: Vec<u8>,
    pub(super) errors: Vec<Unfit>,
}

impl Builder {
    /// Starts a zone. `size_hint_bytes` is the size of its master file or transfer, 0 if unknown;
    /// it only saves growing.
    pub fn new(apex: &Name, size_hint_bytes: u64) -> Self {
        let apex = apex.to_lower();
        let hint = usize::try_from(size_hint_bytes.min(1 << 36)).unwrap_or(0);
        let mut arena = Vec::with_capacity(hint + hint / 2 + 256);
        // Offset 0 means "no node".
        arena.extend_from_slice(&[0; 8]);
        Self {
            apex_hash: hash::name(apex.as_wire()),
            apex,
            arena,
            table: Table::with_capacity(hint / 24),
            records: 0,
            waste: 0,
            duplicates: Vec::new(),
            pending: Vec::with_capacity(BATCH),
            scratch: Scratch::default(),
            owner: Vec::new(),
            owner_as_written: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds one record.
    ///
    /// An error here concerns this record alone and leaves it out: it is of another class or lies
    /// outside the zone. The caller may report it and go on, as CoreDNS does.
    pub fn add(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        if record.owner != self.owner_as_written.as_slice() || self.scratch.is_empty() {
            self.start_owner(record.owner)?;
        }
        if record.class != Class::IN {
            let owner = name::Text(record.owner);
            let (rtype, class) = (record.rtype, record.class);
            return Err(format!("the {rtype} record of `{owner}` is of class {class}, not IN"));
        }
        self.scratch.push(record.rtype, record.class, record.ttl, record.rdata);
        Ok(())
    }

    /// Starts a zone that will be about as large as another version of it.
    pub fn like(zone: &Zone) -> Self {
        let mut builder = Self::new(zone.apex(), 0);
        builder.arena.reserve(zone.memory());
        builder.table = Table::with_capacity(zone.names());
        builder
    }

    /// Adds a name with its records from another version of the zone.
    pub(crate) fn add_node(&mut self, node: Node<'_>) {
        self.flush();
        let at = self.arena.len();
        self.arena.extend_from_slice(node.as_bytes());
        // What the flags say is found out again.
        self.arena[at] &= PLAIN;
        self.records += node.record_count();
        self.enter(relative_hash(self.apex_hash, node.name()), at as u64);
    }

    /// Adds a name, lower-case labels before the apex, with the records of `scratch`, which is empty
    /// afterwards.
    pub(crate) fn add_scratch(&mut self, name: &[u8], scratch: &mut Scratch) {
        self.flush();
        std::mem::swap(&mut self.scratch, scratch);
        self.owner_as_written.clear();
        self.owner.clear();
        self.owner.extend_from_slice(name);
        self.flush();
        std::mem::swap(&mut self.scratch, scratch);
    }

    /// Makes `owner` the current owner.
    fn start_owner(&mut self, owner: &[u8]) -> Result<(), String> {
        let apex = self.apex.as_wire();
        if !name::is_under(owner, apex) {
            return Err(format!("`{}` is not in zone `{}`", name::Text(owner), self.apex));
        }
        let relative = &owner[..owner.len() - apex.len()];
        if self.scratch.is_empty() || !relative.eq_ignore_ascii_case(&self.owner) {
            self.flush();
            self.owner.clear();
            self.owner.extend(
                owner[..owner.len() - self.apex.as_wire().len()].iter().map(u8::to_ascii_lowercase),
            );
        }
        self.owner_as_written.clear();
        self.owner_as_written.extend_from_slice(owner);
        Ok(())
    }

    /// Writes the records of the current owner to the arena.
    pub(super) fn flush(&mut self) {
        if self.scratch.is_empty() {
            return;
        }
        let hash = relative_hash(self.apex_hash, &self.owner);
        let owner = std::mem::take(&mut self.owner);
        let node = self.write_node(&owner);
        self.owner = owner;
        self.enter(hash, node);
    }

    /// Notes a node for the table.
    fn enter(&mut self, hash: u64, node: u64) {
        self.pending.push((hash, node));
        if self.pending.len() == BATCH {
            self.insert_pending();
        }
    }

    /// Enters the pending nodes into the table.
    pub(super) fn insert_pending(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        for &(hash, _) in &pending {
            self.table.prefetch(hash);
        }
        for (hash, node) in pending.drain(..) {
            let owner = Node::at(&self.arena, node).name();
            match self.find(hash, owner) {
                Some(first) => self.duplicates.push((first, node)),
                None => self.insert(hash, node),
            }
        }
        self.pending = pending;
    }

    /// Writes a node of the records in `scratch`, which is empty afterwards.
    pub(super) fn write_node(&mut self, owner: &[u8]) -> u64 {
        if let Some(conflict) = self.scratch.arrange(owner.is_empty()) {
            self.report(owner, conflict);
        }
        let node = self.arena.len() as u64;
        self.records += self.scratch.write(&mut self.arena, owner, self.apex.as_wire());
        node
    }

    #[cold]
    fn report(&mut self, owner: &[u8], conflict: Conflict) {
        if self.errors.len() < MAX_ERRORS {
            let full = [owner, self.apex.as_wire()].concat();
            let owner = Name::from_wire(&full).unwrap_or_else(|_| self.apex.clone());
            let unfit = Unfit { owner, conflict };
            if !self.errors.contains(&unfit) {
                self.errors.push(unfit);
            }
        }
    }

    /// Enters a node into the table, which grows if it is full.
    pub(super) fn insert(&mut self, hash: u64, node: u64) {
        if self.table.is_full() {
            self.rebuild_table(self.table.doubled(), node);
        }
        self.table.insert(hash, node);
    }

    /// Makes the table anew, in an empty one, of all nodes in use before `end`, without the second nodes of names.
    pub(super) fn rebuild_table(&mut self, empty: Table, end: u64) {
        self.table = empty;
        let mut duplicates = self.duplicates.iter().map(|&(_, second)| second).peekable();
        let mut at = FIRST;
        while at < end {
            let node = Node::at(&self.arena, at);
            if duplicates.next_if_eq(&at).is_none() && !node.has(TOMBSTONE) {
                self.table.insert(relative_hash(self.apex_hash, node.name()), at);
            }
            at += node.size() as u64;
        }
    }

    pub(super) fn find(&self, hash: u64, owner: &[u8]) -> Option<u64> {
        self.table.find(hash, |at| Node::at(&self.arena, at).name() == owner)
    }
}
