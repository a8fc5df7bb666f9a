//! What a feed holds, counted by the allocator: the figures in the head of the room.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod cluster;

use cluster::{Cluster, Records};

/// What `load` holds in the end: the feed, its octets and its allocations.
fn held(load: impl FnOnce(&Cluster)) -> (Cluster, usize, usize) {
    let mut held = None;
    let counted = allocation_counter::measure(|| {
        let cluster = Cluster::new();
        load(&cluster);
        held = Some(cluster);
    });
    (held.unwrap(), counted.bytes_current as usize, counted.count_current as usize)
}

/// The octets per unit, in the feed and in its zones.
fn per(cluster: &Cluster, units: usize, what: &str) -> (usize, usize) {
    let usage = cluster.feed.usage();
    let each = (usage.feed_bytes / units, usage.zone_bytes / units);
    println!("{what}: {} octets in the feed, {} in the zones", each.0, each.1);
    each
}

#[test]
fn a_cluster_takes_what_the_head_of_the_room_says() {
    let (services, endpoints) = (10_000, 150_000);
    let (cluster, octets, allocations) = held(|cluster| cluster.load(services, endpoints));
    let usage = cluster.feed.usage();
    println!("{usage:?}, {octets} octets in {allocations} allocations");
    let (feed, zones) = per(&cluster, endpoints, "an endpoint, its service included");
    assert!(feed <= 40, "{feed}");
    assert!(zones <= 195, "{zones}");
    let known = usage.feed_bytes + usage.zone_bytes;
    assert!(octets.abs_diff(known) < known / 50, "{octets} octets, the feed says {known}");
    assert!(allocations < 1_000, "nothing is allocated for a name, a record or an owner alone");
    // The same list once more changes nothing and leaves nothing behind.
    let counted = allocation_counter::measure(|| cluster.load(services, endpoints));
    assert!(counted.bytes_current < 4_096, "{}", counted.bytes_current);
    assert!(counted.bytes_max < known as u64 / 20, "{} while it lists", counted.bytes_max);
}

#[test]
fn an_owner_with_one_address_takes_what_the_head_of_the_room_says() {
    let endpoints = 50_000;
    let (cluster, octets, allocations) = held(|cluster| cluster.load_single(endpoints));
    println!("{octets} octets in {allocations} allocations");
    let (feed, zones) = per(&cluster, endpoints, "an owner with a name and its reverse name");
    assert!(feed <= 48, "{feed}");
    assert!(zones <= 176, "{zones}");
    assert!(allocations < 1_000);
}

#[test]
fn addresses_that_come_and_go_leave_nothing_behind() {
    let endpoints = 200;
    let cluster = Cluster::new();
    cluster.load_single(endpoints);
    let before = cluster.feed.usage();
    let mut records = Records::default();
    for round in 0..2_000 {
        let address = 1_000_000 + round;
        cluster.move_single(round % endpoints, address, &mut records).commit(2_000).unwrap();
    }
    let after = cluster.feed.usage();
    assert_eq!((after.owners, after.names, after.records), (200, 400, 400));
    // Up to a chunk is written before holes are closed.
    assert!(after.feed_bytes < before.feed_bytes + (200 << 10), "{before:?} {after:?}");
    let mut batch = cluster.feed.begin();
    batch.list(cluster.slices);
    batch.commit(3_000).unwrap();
    let empty = cluster.feed.usage();
    assert_eq!((empty.owners, empty.names, empty.records, empty.left_out), (0, 0, 0, 0));
}
