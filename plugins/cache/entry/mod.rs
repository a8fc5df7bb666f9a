//! One cached answer, flat: facts, name and records are in one allocation.

mod key;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use exchange::Query;
use wire::edns::Subnet;
use wire::prefetch::fetch;
use wire::{Class, Moment, Rcode, Reply, Rtype};

use super::subnet;
pub(super) use key::{Key, Mixed, TenantId};

/// The properties of a reply beside its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) rcode: Rcode,
    pub(super) authoritative: bool,
    pub(super) recursion_available: bool,
    pub(super) authentic_data: bool,
    pub(super) truncated: bool,
    /// The answer section has the queried records, at the end of any aliases.
    pub(super) answering: bool,
    /// A cached resolution failure of this server (RFC 9520), which is served as a failure.
    pub(super) failure: bool,
    /// The query had a client subnet, and the reply the scope 0: it is for all clients.
    pub(super) scope_zero: bool,
}

/// The properties that few entries have.
#[derive(Clone, Default)]
pub(super) struct Extras {
    /// The wildcard that the answer was made from, for the metadata `zone/wildcard`.
    pub(super) wildcard: Option<Box<str>>,
    /// The last positive answer, if this entry is none (`serve_stale_policy prefer_positive`).
    pub(super) last_positive: Option<Arc<Entry>>,
    /// The network that the answer is for.
    pub(super) subnet: Option<Subnet>,
}

/// The content of a new entry.
pub(super) struct Content<'a> {
    /// The lifetime in seconds, which is the TTL of all records.
    pub(super) ttl: u32,
    pub(super) facts: Facts,
    /// Records from [`Reply::record_bytes`], for a message with the key's name in its question.
    pub(super) records: &'a [u8],
    pub(super) counts: [u16; 3],
    pub(super) plain_len: u32,
    /// The version of this server's own zones that the answer depends on; zero if it depends on none.
    pub(super) own_version: u32,
    pub(super) extras: Extras,
}

impl<'a> Content<'a> {
    /// The records of `reply`, all with the TTL `ttl`.
    pub(super) fn of(reply: &'a Reply, ttl: u32, facts: Facts, extras: Extras) -> Self {
        let (records, counts) = reply.record_bytes();
        Self {
            ttl,
            facts,
            records,
            counts,
            plain_len: reply.plain_len(),
            own_version: reply.own_version,
            extras,
        }
    }

    /// No records.
    pub(super) fn empty(ttl: u32, facts: Facts) -> Self {
        let extras = Extras::default();
        Self { ttl, facts, records: &[], counts: [0; 3], plain_len: 0, own_version: 0, extras }
    }
}

/// The part of an entry that has a fixed length.
struct Head {
    hash: u64,
    /// The tenant of the store that it was made for.
    tenant: TenantId,
    /// The time of expiry on the server's clock, in nanoseconds. It may be before the clock's start for
    /// an entry from a snapshot.
    expires: i64,
    ttl: u32,
    qtype: Rtype,
    class: Class,
    bits: u8,
    name_len: u8,
    counts: [u16; 3],
    used: u32,
    plain_len: u32,
    /// See [`Content::own_version`].
    own_version: u32,
    facts: Facts,
    /// The number of evictions that the entry survives, as in S3-FIFO. A hit adds to it.
    frequency: AtomicU8,
    /// A denial was stored after this answer: a lookup must read it, too.
    denied: AtomicBool,
    /// The hits without a gap, and the time of the last one.
    hits: AtomicU32,
    last_hit: AtomicU64,
    /// The earliest time for the next renewal: one is in flight, or one failed a short while ago.
    renew_at: AtomicU64,
    extras: Option<Box<Extras>>,
}

// Every hit reads the head: a new field must not make it larger.
const _: () = assert!(size_of::<Head>() == 88);

/// A cached answer. It is built as `Entry<[u8; N]>` and used as `Entry`.
pub(super) struct Entry<Bytes: ?Sized = [u8]> {
    head: Head,
    /// The name, then the records, then unused octets.
    bytes: Bytes,
}

