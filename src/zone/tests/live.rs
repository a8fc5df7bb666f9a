//! A zone that serves while it changes: folds lose nothing, histories lead from version to version.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use catena_zone::live::Listener;
use catena_zone::{Changes, Live, LiveSet, RecordRef, Refused};
use wire::{Class, Name, Rtype};

const ZONE: &str = "@ 60 SOA ns admin 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n";

fn live() -> Arc<Live> {
    let live = Arc::new(Live::new(Name::from_text("example.").unwrap()));
    live.replace(store_kit::load("example.", ZONE).unwrap());
    live
}

fn soa(serial: u32) -> Vec<u8> {
    let fields = [serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat();
    [Name::from_text("ns.example.").unwrap().as_wire(), b"\x05admin\x07example\0", &fields].concat()
}

fn record<'a>(owner: &'a Name, rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
    RecordRef { owner: owner.as_wire(), rtype, class: Class::IN, ttl: 60, rdata }
}

/// The next version: a new serial, and an address.
fn next(live: &Arc<Live>, host: u32) -> Result<(), Refused> {
    live.change_with(|zone| {
        let (apex, mut changes) = (zone.apex().clone(), Changes::new());
        let (before, after) = (soa(zone.serial()), soa(zone.serial() + 1));
        let owner = Name::from_text(&format!("h{host}.example.")).unwrap();
        changes.remove(record(&apex, Rtype::SOA, &before));
        changes.add(record(&apex, Rtype::SOA, &after));
        changes.add(record(&owner, Rtype::A, &host.to_be_bytes()));
        Ok::<_, Refused>(changes)
    })
    .map(drop)
}

#[test]
fn a_history_leads_to_the_version() {
    let live = live();
    let before = live.zone_to_keep().unwrap();
    for host in 0..40 {
        next(&live, host).unwrap();
    }
    assert!(live.since(0).is_none() && live.since(41).is_none());
    for from in [1, 17, 40] {
        let (changes, version) = live.since(from).unwrap();
        assert_eq!(changes.len() as u32, 41 - from);
        assert_eq!(version.serial(), 41);
    }
    let (changes, version) = live.since(1).unwrap();
    let made = changes.iter().fold(before, |zone, one| Arc::new(zone.apply(one).unwrap()));
    assert!(made.difference(&version).is_empty());
    // A whole new version becomes a change, too; one with the same serial has no history.
    let zone = store_kit::load("example.", &ZONE.replace("min 1", "min 50")).unwrap();
    live.replace(zone);
    assert_eq!(live.since(41).unwrap().0.first().unwrap().to_serial(), Some(50));
    assert_eq!(live.since(1).unwrap().0.len(), 41);
    live.replace(store_kit::load("example.", &ZONE.replace("min 1", "min 50")).unwrap());
    assert!(live.since(41).is_none());
}

#[test]
fn a_history_is_bounded() {
    let live = live();
    for host in 0..2000 {
        next(&live, host).unwrap();
        if live.fold_due() {
            live.fold().unwrap();
        }
    }
    assert!(live.history_bytes() <= 64 << 10);
    assert!(live.since(1).is_none() && live.since(1900).is_some());
}

#[test]
fn folds_lose_no_change() {
    let live = live();
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..3000).for_each(|host| next(&live, host).unwrap());
            done.store(1, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                live.fold();
            }
        });
        scope.spawn(|| {
            let mut last = 0;
            while done.load(Ordering::Relaxed) == 0 {
                let zone = live.zone_to_keep().unwrap();
                assert!(zone.serial() >= last);
                last = zone.serial();
                assert_eq!(zone.record_count() as u32, 3 + last - 1, "a version is whole");
            }
        });
    });
    let zone = live.zone_to_keep().unwrap();
    assert_eq!((zone.serial(), zone.record_count()), (3001, 3003));
    let mut count = 0;
    let mut records = zone.records();
    while records.next_record().is_some() {
        count += 1;
    }
    assert_eq!(count, 3003);
}

#[test]
fn a_fold_gives_way_to_a_whole_version() {
    let live = live();
    let hosts: String = (0..100).map(|host| format!("x{host} 60 A 192.0.2.1\n")).collect();
    live.replace(store_kit::load("example.", &[ZONE, &hosts].concat()).unwrap());
    for host in 0..75 {
        next(&live, host).unwrap();
    }
    assert!(live.fold_due());
    live.withdraw();
    assert!(live.fold().is_none() && !live.is_loaded());
    let refused = next(&live, 1).unwrap_err();
    assert_eq!(refused.to_string(), "zone `example.` has no version to change");
}

/// A fold that began with a version must not end with another one's changes, or with none.
#[test]
fn a_fold_under_way_is_not_taken_for_the_next_one() {
    let live = live();
    let done = AtomicU32::new(0);
    let hosts: String = (0..2000).map(|host| format!("x{host} 60 A 192.0.2.1\n")).collect();
    let whole = |serial: u32| {
        let text = [&ZONE.replace("min 1", &format!("min {serial}")), hosts.as_str()].concat();
        Arc::new(store_kit::load("example.", &text).unwrap())
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) == 0 {
                    live.fold();
                }
            });
        }
        for round in 0..30 {
            live.replace(whole(1 + round * 1000));
            (0..300).for_each(|host| next(&live, host).unwrap());
            let zone = live.zone_to_keep().unwrap();
            assert_eq!((zone.serial(), zone.record_count()), (301 + round * 1000, 2303));
        }
        done.store(1, Ordering::Relaxed);
    });
}

#[derive(Default)]
struct Heard(AtomicU32);

impl Listener for Heard {
    fn changed(&self, _: &Arc<Live>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn listeners_hear_of_every_version_and_every_zone() {
    let (first, second) = (live(), live());
    let set = LiveSet::new(vec![Arc::clone(&first)]);
    let heard = Arc::new(Heard::default());
    let listener: Arc<dyn Listener> = Arc::<Heard>::clone(&heard);
    let weak: Weak<dyn Listener> = Arc::downgrade(&listener);
    set.listen(&weak);
    next(&first, 1).unwrap();
    next(&second, 1).unwrap();
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
    set.set(vec![Arc::clone(&first), Arc::clone(&second)]);
    assert_eq!(heard.0.load(Ordering::Relaxed), 2, "a zone that came");
    next(&second, 2).unwrap();
    first.withdraw();
    assert_eq!(heard.0.load(Ordering::Relaxed), 4);
    drop((heard, listener));
    next(&second, 3).unwrap();
    assert!(set.get(&Name::from_text("example.").unwrap()).is_some());
}
