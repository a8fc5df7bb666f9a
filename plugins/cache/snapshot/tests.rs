//! The file, written and read, whole and otherwise.

use super::*;
use exchange::Query;
use proptest::prelude::*;
use std::time::Duration;
use wire::edns::Subnet;
use wire::{Family, Moment, Name, NewRecord, Rdata, Reply, Rtype, Section, name};

use crate::cache::entry::{Content, Extras, Facts, Key, TenantId};
use crate::cache::store::SharedStore;

use super::format::{DIGEST, MAGIC, digest};

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

/// An entry with an alias and an address.
fn entry(owner: &str, lifetime: u32, subnet: Option<Subnet>) -> Arc<Entry> {
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.make_subquery(&Query::new(), &wire(owner), Rtype::A, true);
    reply.begin(&query);
    let target = name!("target.example.org.");
    reply.answer(lifetime, Rdata::Cname(target));
    let address = Rdata::A([192, 0, 2, 1].into());
    reply.push(Section::Answer, NewRecord::new(target, lifetime, address));
    let facts = Facts { answering: true, recursion_available: true, ..Facts::default() };
    let key = Key::of(&query);
    let key = subnet.map_or(key, |subnet| key.within(subnet));
    let wildcard = Some("*.example.org.".into());
    let extras = Extras { wildcard, last_positive: None, subnet };
    Entry::new(&key, TenantId::NONE, Moment(0), Content::of(&reply, lifetime, facts, extras))
        .unwrap()
}

fn subnet() -> Subnet {
    Subnet::new(Family::V4, 20, &[10, 0, 16]).unwrap()
}

fn file() -> Vec<u8> {
    let mut writer = Writer::new(1_000, ".", "inside");
    writer.push(Partition::Success, &entry("www.example.org.", 300, None), 1_300);
    writer.push(Partition::Denial, &entry("near.example.org.", 60, Some(subnet())), 1_060);
    writer.finish()
}

#[test]
fn what_was_written_is_read() {
    let file = file();
    let saved = Saved::new(&file).unwrap();
    assert_eq!((saved.zones, saved.view), (".", "inside"));
    let entries: Vec<_> = saved.entries().map(Option::unwrap).collect();
    assert_eq!(entries.len(), 2);
    for (saved, (partition, owner, lifetime, subnet)) in entries.iter().zip([
        (Partition::Success, "www.example.org.", 300, None),
        (Partition::Denial, "near.example.org.", 60, Some(subnet())),
    ]) {
        let first = entry(owner, lifetime, subnet);
        assert_eq!((saved.partition, saved.expires), (partition, 1_000 + i64::from(lifetime)));
        let content = saved.content().unwrap();
        let again = Entry::new(&saved.key(), TenantId::NONE, Moment(0), content).unwrap();
        assert!(again.matches(&first.key(), TenantId::NONE), "the same key");
        assert_eq!(again.facts(), first.facts());
        assert_eq!(again.message(), first.message());
        assert_eq!(again.wildcard(), first.wildcard());
        let plain = |entry: &Entry| {
            let (mut query, mut reply) = (Query::new(), Reply::new());
            query.make_subquery(&Query::new(), entry.key().name, Rtype::A, true);
            reply.begin(&query);
            entry.write(entry.lifetime(), &mut query, &mut reply);
            reply.plain_len()
        };
        assert_eq!(plain(&again), plain(&first));
    }
}

#[test]
fn a_file_that_is_not_whole_is_refused() {
    let whole = file();
    for len in 0..whole.len() {
        assert!(Saved::new(&whole[..len]).is_err(), "{len} octets");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(Saved::new(&damaged).is_err(), "octet {at}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(Saved::new(&longer).is_err());
}

proptest! {
    /// Whatever the octets are, with a digest that is right: nothing breaks, and what is taken for an
    /// entry is a message that can be read.
    #[test]
    fn nothing_in_a_file_is_trusted(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut octets = file();
        octets.truncate(octets.len() - DIGEST);
        for (at, octet) in changes {
            let at = MAGIC.len() + at.index(octets.len() - MAGIC.len());
            octets[at] = octet;
        }
        if cuts {
            octets.truncate(MAGIC.len() + cut.index(octets.len() - MAGIC.len()));
        }
        let told = digest(&octets);
        octets.extend_from_slice(told.as_ref());
        let Ok(saved) = Saved::new(&octets) else { return Ok(()) };
        for entry in saved.entries().flatten() {
            let Some(content) = entry.content() else { continue };
            let Some(entry) = Entry::new(&entry.key(), TenantId::NONE, Moment(0), content) else { continue };
            let (mut query, mut reply) = (Query::new(), Reply::new());
            query.make_subquery(&Query::new(), entry.key().name, Rtype::A, false);
            reply.begin(&query);
            entry.write(7, &mut query, &mut reply);
            for record in reply.records() {
                prop_assert!(record.is_ok_and(|record| record.ttl == 7));
            }
        }
    }
}

#[test]
fn expiry_is_a_time_of_day() {
    let shared = SharedStore::new(None);
    let config = Config::default();
    let task = |stale: Option<u32>| SnapshotTask {
        path: PathBuf::new(),
        zones: ".".into(),
        view: String::new(),
        store: Arc::new(Store::new(&shared, &config, "")),
        clock: Clock { now: || Moment(0), unix: |_| 0 },
        config: Config {
            stale: stale.map(|up_to| crate::cache::config::Stale {
                up_to,
                verify: None,
                ttl: 0,
                recheck: Duration::ZERO,
            }),
            ..Config::default()
        },
    };
    let file = file();
    let left = |task: &SnapshotTask, unix: u64| {
        let saved = Saved::new(&file).unwrap().entries().next().unwrap().unwrap();
        assert!(task.admit(&saved, Moment(5), unix).is_some());
        task.store.tenant(Partition::Success).peek(&saved.key()).map(|entry| entry.ttl(Moment(5)))
    };
    assert_eq!(left(&task(None), 1_100), Some(200));
    assert_eq!(left(&task(None), 1_300), None, "expired");
    assert_eq!(left(&task(Some(3600)), 1_400), Some(-100), "but of use still");
    assert_eq!(left(&task(Some(50)), 1_400), None);
    assert_eq!(left(&task(None), 10), Some(300), "the clock was set back");
}
