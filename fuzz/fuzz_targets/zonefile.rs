//! A master file: RDATA comes back from its text; the zone comes back from its formatted text, which is a fixed
//! point; the checks come to an end; and whatever zone comes out answers every question about its names with a
//! message that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Request;
use wire::{Class, Message, Name, NameBuf, Reply, Rtype};
use zone::check::{CheckOptions, Rules, check};
use zone::master::{self, NoIncludes, Options, OwnedRecord};
use zone::text::write_zone;
use zone::{Builder, Lister, Listing, Zone};

fuzz_target!(|bytes: &[u8]| {
    let apex = Name::from_text("example.org").expect("a name");
    let mut records: Vec<OwnedRecord> = Vec::new();
    let mut builder = Builder::new(&apex, bytes.len() as u64);
    let mut lister = Lister::new();
    let read = master::read(&mut &bytes[..], &Options::new(&apex), &NoIncludes, &mut |record| {
        let text = master::rdata_to_text(record.rtype, record.rdata);
        let back = master::rdata_from_text(record.rtype, &text, &Name::root());
        assert_eq!(back.as_deref(), Ok(record.rdata), "{} {text}", record.rtype);
        let _ = builder.add(record);
        lister.add(record)?;
        // $GENERATE makes many; a few of them ask all that there is to ask.
        if records.len() < 100 {
            records.push(record.into());
        }
        Ok(())
    });
    checked(bytes, &apex);
    if read.is_ok() {
        formatted(&lister.list(), &apex);
    }
    let (Ok(_), Ok(zone)) = (read, builder.finish()) else { return };
    for record in records {
        for owner in [record.owner.as_wire(), &[b"\x01x", record.owner.as_wire()].concat()] {
            for qtype in [record.rtype, Rtype::A, Rtype::DS, Rtype::ANY] {
                ask(&zone, owner, qtype);
            }
        }
    }
});

/// What is written reads back as the same records, and is written again as it was.
fn formatted(listing: &Listing, apex: &Name) {
    let mut text = Vec::new();
    write_zone(listing, apex, &mut text).expect("memory");
    let mut lister = Lister::new();
    let read = master::read(&mut &text[..], &Options::new(apex), &NoIncludes, &mut |record| {
        lister.add(record)
    });
    assert!(read.is_ok(), "{read:?} of {}", String::from_utf8_lossy(&text));
    let again = lister.list();
    let once = |listing: &Listing| {
        let mut all: Vec<_> = listing
            .records()
            .map(|one| {
                let owner = one.record.owner.to_ascii_lowercase();
                (owner, one.record.rtype, one.record.class, one.record.ttl, one.canonical.to_vec())
            })
            .collect();
        all.dedup();
        all
    };
    assert_eq!(once(listing), once(&again));
    let mut second = Vec::new();
    write_zone(&again, apex, &mut second).expect("memory");
    assert_eq!(text, second);
}

/// The checks end, and each finding is counted.
fn checked(bytes: &[u8], apex: &Name) {
    let rules = Rules::default();
    let options = CheckOptions { read: Options::new(apex), rules: &rules, now: Some(0) };
    let mut open = || -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(std::io::Cursor::new(bytes.to_vec())))
    };
    let (report, _) = check(&mut open, &options, &NoIncludes).expect("memory");
    let unshown: usize = report.unshown.iter().map(|(_, count)| count).sum();
    assert_eq!(report.findings.len() + unshown, report.errors + report.warnings);
}

fn ask(zone: &Zone, owner: &[u8], qtype: Rtype) {
    let mut query = Request::new();
    query.ask(owner, qtype, true);
    if query.name().len() < zone.apex().as_wire().len()
        || !wire::name::is_under(owner, zone.apex().as_wire())
    {
        return;
    }
    let mut reply = Reply::new();
    reply.begin(&query);
    let _ = zone.answer(&query, &mut reply);
    reply.seal(query.id(), 0x8400);
    let (mut name, mut rdata) = (NameBuf::new(), Vec::new());
    for record in Message::new(reply.bytes()).expect("a header").records() {
        let record = record.expect("a record");
        record.owner(&mut name).expect("an owner");
        rdata.clear();
        wire::rdata::expand(record.rtype, record.message, record.rdata_at, record.end, &mut rdata)
            .expect("RDATA");
        assert_eq!(record.class, Class::IN);
    }
}
