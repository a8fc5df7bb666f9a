//! What a large zone costs. Run with
//! `BENCH_DATA=dir cargo test --release -p catena-zone --test store_bench -- --ignored --nocapture --test-threads 1`
//! where `dir` holds `zones/mil.lab.zone` and `q/mil.txt`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use std::fs::{self, File};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use catena_zone::{Builder, Zone, master};
use store_kit::name;
use wire::{Query, Reply, Rtype};

fn data() -> Option<PathBuf> {
    std::env::var_os("BENCH_DATA").map(PathBuf::from)
}

fn status(field: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn load(zone: &str) -> Option<Zone> {
    let path = data()?.join(format!("zones/{zone}zone"));
    let origin = name(zone);
    let size = fs::metadata(&path).unwrap().len();
    let mut builder = Builder::new(&origin, size);
    let options = master::Options::new(&origin);
    let mut file = File::open(&path).unwrap();
    master::read(&mut file, &options, &master::NoIncludes, &mut |record| builder.add(record))
        .unwrap();
    builder.finish().ok()
}

#[test]
#[ignore = "needs large files"]
fn a_memory() {
    let before = status("VmRSS");
    let started = Instant::now();
    let Some(zone) = load("mil.lab.") else { return };
    println!("parse and build {:?}", started.elapsed());
    println!(
        "names {} records {} memory() {} MB, RSS +{} MB, peak +{} MB",
        zone.names(),
        zone.record_count(),
        zone.memory() / 1_000_000,
        (status("VmRSS") - before) / 1000,
        (status("VmHWM") - before) / 1000,
    );
}

#[test]
#[ignore = "needs large files"]
fn b_build() {
    let Some(data) = data() else { return };
    let path = data.join("zones/mil.lab.zone");
    let origin = name("mil.lab.");
    let mut flat = Vec::new();
    let mut file = File::open(&path).unwrap();
    let options = master::Options::new(&origin);
    master::read(&mut file, &options, &master::NoIncludes, &mut |record| {
        flat.push(record.owner.len() as u8);
        flat.extend_from_slice(record.owner);
        flat.extend_from_slice(&record.rtype.0.to_be_bytes());
        flat.push(record.rdata.len() as u8);
        flat.extend_from_slice(record.rdata);
        Ok(())
    })
    .unwrap();
    for _ in 0..5 {
        let started = Instant::now();
        let mut builder = Builder::new(&origin, fs::metadata(&path).unwrap().len());
        let mut at = 0;
        while at < flat.len() {
            let owner = &flat[at + 1..at + 1 + usize::from(flat[at])];
            at += 1 + owner.len();
            let rtype = Rtype(u16::from_be_bytes([flat[at], flat[at + 1]]));
            let rdata = &flat[at + 3..at + 3 + usize::from(flat[at + 2])];
            at += 3 + rdata.len();
            let class = wire::Class::IN;
            builder.add(catena_zone::RecordRef { owner, rtype, class, ttl: 3600, rdata }).unwrap();
        }
        let added = started.elapsed();
        let zone = builder.finish().ok().unwrap();
        println!("build {:?}, of it finish {:?}", started.elapsed(), started.elapsed() - added);
        black_box(zone);
    }
}

#[test]
#[ignore = "needs large files"]
fn c_lookup() {
    let Some(data) = data() else { return };
    for zone_name in ["bench.lab.", "mil.lab."] {
        let Some(zone) = load(zone_name) else { return };
        let short = zone_name.split('.').next().unwrap();
        let text = fs::read_to_string(data.join(format!("q/{short}.txt"))).unwrap();
        let packets: Vec<Vec<u8>> = text
            .lines()
            .map(|line| {
                let (qname, qtype) = line.split_once(' ').unwrap();
                let qtype = Rtype::from_text(qtype).unwrap();
                store_kit::query(&name(qname), qtype, false).bytes().to_vec()
            })
            .collect();
        let mut queries: Vec<Query> = (0..64).map(|_| Query::new()).collect();
        let mut reply = Reply::new();
        let mut best = [usize::MAX; 3];
        let mut shares = [0; 4];
        for _ in 0..15 {
            let ns = |started: Instant| started.elapsed().as_nanos() as usize / packets.len();
            let started = Instant::now();
            let mut bytes = 0;
            for chunk in packets.chunks(64) {
                for (query, packet) in queries.iter_mut().zip(chunk) {
                    query.receive(packet).unwrap();
                    reply.begin(query);
                    bytes += reply.len();
                }
            }
            let parse = ns(started);
            let started = Instant::now();
            for packet in &packets {
                let query = &mut queries[0];
                query.receive(packet).unwrap();
                reply.begin(query);
                black_box(zone.answer(query, &mut reply));
                bytes += reply.len();
            }
            let alone = ns(started);
            let started = Instant::now();
            for chunk in packets.chunks(64) {
                for (query, packet) in queries.iter_mut().zip(chunk) {
                    query.receive(packet).unwrap();
                }
                for query in &queries {
                    zone.prefetch_slot(query);
                }
                for query in &queries {
                    zone.prefetch_node(query);
                }
                for query in queries.iter().take(chunk.len()) {
                    reply.begin(query);
                    black_box(zone.answer(query, &mut reply));
                    bytes += reply.len();
                }
            }
            let staged = ns(started);
            let mut parts = [0; 4];
            for chunk in packets.chunks(64) {
                let mut clock = Instant::now();
                let mut lap = |part: &mut u128| {
                    *part += clock.elapsed().as_nanos();
                    clock = Instant::now();
                };
                for (query, packet) in queries.iter_mut().zip(chunk) {
                    query.receive(packet).unwrap();
                }
                lap(&mut parts[0]);
                for query in &queries {
                    zone.prefetch_slot(query);
                }
                lap(&mut parts[1]);
                for query in &queries {
                    zone.prefetch_node(query);
                }
                lap(&mut parts[2]);
                for query in queries.iter().take(chunk.len()) {
                    reply.begin(query);
                    black_box(zone.answer(query, &mut reply));
                }
                lap(&mut parts[3]);
            }
            shares = parts.map(|part| part as usize / packets.len());
            black_box(bytes);
            for (best, now) in best.iter_mut().zip([parse, alone, staged]) {
                *best = now.min(*best);
            }
        }
        let [parse, alone, staged] = best;
        println!("{zone_name} parse {parse} ns; with answer {alone} ns; in stages {staged} ns");
        println!("  parse, slots, nodes, answer: {shares:?} ns");
    }
}