/// A renewal is considered lost after this time, and another may begin: the server may drop background
/// work. It is longer than any upstream timeout.
const RENEWAL: Duration = Duration::from_secs(10);
/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// The evictions that an entry survives for each hit, and at most.
const FREQUENCY_PER_USE: u8 = 2;
const MAX_FREQUENCY: u8 = 6;
/// The octets beside the entry itself: the reference counts of the `Arc`, the allocator's header, the
/// pointer and the node in the shard, the cells of the table.
const OVERHEAD: usize = 16 + 16 + 16 + 32 + 16;

impl Entry {
    /// A new entry for `tenant`.
    pub(super) fn new(
        key: &Key<'_>,
        tenant: TenantId,
        now: Moment,
        content: Content<'_>,
    ) -> Option<Arc<Self>> {
        Self::expiring(key, tenant, now, i64::from(content.ttl), content)
    }

    /// An entry that expires `left` seconds from now, or expired before if `left` is negative.
    pub(super) fn expiring(
        key: &Key<'_>,
        tenant: TenantId,
        now: Moment,
        left: i64,
        content: Content<'_>,
    ) -> Option<Arc<Self>> {
        let Content { ttl, facts, records, counts, plain_len, own_version, extras } = content;
        let has_extras =
            extras.wildcard.is_some() || extras.last_positive.is_some() || extras.subnet.is_some();
        let head = Head {
            hash: key.hash,
            tenant,
            expires: (now.0 as i64).saturating_add(left.saturating_mul(SECOND)),
            ttl,
            qtype: key.qtype,
            class: key.class,
            bits: key.bits,
            name_len: key.name.len() as u8,
            counts,
            used: (key.name.len() + records.len()) as u32,
            plain_len,
            own_version,
            facts,
            frequency: AtomicU8::new(0),
            denied: AtomicBool::new(false),
            hits: AtomicU32::new(0),
            last_hit: AtomicU64::new(now.0),
            renew_at: AtomicU64::new(0),
            extras: has_extras.then(|| Box::new(extras)),
        };
        let parts = [key.name, records];
        // Without `unsafe`, one allocation needs a length that is known at compile time.
        match head.used {
            0..=64 => Some(allocate::<64>(head, parts)),
            65..=128 => Some(allocate::<128>(head, parts)),
            129..=192 => Some(allocate::<192>(head, parts)),
            193..=256 => Some(allocate::<256>(head, parts)),
            257..=384 => Some(allocate::<384>(head, parts)),
            385..=512 => Some(allocate::<512>(head, parts)),
            513..=768 => Some(allocate::<768>(head, parts)),
            769..=1024 => Some(allocate::<1024>(head, parts)),
            1025..=1536 => Some(allocate::<1536>(head, parts)),
            1537..=2048 => Some(allocate::<2048>(head, parts)),
            2049..=3072 => Some(allocate::<3072>(head, parts)),
            3073..=4096 => Some(allocate::<4096>(head, parts)),
            4097..=8192 => Some(allocate::<8192>(head, parts)),
            8193..=16_384 => Some(allocate::<16_384>(head, parts)),
            16_385..=32_768 => Some(allocate::<32_768>(head, parts)),
            32_769..=65_536 => Some(allocate::<65_536>(head, parts)),
            // No message is longer.
            _ => None,
        }
    }

