//! A log with changed, missing or additional octets: the database is one of the versions that were
//! written, or the log is reported as damaged.
#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use journal::{Journal, Kind};
use libfuzzer_sys::fuzz_target;
use wire::{Class, Name, Rtype, name};
use zone::{Builder, Changes, RecordRef, Zone};

const APEX: &[u8] = name!("zone.test.");
const VERSIONS: u32 = 5;

struct Written {
    folder: PathBuf,
    log: PathBuf,
    snapshot: PathBuf,
    /// The octets of the log and of the snapshot.
    whole: [Vec<u8>; 2],
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("catena-fuzz-journal-{}", std::process::id()));
    let (journal, _) = Journal::read(&folder, &origin()).expect("nothing is there");
    journal.claim().expect("nobody else has it");
    journal.replace_then(Arc::new(first()), |done| done.expect("room")).expect("claimed");
    for version in 1..VERSIONS {
        let mut changes = Changes::new();
        changes.remove(record(APEX, Rtype::SOA, &soa(version)));
        changes.add(record(APEX, Rtype::SOA, &soa(version + 1)));
        changes.add(record(APEX, Rtype::A, &(version + 1).to_be_bytes()));
        journal.append_then(&changes, |done| done.expect("room")).expect("they follow");
    }
    drop(journal);
    let log = folder.join("zone.test.log.1");
    let snapshot = folder.join("zone.test.snapshot");
    let whole = [&log, &snapshot].map(|path| std::fs::read(path).expect("it was written"));
    Written { folder, log, snapshot, whole }
});

fn origin() -> Name {
    Name::from_wire(APEX).expect("a name")
}

fn soa(serial: u32) -> Vec<u8> {
    let mut rdata = [name!("ns.zone.test."), name!("host.zone.test.")].concat();
    for number in [serial, 2, 3, 4, 5] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}

fn record<'a>(owner: &'a [u8], rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
    RecordRef { owner, rtype, class: Class::IN, ttl: 300, rdata }
}

fn first() -> Zone {
    let mut builder = Builder::new(&origin(), 0);
    builder.add(record(APEX, Rtype::SOA, &soa(1))).expect("a record of the zone");
    builder.finish().unwrap_or_else(|unfit| panic!("{unfit:?}"))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let written = &*WRITTEN;
    let which = usize::from(how & 1);
    let mut octets = written.whole[which].clone();
    match how >> 1 & 3 {
        // Octets that are changed: a place and a value each.
        0 => {
            for edit in rest.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % octets.len();
                octets[at] ^= edit[2];
            }
        }
        // A part, and something behind it.
        1 => {
            let Some((cut, behind)) = rest.split_first_chunk() else { return };
            octets.truncate(usize::from(u16::from_be_bytes(*cut)) % (octets.len() + 1));
            octets.extend_from_slice(behind);
        }
        // A part that is written over, or comes twice.
        2 => {
            let Some((place, behind)) = rest.split_first_chunk() else { return };
            let at = usize::from(u16::from_be_bytes(*place)) % octets.len();
            let again = octets.split_off(at);
            octets.extend_from_slice(behind);
            octets.extend_from_slice(&again);
        }
        _ => octets = rest.to_vec(),
    }
    let path = [&written.log, &written.snapshot][which];
    std::fs::write(path, &octets).expect("room");
    match Journal::read(&written.folder, &origin()) {
        Ok((_, recovered)) => {
            let zone = recovered.zone.expect("there is a snapshot");
            let version = zone.serial();
            assert!((1..=VERSIONS).contains(&version));
            assert_eq!(zone.record_count(), version as usize);
            let mut hosts = Vec::new();
            if let Some(set) = zone.rrset(APEX, Rtype::A) {
                set.for_each(|_, rdata| hosts.push(rdata.to_vec()));
            }
            hosts.sort();
            assert_eq!(
                hosts,
                (2..=version).map(|at| at.to_be_bytes().to_vec()).collect::<Vec<_>>()
            );
            if octets == written.whole[which] {
                assert_eq!(version, VERSIONS);
            }
        }
        Err(error) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
    }
    std::fs::write(path, &written.whole[which]).expect("room");
});
