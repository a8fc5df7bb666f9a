//! Zones at the edges: the root, sets that no message holds, records in any order.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod store_kit;

use catena_zone::{Builder, RecordRef};
use store_kit::{ask, load, name, query, show};
use wire::{Class, Reply, Rtype};

#[test]
fn the_root_is_a_zone() {
    let zone = load(
        ".",
        ". 9 IN SOA a.root. b.root. 1 2 3 4 5\n. 9 NS a.root.\na.root. 9 A 192.0.2.1\n\
         net. 9 NS ns.net.\nns.net. 9 A 192.0.2.2\nal.org. 9 CNAME a.root.\n*.w. 9 MX 1 a.root.\n",
    )
    .unwrap();
    let top = ask(&zone, &name("."), Rtype::NS, false);
    assert_eq!(show(&top.sections[0]), [". 9 NS a.root."]);
    assert_eq!(show(&top.sections[2]), ["a.root. 9 A 192.0.2.1"]);
    let down = ask(&zone, &name("www.x.net."), Rtype::A, false);
    assert_eq!(show(&down.sections[1]), ["net. 9 NS ns.net."]);
    assert_eq!(show(&down.sections[2]), ["ns.net. 9 A 192.0.2.2"]);
    let chain = ask(&zone, &name("al.org."), Rtype::A, false);
    assert_eq!(show(&chain.sections[0]), ["a.root. 9 A 192.0.2.1", "al.org. 9 CNAME a.root."]);
    let wild = ask(&zone, &name("y.w."), Rtype::MX, false);
    assert_eq!(show(&wild.sections[0]), ["y.w. 9 MX 1 a.root."]);
    let none = ask(&zone, &name("nope."), Rtype::A, false);
    assert_eq!(show(&none.sections[1]), [". 9 SOA a.root. b.root. 1 2 3 4 5"]);
}

#[test]
fn a_set_that_no_message_holds_loads_and_truncates() {
    let mut text = "@ 9 SOA a b 1 2 3 4 5\n@ 9 NS a\n".to_owned();
    for index in 0..5000 {
        text.push_str(&format!("big 9 PTR host{index}\n"));
    }
    let zone = load("x.", &text).unwrap();
    assert_eq!(zone.record_count(), 5002);
    let question = query(&name("big.x."), Rtype::PTR, false);
    let mut reply = Reply::new();
    reply.begin(&question);
    zone.answer(&question, &mut reply);
    assert!(reply.truncated);
    let mut count = 0;
    zone.rrset(name("BIG.x.").as_wire(), Rtype::PTR).unwrap().for_each(|ttl, rdata| {
        assert_eq!((ttl, rdata.ends_with(b"\x01x\x00")), (9, true));
        count += 1;
    });
    assert_eq!(count, 5000);
}

#[test]
fn records_may_come_in_any_order() {
    let apex = name("x.");
    let mut builder = Builder::new(&apex, 0);
    let mut push = |owner: &str, rtype, rdata: &[u8]| {
        let owner = name(owner);
        let owner = owner.as_wire();
        builder.add(RecordRef { owner, rtype, class: Class::IN, ttl: 9, rdata })
    };
    let soa = [&[0, 0][..], &[0, 0, 0, 42], &[0; 16]].concat();
    for round in 0..3u8 {
        for host in 0..2000 {
            push(&format!("h{host}.s{}.x.", host % 7), Rtype::A, &[10, round, 0, 1]).unwrap();
        }
        push("X.", Rtype::SOA, &soa).unwrap();
    }
    let message = push("y.", Rtype::A, &[1, 2, 3, 4]).unwrap_err();
    assert!(message.contains("y."), "{message}");
    let zone = builder.finish().unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!((zone.record_count(), zone.names(), zone.serial()), (6001, 2008, 42));
    assert_eq!(zone.soa().serial, 42);
    for host in 0..2000 {
        let got = ask(&zone, &name(&format!("H{host}.s{}.x.", host % 7)), Rtype::A, false);
        assert_eq!(got.sections[0].len(), 3, "{host}");
    }
    assert!(zone.has_name(name("s3.x.").as_wire()));
    let mut walk = zone.records();
    assert_eq!(walk.next_record().map(|record| record.rtype), Some(Rtype::SOA));
    let mut rest = 0;
    while walk.next_record().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 6000);
}

#[test]
fn what_makes_a_zone_unfit_is_said_with_the_name() {
    for (text, wanted) in [
        ("@ 9 NS a\n", "zone `x.` has no SOA record"),
        ("@ 9 SOA a b 1 2 3 4 5\n@ 9 SOA a b 2 2 3 4 5\n", "two SOA records that differ at `x.`"),
        (
            "@ 9 SOA a b 1 2 3 4 5\nw 9 CNAME v\nz 9 A 1.2.3.4\nw 9 A 1.2.3.4\n",
            "CNAME and other data at `w.x.`",
        ),
        (
            "@ 9 SOA a b 1 2 3 4 5\nw 9 DNAME v\nw 9 DNAME u\n",
            "more than one DNAME record at `w.x.`",
        ),
    ] {
        let errors = load("x.", text).err().unwrap_or_default();
        assert_eq!(errors, [wanted]);
    }
}