    /// The key of the entry.
    pub(super) fn key(&self) -> Key<'_> {
        Key {
            hash: self.head.hash,
            name: self.name(),
            qtype: self.head.qtype,
            class: self.head.class,
            bits: self.head.bits,
            subnet: self.subnet(),
        }
    }

    /// The network that the entry is for, if it is not for all clients.
    #[inline]
    pub(super) fn subnet(&self) -> Option<Subnet> {
        self.head.extras.as_ref().and_then(|extras| extras.subnet)
    }

    /// Whether this is the entry of `tenant` under `key`. The keys are compared in full.
    #[inline]
    pub(super) fn matches(&self, key: &Key<'_>, tenant: TenantId) -> bool {
        let head = &self.head;
        head.hash == key.hash
            && head.tenant == tenant
            && head.qtype == key.qtype
            && head.class == key.class
            && head.bits == key.bits
            && self.name() == key.name
            && self.subnet() == key.subnet
    }

    /// The tenant of the store that it was made for.
    pub(super) fn tenant(&self) -> TenantId {
        self.head.tenant
    }

    #[inline]
    fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.head.name_len)]
    }

    /// The lifetime in seconds, which is the TTL of all records.
    #[inline]
    pub(super) fn lifetime(&self) -> u32 {
        self.head.ttl
    }

    #[inline]
    pub(super) fn facts(&self) -> Facts {
        self.head.facts
    }

    /// The seconds until the entry expires. Zero or less is the time since it expired, negated.
    #[inline]
    pub(super) fn ttl(&self, now: Moment) -> i64 {
        let left = self.head.expires.saturating_sub(now.0 as i64);
        // Rounded up, because the last second has begun.
        if left > 0 { (left - 1) / SECOND + 1 } else { left / SECOND }
    }

    /// Whether the entry is an answer, and not a count of networks.
    pub(super) fn is_answer(&self) -> bool {
        self.head.bits & Key::COUNT == 0
    }

    /// Whether its queries request DNSSEC records (DO).
    pub(super) fn wants_dnssec(&self) -> bool {
        self.head.bits & Key::DO != 0
    }

    /// Whether its queries have the CD bit.
    pub(super) fn checking_disabled(&self) -> bool {
        self.head.bits & Key::CD != 0
    }

    /// Whether the answer depends on own zones that have changed since. `current` is their version,
    /// which few entries need.
    #[inline]
    pub(super) fn is_outdated(&self, current: impl FnOnce() -> u32) -> bool {
        self.has_own_data() && self.head.own_version != current()
    }

    /// Whether the answer depends on own zones.
    #[inline]
    pub(super) fn has_own_data(&self) -> bool {
        self.head.own_version > 0
    }

    /// The number of records in each section.
    pub(super) fn counts(&self) -> [u16; 3] {
        self.head.counts
    }

    /// The records, for a message with its question.
    #[inline]
    pub(super) fn records(&self) -> &[u8] {
        &self.bytes[usize::from(self.head.name_len)..self.head.used as usize]
    }

    /// The wildcard that the answer was synthesized from.
    pub(super) fn wildcard(&self) -> Option<&str> {
        self.head.extras.as_ref()?.wildcard.as_deref()
    }

    /// The records as a whole message.
    pub(super) fn message(&self) -> Vec<u8> {
        let key = (self.name(), self.head.qtype, self.head.class);
        message(key, self.head.counts, self.records())
    }

    /// The octets of memory that the entry uses.
    pub(super) fn octets(&self) -> u64 {
        (size_of_val(self) + OVERHEAD) as u64
    }

    /// Counts a use. At the maximum, as in most hits, it writes nothing.
    #[inline]
    pub(super) fn touch(&self) {
        let frequency = self.head.frequency.load(Ordering::Relaxed);
        if frequency < MAX_FREQUENCY {
            self.head.frequency.store(frequency + FREQUENCY_PER_USE, Ordering::Relaxed);
        }
    }

    /// Prefetches what an eviction will touch.
    #[inline]
    pub(super) fn prefetch(&self) {
        fetch(&self.head);
        fetch(&self.head.frequency);
    }

    /// Decrements the frequency. Returns whether it was positive.
    pub(super) fn decrement_frequency(&self) -> bool {
        let frequency = self.head.frequency.load(Ordering::Relaxed);
        self.head.frequency.store(frequency.saturating_sub(1), Ordering::Relaxed);
        frequency > 0
    }

    /// Sets the frequency to zero. Returns whether it was positive.
    pub(super) fn reset_frequency(&self) -> bool {
        // A swap would wait for all earlier writes. A use that is lost between these two lines does no
        // harm.
        let frequency = self.head.frequency.load(Ordering::Relaxed);
        self.head.frequency.store(0, Ordering::Relaxed);
        frequency > 0
    }

    /// Takes the frequency of `old`, which this entry replaces.
    pub(super) fn inherit_frequency(&self, old: &Self) {
        self.head.frequency.store(old.head.frequency.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether this client may get the entry.
    pub(super) fn is_for(&self, query: &Query) -> bool {
        self.subnet().is_none_or(|subnet| {
            subnet::source(query).is_some_and(|asked| subnet.covers(&asked.source))
        })
    }

    /// Writes the entry into `reply`, which has the same question, with `ttl` on every record. Only
    /// clients that requested AD get it (RFC 6840 section 5.8).
    #[inline]
    pub(super) fn write(&self, ttl: u32, query: &mut Query, reply: &mut Reply) {
        let head = &self.head;
        reply.load_trusted(self.records(), head.counts, head.plain_len);
        reply.set_rcode(head.facts.rcode);
        reply.set_authoritative(head.facts.authoritative);
        reply.recursion_available = head.facts.recursion_available;
        reply.authentic_data =
            head.facts.authentic_data && (query.wants_dnssec() || query.authentic_data());
        reply.truncated = head.facts.truncated;
        reply.own_version = head.own_version;
        if ttl != head.ttl {
            reply.edit_ttls(|_, _| ttl);
        }
        if let Some(wildcard) = head.extras.as_ref().and_then(|extras| extras.wildcard.as_ref()) {
            query.set_metadata("zone/wildcard", || wildcard.to_string());
        }
    }

    /// This entry if it is a positive answer, or the last one that was.
    pub(super) fn last_answering(entry: &Arc<Self>) -> Option<&Arc<Self>> {
        if entry.head.facts.answering {
            return Some(entry);
        }
        entry.head.extras.as_ref()?.last_positive.as_ref()
    }

    #[inline]
    pub(super) fn is_denied(&self) -> bool {
        self.head.denied.load(Ordering::Acquire)
    }

    pub(super) fn set_denied(&self) {
        self.head.denied.store(true, Ordering::Release);
    }

    /// Increments the counter of a counting entry and returns its previous value.
    pub(super) fn increment(&self) -> u32 {
        self.head.hits.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a hit. Returns the number of hits without a gap of more than `gap` between two. Two
    /// workers may miss each other's hits: the number is approximate.
    #[inline]
    pub(super) fn hit(&self, gap: Duration, now: Moment) -> u32 {
        let last = Moment(self.head.last_hit.swap(now.0, Ordering::Relaxed));
        let before = if now.since(last) > gap { 0 } else { self.head.hits.load(Ordering::Relaxed) };
        let hits = before.saturating_add(1);
        self.head.hits.store(hits, Ordering::Relaxed);
        hits
    }

    /// Takes the hits of `old`, which this entry replaces.
    pub(super) fn inherit_hits(&self, old: &Self) {
        self.head.hits.store(old.head.hits.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether the caller may renew this entry now. If so, no other may until [`Entry::end_renewal`],
    /// or until the renewal is considered lost.
    #[inline]
    pub(super) fn begin_renewal(&self, now: Moment) -> bool {
        let renew_at = self.head.renew_at.load(Ordering::Relaxed);
        now.0 >= renew_at
            && self
                .head
                .renew_at
                .compare_exchange(
                    renew_at,
                    now.plus(RENEWAL).0,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Whether no renewal is in flight, and none failed a short while ago.
    pub(super) fn may_renew(&self, now: Moment) -> bool {
        now.0 >= self.head.renew_at.load(Ordering::Relaxed)
    }

    /// Ends the renewal. The next may begin `pause` from now.
    pub(super) fn end_renewal(&self, now: Moment, pause: Duration) {
        self.head.renew_at.store(now.plus(pause).0, Ordering::Relaxed);
    }
}

/// A message with this question and these records.
pub(super) fn message(
    (name, qtype, class): (&[u8], Rtype, Class),
    counts: [u16; 3],
    records: &[u8],
) -> Vec<u8> {
    let mut message = vec![0, 0, 0x80, 0, 0, 1];
    counts.iter().for_each(|count| message.extend_from_slice(&count.to_be_bytes()));
    message.extend_from_slice(name);
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&class.0.to_be_bytes());
    message.extend_from_slice(records);
    message
}

/// Allocates an entry of up to `N` bytes.
#[inline(never)]
fn allocate<const N: usize>(head: Head, [name, records]: [&[u8]; 2]) -> Arc<Entry> {
    let mut bytes = [0; N];
    let (first, rest) = bytes.split_at_mut(name.len());
    first.copy_from_slice(name);
    rest[..records.len()].copy_from_slice(records);
    Arc::new(Entry { head, bytes })
}
