//! A feed at its limit of memory: it refuses what is more, takes what is less, and goes on from there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use feed::{Batch, Feed, Limits, Origin, Refused, Source};
use wire::{Name, NewRecord, Rdata};

/// Octets.
const LIMIT: usize = 2 << 20;

struct Full {
    feed: Feed,
    source: Source,
    /// The numbers of the owners that there are.
    owners: std::ops::Range<u64>,
}

impl Full {
    /// A feed that has refused an owner.
    fn new() -> Self {
        let limits = Limits { bytes: LIMIT, ..Limits::default() };
        let zone = Name::from_text("svc.example.").unwrap();
        let feed = Feed::new(vec![Origin::new(&zone, 5)], limits);
        let source = feed.source();
        let mut full = Self { feed, source, owners: 0..0 };
        assert!(full.fill() > 500);
        full
    }

    fn state(&self, batch: &mut Batch<'_>, number: u64) {
        let name = Name::from_text(&format!("host-{number}.svc.example.")).unwrap();
        let address = Rdata::A((number as u32).to_be_bytes().into());
        let text = [b"\x30".as_slice(), &[b'x'; 48]].concat();
        let records = [address, Rdata::Other(wire::Rtype::TXT, &text)]
            .map(|it| NewRecord::new(name.as_wire(), 5, it));
        batch.upsert(self.source.number(number), records).unwrap();
    }

    /// Adds owners, a few in a batch, until a single one is refused. Returns how many were taken.
    fn fill(&mut self) -> u64 {
        let before = self.owners.end;
        for size in [50, 1] {
            loop {
                let mut batch = self.feed.begin();
                let all = self.owners.end..self.owners.end + size;
                all.clone().for_each(|number| self.state(&mut batch, number));
                match batch.commit(1_000) {
                    Ok(_) => self.owners.end = all.end,
                    Err(refused) => {
                        assert_eq!(refused, Refused::Bytes(LIMIT));
                        break;
                    }
                }
            }
        }
        self.owners.end - before
    }

    /// Removes the owners with the lowest numbers, some in a batch.
    fn remove(&mut self, count: u64) {
        let end = self.owners.start + count;
        while self.owners.start < end {
            let next = (self.owners.start + 20).min(end);
            let mut batch = self.feed.begin();
            for number in self.owners.start..next {
                batch.remove(self.source.number(number)).unwrap();
            }
            batch.commit(1_000).unwrap();
            self.owners.start = next;
        }
    }

    fn check(&self) {
        let usage = self.feed.usage();
        let count = (self.owners.end - self.owners.start) as usize;
        assert_eq!((usage.owners, usage.names, usage.records), (count, count, 2 * count));
        // A version over another one takes more than it will once it is folded: by a quarter at most.
        let held = usage.feed_bytes + usage.zone_bytes;
        assert!(held < LIMIT + LIMIT / 4, "{held} octets");
    }
}

#[test]
fn owners_that_go_make_room_for_others() {
    let mut full = Full::new();
    full.check();
    let all = full.owners.end;
    for round in 0..4 {
        full.remove(all / 8);
        full.check();
        let taken = full.fill();
        assert!(taken > all / 16, "{taken} of {} in round {round}", all / 8);
        full.check();
    }
}

#[test]
fn a_list_with_fewer_owners_is_taken() {
    let mut full = Full::new();
    let mut batch = full.feed.begin();
    batch.list(full.source);
    full.owners.start = full.owners.end / 2;
    full.owners.clone().for_each(|number| full.state(&mut batch, number));
    batch.commit(1_000).unwrap();
    full.check();
    assert!(full.fill() > full.owners.start / 2);
    full.check();
}

#[test]
fn an_owner_that_changes_without_growing_is_taken() {
    let full = Full::new();
    // TTLs that have numbers.
    for ttl in 6..18 {
        let mut batch = full.feed.begin();
        let name = Name::from_text("host-1.svc.example.").unwrap();
        let record = NewRecord::new(name.as_wire(), ttl, Rdata::A([192, 0, 2, 1].into()));
        batch.upsert(full.source.number(1), [record]).unwrap();
        batch.commit(1_000).unwrap();
    }
}
