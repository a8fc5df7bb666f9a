//! An UPDATE message: it is refused, or its changes are exact: they lead to a version that is a fresh load
//! of itself, and that differs from the one before by these changes and a higher serial.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use update::Update;
use wire::{Name, Rcode, Request};
use zone::master::{self, NoIncludes, Options};
use zone::{Builder, RecordList, Zone};

const TEXT: &str = "\
@ 60 SOA ns hostmaster 7 2 3 4 5
@ 60 NS ns
@ 60 NS ns.example.net.
ns 60 A 192.0.2.1
www 60 A 192.0.2.2
www 60 A 192.0.2.3
alias 60 CNAME www
*.w 60 TXT x
a.b 60 MX 1 www
";

static ZONE: LazyLock<Arc<Zone>> = LazyLock::new(|| {
    let apex = Name::from_text("example.org.").expect("a name");
    let mut builder = Builder::new(&apex, 0);
    let options = Options::new(&apex);
    let read = master::read(&mut TEXT.as_bytes(), &options, &NoIncludes, &mut |record| {
        builder.add(record).expect("a record of the zone");
        Ok(())
    });
    assert!(read.is_ok());
    Arc::new(builder.finish().unwrap_or_else(|unfit| panic!("{unfit:?}")))
});

fuzz_target!(|bytes: &[u8]| {
    // The input is what follows the zone section; its first octets are the counts of records.
    let Some((counts, records)) = bytes.split_first_chunk::<2>() else { return };
    let mut request = Request::new();
    let message = request.buffer_mut();
    let counts = counts.map(|count| u16::from(count % 8).to_be_bytes());
    for word in [[0, 7], [5 << 3, 0], [0, 1], counts[0], counts[1], [0, 0]] {
        message.extend_from_slice(&word);
    }
    message.extend_from_slice(wire::name!("example.org."));
    message.extend_from_slice(&[0, 6, 0, 1]);
    message.extend_from_slice(records);
    if request.parse_update().is_err() {
        return;
    }
    let Ok(update) = Update::parse(&request) else { return };
    let mut zone = Arc::clone(&ZONE);
    // What was done once is refused, or changes something else, or nothing.
    for _ in 0..2 {
        let changes = match update.decide(&zone, |_| true) {
            Ok(changes) => changes,
            Err(refusal) => {
                assert_ne!(refusal.rcode, Rcode::NOERROR);
                assert_ne!(refusal.rcode, Rcode::SERVFAIL);
                return;
            }
        };
        if changes.is_empty() {
            return;
        }
        let next = zone.apply(&changes).unwrap_or_else(|refused| panic!("{refused}"));
        let distance = next.serial().wrapping_sub(zone.serial());
        assert!(distance != 0 && distance < 1 << 31, "the serial is higher");
        let mut fresh = Builder::new(zone.apex(), 0);
        let mut records = next.records();
        while let Some(record) = records.next_record() {
            fresh.add(record).expect("a record of the zone");
        }
        let fresh = fresh.finish().unwrap_or_else(|unfit| panic!("{unfit:?}"));
        assert!(fresh.difference(&next).is_empty() && next.difference(&fresh).is_empty());
        let found = zone.difference(&next);
        assert_eq!(listed(found.removed()), listed(changes.removed()));
        assert_eq!(listed(found.added()), listed(changes.added()));
        zone = Arc::new(next);
    }
});

fn listed(records: &RecordList) -> Vec<String> {
    let show = |record: zone::RecordRef<'_>| {
        let rdata = master::rdata_to_text(record.rtype, record.rdata).to_lowercase();
        let owner = wire::name::Text(record.owner).to_string().to_lowercase();
        format!("{owner} {} {} {rdata}", record.ttl, record.rtype)
    };
    let mut all: Vec<String> = records.iter().map(show).collect();
    all.sort();
    all
}
