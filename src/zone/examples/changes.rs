//! What changes cost in a zone of a million names: `cargo run --release -p catena-zone --example changes`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program that measures")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

use std::sync::Arc;
use std::time::Instant;

use catena_zone::{Builder, Changes, Live, RecordRef, Zone};
use wire::{Class, Name, Rtype};

const NAMES: u32 = 1_000_000;

fn soa(serial: u32) -> Vec<u8> {
    let fields = [serial, 2, 3, 4, 5].map(u32::to_be_bytes).concat();
    [Name::from_text("ns.example.").unwrap().as_wire(), b"\x05admin\x07example\0", &fields].concat()
}

fn record<'a>(owner: &'a Name, rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
    RecordRef { owner: owner.as_wire(), rtype, class: Class::IN, ttl: 60, rdata }
}

fn host(number: u32) -> Name {
    Name::from_text(&format!("h{number}.example.")).unwrap()
}

/// The zone after `changes` changes, each of which gave one host another address.
fn load(changes: u32) -> Zone {
    let apex = Name::from_text("example.").unwrap();
    let mut builder = Builder::new(&apex, 0);
    builder.add(record(&apex, Rtype::SOA, &soa(1 + changes))).unwrap();
    builder.add(record(&apex, Rtype::NS, host(0).as_wire())).unwrap();
    for number in 0..NAMES {
        let new = number < changes;
        let address = (number + if new { NAMES } else { 0 }).to_be_bytes();
        builder.add(record(&host(number), Rtype::A, &address)).unwrap();
    }
    builder.finish().unwrap()
}

fn change(serial: u32, number: u32) -> Changes {
    let apex = Name::from_text("example.").unwrap();
    let mut changes = Changes::new();
    changes.remove(record(&apex, Rtype::SOA, &soa(serial)));
    changes.remove(record(&host(number), Rtype::A, &number.to_be_bytes()));
    changes.add(record(&apex, Rtype::SOA, &soa(serial + 1)));
    changes.add(record(&host(number), Rtype::A, &(number + NAMES).to_be_bytes()));
    changes
}

fn main() {
    let live = Arc::new(Live::new(Name::from_text("example.").unwrap()));
    let began = Instant::now();
    live.replace(load(0));
    println!("load: {:?}", began.elapsed());
    let mut worst = std::time::Duration::ZERO;
    let (mut changing, mut folding, mut folds) = (0.0, 0.0, 0);
    let flat = live.zone_to_keep().unwrap().memory();
    for number in 0..200_000 {
        let changes = change(number + 1, number);
        let began = Instant::now();
        let zone = live.change(changes).unwrap();
        changing += began.elapsed().as_secs_f64();
        worst = worst.max(began.elapsed());
        if number == 999 {
            println!("bytes for each change: {}", (zone.memory() - flat) / 1000);
        }
        drop(zone);
        if live.fold_due() {
            let began = Instant::now();
            live.fold().unwrap();
            folding += began.elapsed().as_secs_f64();
            folds += 1;
        }
    }
    let zone = live.zone_to_keep().unwrap();
    println!("a change: {:.2} us, at worst {worst:?}", changing * 5.0);
    println!("{folds} folds: {:.0} ms each", folding * 1e3 / f64::from(folds));
    let history = live.history_bytes();
    let fresh = load(200_000).memory();
    println!(
        "memory: {} and {history} of history; loaded afresh: {fresh}; {:.3}",
        zone.memory(),
        (zone.memory() + history) as f64 / fresh as f64
    );
}
