//! A master file: RDATA comes back from its text, and whatever zone comes out answers every
//! question about its names with a message that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Request;
use wire::{Class, Message, Name, NameBuf, Reply, Rtype};
use zone::master::{self, NoIncludes, Options, OwnedRecord};
use zone::{Builder, Zone};

fuzz_target!(|bytes: &[u8]| {
    let apex = Name::from_text("example.org").expect("a name");
    let mut records: Vec<OwnedRecord> = Vec::new();
    let mut builder = Builder::new(&apex, bytes.len() as u64);
    let read = master::read(&mut &bytes[..], &Options::new(&apex), &NoIncludes, &mut |record| {
        let text = master::rdata_to_text(record.rtype, record.rdata);
        let back = master::rdata_from_text(record.rtype, &text, &Name::root());
        assert_eq!(back.as_deref(), Ok(record.rdata), "{} {text}", record.rtype);
        let _ = builder.add(record);
        // $GENERATE makes many; a few of them ask all that there is to ask.
        if records.len() < 100 {
            records.push(record.into());
        }
        Ok(())
    });
    let (Ok(_), Ok(zone)) = (read, builder.finish()) else { return };
    for record in records {
        for owner in [record.owner.as_wire(), &[b"\x01x", record.owner.as_wire()].concat()] {
            for qtype in [record.rtype, Rtype::A, Rtype::DS, Rtype::ANY] {
                ask(&zone, owner, qtype);
            }
        }
    }
});

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
