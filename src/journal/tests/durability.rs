//! Whatever happens to the files: what was confirmed is there, whole, or the database says that it is
//! damaged.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use journal::{Error, Journal, Kind};
use wire::{Class, Name, Rtype, name};
use zone::{Builder, Changes, RecordRef, Zone};

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("catena-journal-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const APEX: &[u8] = name!("zone.test.");

fn origin() -> Name {
    Name::from_wire(APEX).unwrap()
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

fn zone(serial: u32, names: u32) -> Zone {
    let mut builder = Builder::new(&origin(), 0);
    builder.add(record(APEX, Rtype::SOA, &soa(serial))).unwrap();
    for number in 0..names {
        builder.add(record(&host(number), Rtype::A, &number.to_be_bytes())).unwrap();
    }
    builder.finish().ok().unwrap()
}

fn host(number: u32) -> Vec<u8> {
    Name::from_text(&format!("h{number}.zone.test.")).unwrap().as_wire().to_vec()
}

/// Adds the host with the number of the new version.
fn step(from: u32) -> Changes {
    let mut changes = Changes::new();
    changes.remove(record(APEX, Rtype::SOA, &soa(from)));
    changes.add(record(APEX, Rtype::SOA, &soa(from + 1)));
    changes.add(record(&host(from + 1), Rtype::A, &(from + 1).to_be_bytes()));
    changes
}

fn listed(zone: &Zone) -> Vec<String> {
    let mut all = Vec::new();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        all.push(format!("{record:?}"));
    }
    all.sort();
    all
}

/// A claimed database that holds nothing.
fn claim(folder: &Folder) -> Journal {
    let (journal, recovered) = Journal::read(&folder.0, &origin()).unwrap();
    assert!(recovered.zone.is_none());
    assert!(journal.claim().unwrap().is_none(), "nothing has changed");
    journal
}

/// A database that begins with version 1.
fn begin(folder: &Folder) -> (Journal, Zone) {
    let journal = claim(folder);
    let first = Arc::new(zone(1, 3));
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    journal
        .replace_then(first, move |done| {
            done.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 1, "outside of a runtime the caller writes");
    (journal, zone(1, 3))
}

/// Appends the changes that follow `from`, and returns the next version.
fn append(journal: &Journal, zone: Zone) -> Zone {
    let changes = step(zone.serial());
    journal.append_then(&changes, |done| done.unwrap()).unwrap();
    Arc::new(zone).apply(&changes).unwrap()
}

fn read(folder: &Path) -> Result<Zone, Error> {
    Journal::read(folder, &origin()).map(|(_, recovered)| recovered.zone.unwrap())
}

#[test]
fn a_database_is_what_was_appended() {
    let folder = Folder::new();
    let (journal, mut version) = begin(&folder);
    for _ in 0..20 {
        version = append(&journal, version);
        let (_, recovered) = Journal::read(&folder.0, &origin()).unwrap();
        assert_eq!(listed(&recovered.zone.unwrap()), listed(&version));
        assert!(recovered.cut.is_none());
        assert_eq!(recovered.history.last(), Some(&step(version.serial() - 1)));
    }
    let on_disk: u64 =
        folder.files().iter().map(|file| std::fs::metadata(folder.path(file)).unwrap().len()).sum();
    assert_eq!(journal.size(), on_disk, "the lock is empty");
    assert_eq!(folder.files(), ["zone.test.lock", "zone.test.log.1", "zone.test.snapshot"]);
}

#[test]
fn only_changes_that_follow_are_taken() {
    let folder = Folder::new();
    let (unclaimed, _) = Journal::read(&folder.0, &origin()).unwrap();
    let refused = |journal: &Journal, changes: &Changes| {
        journal.append_then(changes, |_| unreachable!("refused at once")).unwrap_err().kind()
    };
    assert_eq!(refused(&unclaimed, &step(1)), Kind::Unclaimed);
    unclaimed.claim().unwrap();
    assert_eq!(refused(&unclaimed, &step(1)), Kind::Unclaimed, "no version yet");
    drop(unclaimed);
    let (journal, version) = begin(&folder);
    assert_eq!(refused(&journal, &step(2)), Kind::Unchained);
    assert_eq!(refused(&journal, &Changes::new()), Kind::Unchained);
    append(&journal, version);
    assert_eq!(refused(&journal, &step(1)), Kind::Unchained, "again");
}

#[test]
fn one_writer_at_a_time() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let (other, _) = Journal::read(&folder.0, &origin()).unwrap();
    assert_eq!(other.claim().err().unwrap().kind(), Kind::InUse);
    let version = append(&journal, version);
    drop(journal);
    let again = other.claim().unwrap().expect("it has changed since it was read");
    assert_eq!(listed(&again.zone.unwrap()), listed(&version));
    append(&other, version);
    assert_eq!(read(&folder.0).unwrap().serial(), 3);
}

#[test]
fn a_log_that_ends_anywhere_holds_a_prefix() {
    let folder = Folder::new();
    let (journal, mut version) = begin(&folder);
    let path = folder.path("zone.test.log.1");
    let mut ends = vec![(std::fs::read(&path).unwrap().len(), listed(&version))];
    for _ in 0..6 {
        version = append(&journal, version);
        ends.push((std::fs::read(&path).unwrap().len(), listed(&version)));
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for len in ends[0].0..=whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let (journal, recovered) = Journal::read(&folder.0, &origin()).unwrap();
        let (end, expected) = ends.iter().rfind(|(end, _)| *end <= len).unwrap();
        assert_eq!(&listed(recovered.zone.as_ref().unwrap()), expected, "{len}");
        assert_eq!(recovered.cut.is_some(), len != *end, "{len}");
        // Writing goes on where the last whole changes end.
        journal.claim().unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), *end);
        let next = append(&journal, recovered.zone.unwrap());
        assert_eq!(listed(&read(&folder.0).unwrap()), listed(&next));
    }
    for len in 0..ends[0].0 {
        std::fs::write(&path, &whole[..len]).unwrap();
        let damaged = Journal::read(&folder.0, &origin()).err().unwrap();
        assert_eq!(damaged.kind(), Kind::Corrupt, "a header is in place before it is used");
    }
    // A file system may give the octets that were not written as zeros.
    let torn = [&whole[..ends[5].0], &vec![0; whole.len() - ends[5].0][..]].concat();
    std::fs::write(&path, torn).unwrap();
    assert_eq!(listed(&read(&folder.0).unwrap()), ends[5].1);
}

#[test]
fn a_changed_octet_is_found() {
    let folder = Folder::new();
    let (journal, mut version) = begin(&folder);
    let log = folder.path("zone.test.log.1");
    let mut last = (0, Vec::new());
    for _ in 0..3 {
        last = (std::fs::read(&log).unwrap().len(), listed(&version));
        version = append(&journal, version);
    }
    drop(journal);
    for path in [log, folder.path("zone.test.snapshot")] {
        let is_log = path.to_str().unwrap().contains("log");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            match read(&folder.0) {
                // The end of the log cannot be told from one that is torn.
                Ok(found) => {
                    assert!(is_log && at >= last.0, "{at}");
                    assert_eq!(listed(&found), last.1);
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Corrupt, "{at}");
                    assert!(error.to_string().contains("from a backup"), "{error}");
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&version));
}

#[test]
fn a_missing_file_is_found() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let version = append(&journal, version);
    journal.compact(Arc::new(version), || ());
    let version = append(&journal, read(&folder.0).unwrap());
    drop(journal);
    assert_eq!(
        folder.files(),
        ["zone.test.lock", "zone.test.log.1", "zone.test.log.2", "zone.test.snapshot"]
    );
    for (file, is_needed) in
        [("zone.test.log.1", false), ("zone.test.log.2", true), ("zone.test.snapshot", true)]
    {
        let octets = std::fs::read(folder.path(file)).unwrap();
        std::fs::remove_file(folder.path(file)).unwrap();
        match Journal::read(&folder.0, &origin()) {
            Ok((_, recovered)) => {
                assert!(!is_needed, "{file}");
                assert_eq!(listed(&recovered.zone.unwrap()), listed(&version));
                assert_eq!(recovered.history.len(), 1, "only a transfer misses the older log");
            }
            Err(error) => assert!(is_needed && error.kind() == Kind::Corrupt, "{file}: {error}"),
        }
        std::fs::write(folder.path(file), octets).unwrap();
    }
    let other = Name::from_text("other.test.").unwrap();
    for file in ["log.1", "log.2", "snapshot"] {
        std::fs::copy(
            folder.path(&format!("zone.test.{file}")),
            folder.path(&format!("other.test.{file}")),
        )
        .unwrap();
    }
    let foreign = Journal::read(&folder.0, &other).err().unwrap();
    assert_eq!(foreign.kind(), Kind::Corrupt, "the files of another zone");
}

/// A process that dies leaves some of the steps of a compaction, or of a replacement, undone.
#[test]
fn a_new_snapshot_may_stop_at_any_step() {
    let folder = Folder::new();
    let (journal, mut version) = begin(&folder);
    for _ in 0..3 {
        version = append(&journal, version);
    }
    let keep = |name: &str| (folder.path(name), std::fs::read(folder.path(name)).unwrap());
    let before = [keep("zone.test.snapshot"), keep("zone.test.log.1")];
    journal.compact(Arc::new(read(&folder.0).unwrap()), || ());
    for _ in 0..3 {
        version = append(&journal, version);
    }
    drop(journal);
    let after = keep("zone.test.snapshot");
    // The new log is there and has changes, the new snapshot is not.
    std::fs::write(&before[0].0, &before[0].1).unwrap();
    let (journal, recovered) = Journal::read(&folder.0, &origin()).unwrap();
    assert_eq!(listed(&recovered.zone.unwrap()), listed(&version));
    assert_eq!(recovered.history.len(), 6);
    // It can be used, and compacted again.
    journal.claim().unwrap();
    version = append(&journal, version);
    drop(journal);
    // More was written to the old log than counts: changes that were never confirmed.
    let longer = [&before[1].1[..], b"torn"].concat();
    std::fs::write(&before[1].0, longer).unwrap();
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&version));
    // Less is damage.
    std::fs::write(&before[1].0, &before[1].1[..before[1].1.len() - 1]).unwrap();
    assert_eq!(read(&folder.0).err().unwrap().kind(), Kind::Corrupt);
    // The new snapshot needs none of it.
    std::fs::write(&after.0, &after.1).unwrap();
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&version));
    std::fs::write(&before[1].0, &before[1].1).unwrap();

    // A replacement: its log comes first, and has no changes until its snapshot is there.
    let before = keep("zone.test.snapshot");
    let (journal, _) = Journal::read(&folder.0, &origin()).unwrap();
    journal.claim().unwrap();
    let logs = [keep("zone.test.log.1"), keep("zone.test.log.2")];
    journal.replace_then(Arc::new(zone(77, 9)), |done| done.unwrap()).unwrap();
    drop(journal);
    assert_eq!(folder.files(), ["zone.test.lock", "zone.test.log.3", "zone.test.snapshot"]);
    let new = zone(77, 9);
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&new));
    for (path, octets) in &logs {
        std::fs::write(path, octets).unwrap();
    }
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&new), "old logs were not removed");
    std::fs::write(&before.0, &before.1).unwrap();
    assert_eq!(listed(&read(&folder.0).unwrap()), listed(&version), "the old version is whole");
    let (journal, _) = Journal::read(&folder.0, &origin()).unwrap();
    journal.claim().unwrap();
    assert_eq!(folder.files().len(), 4, "the log that was never used is removed");
    append(&journal, version);
}

#[test]
fn a_database_that_was_never_begun_is_empty() {
    let folder = Folder::new();
    let (journal, _) = begin(&folder);
    drop(journal);
    std::fs::remove_file(folder.path("zone.test.snapshot")).unwrap();
    let (journal, recovered) = Journal::read(&folder.0, &origin()).unwrap();
    assert!(recovered.zone.is_none());
    journal.claim().unwrap();
    assert_eq!(folder.files(), ["zone.test.lock"]);
    drop(journal);
    begin(&folder);
}

#[test]
fn logs_are_bounded_by_snapshots() {
    let folder = Folder::new();
    let (journal, mut version) = begin(&folder);
    let (mut compactions, mut largest) = (0, 0);
    let text = [&[255][..], &[b'x'; 255]].concat().repeat(120);
    for at in 0..300 {
        // A large record comes and goes, so that the zone stays small.
        let mut changes = Changes::new();
        changes.remove(record(APEX, Rtype::SOA, &soa(version.serial())));
        changes.add(record(APEX, Rtype::SOA, &soa(version.serial() + 1)));
        match at % 2 {
            0 => changes.add(record(&host(0), Rtype::TXT, &text)),
            _ => changes.remove(record(&host(0), Rtype::TXT, &text)),
        }
        journal.append_then(&changes, |done| done.unwrap()).unwrap();
        version = Arc::new(version).apply(&changes).unwrap();
        largest = largest.max(journal.size());
        if journal.wants_compaction() {
            let shared = Arc::new(version);
            version = shared.apply(&Changes::new()).unwrap();
            journal.compact(shared, || ());
            compactions += 1;
        }
    }
    assert!(compactions >= 5, "{compactions}");
    assert!(largest < 3 << 20, "{largest}");
    assert_eq!(folder.files().len(), 4, "one older log is kept for transfers");
    let (_, recovered) = Journal::read(&folder.0, &origin()).unwrap();
    assert_eq!(listed(&recovered.zone.unwrap()), listed(&version));
    assert!(recovered.history.len() > 30, "{}", recovered.history.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_arrive_together_are_synced_together() {
    let folder = Folder::new();
    let journal = claim(&folder);
    let mut version = zone(1, 3);
    journal.replace(Arc::new(zone(1, 3))).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for _ in 0..500 {
        let changes = step(version.serial());
        version = Arc::new(version).apply(&changes).unwrap();
        let (order, serial) = (Arc::clone(&order), version.serial());
        let (told, done) = tokio::sync::oneshot::channel();
        journal
            .append_then(&changes, move |written| {
                order.lock().unwrap().push(serial);
                told.send(written).unwrap();
            })
            .unwrap();
        waiting.push(done);
    }
    for done in waiting {
        done.await.unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (2..=501).collect::<Vec<_>>(), "in their order");
    let (_, recovered) = Journal::read(&folder.0, &origin()).unwrap();
    assert_eq!(listed(&recovered.zone.unwrap()), listed(&version));
    let changes = step(version.serial());
    journal.append(&changes).await.unwrap();
    journal.replace(Arc::new(zone(9, 1))).await.unwrap();
    assert_eq!(read(&folder.0).unwrap().serial(), 9);
    journal.remove().unwrap();
    assert_eq!(folder.files(), ["zone.test.lock"]);
    assert_eq!(journal.append(&step(9)).await.unwrap_err().kind(), Kind::Unclaimed);
}

/// A directory in the place of the snapshot stands for a disk that fails. What is full, `tests/e2e` has.
#[test]
fn what_cannot_be_written_is_not_there() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let version = append(&journal, version);
    let snapshot = folder.path("zone.test.snapshot");
    let octets = std::fs::read(&snapshot).unwrap();
    std::fs::remove_file(&snapshot).unwrap();
    std::fs::create_dir(&snapshot).unwrap();
    journal.compact(Arc::new(zone(2, 0)), || ());
    let version = append(&journal, version);
    assert!(!journal.wants_compaction(), "later");
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    journal
        .replace_then(Arc::new(zone(50, 1)), move |done| {
            assert_eq!(done.unwrap_err().kind(), Kind::System);
            count.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    assert!(!journal.is_claimed(), "what is on the disk must be read again");
    assert_eq!(journal.append_then(&step(3), |_| ()).unwrap_err().kind(), Kind::Unclaimed);
    std::fs::remove_dir(&snapshot).unwrap();
    std::fs::write(&snapshot, octets).unwrap();
    let again = journal.claim().unwrap().expect("it was read long ago");
    assert_eq!(listed(&again.zone.unwrap()), listed(&version));
    append(&journal, version);
    assert_eq!(read(&folder.0).unwrap().serial(), 4);
}

/// A removal waits for what is being written. What waits behind that is told, and nothing of it gets into
/// the database that comes next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_waits_for_the_writer() {
    let folder = Folder::new();
    let journal = claim(&folder);
    journal.replace(Arc::new(zone(1, 3))).await.unwrap();
    let (reached, writes) = std::sync::mpsc::channel();
    let (resume, resumed) = std::sync::mpsc::channel();
    journal
        .append_then(&step(1), move |done| {
            done.unwrap();
            reached.send(()).unwrap();
            resumed.recv().unwrap();
        })
        .unwrap();
    writes.recv().unwrap();
    let (told, outcome) = std::sync::mpsc::channel();
    journal.append_then(&step(2), move |done| told.send(done).unwrap()).unwrap();
    let removal = {
        let journal = journal.clone();
        std::thread::spawn(move || journal.remove())
    };
    // Time enough for a removal that does not wait.
    (0..200).take_while(|_| journal.is_claimed()).for_each(|_| std::thread::yield_now());
    assert!(journal.is_claimed(), "the writer is not done");
    resume.send(()).unwrap();
    removal.join().unwrap().unwrap();
    // It was written, if the writer took it out of the queue first.
    let done = outcome.recv().expect("it was told");
    assert!(done.is_ok() || done.is_err_and(|error| error.kind() == Kind::Unclaimed));
    assert_eq!(folder.files(), ["zone.test.lock"]);
    assert!(!journal.is_claimed() && journal.size() == 0);
    assert!(journal.claim().unwrap().is_none(), "it holds nothing, as when it was read");
    assert!(journal.is_empty());
    journal.replace(Arc::new(zone(7, 1))).await.unwrap();
    journal.append(&step(7)).await.unwrap();
    assert_eq!(read(&folder.0).unwrap().serial(), 8);
}

/// A large snapshot is left behind by each process that dies while it writes it.
#[test]
fn unfinished_snapshots_go_with_the_next_claim() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let unfinished = folder.path("zone.test.snapshot.new-0123456789abcdef");
    std::fs::write(&unfinished, "a part").unwrap();
    let (other, _) = Journal::read(&folder.0, &origin()).unwrap();
    assert_eq!(other.claim().err().unwrap().kind(), Kind::InUse);
    assert!(unfinished.exists(), "it may be that of the writer");
    append(&journal, version);
    drop(journal);
    assert_eq!(other.claim().unwrap().unwrap().zone.unwrap().serial(), 2);
    assert!(!unfinished.exists());
}

/// A process that dies while it removes a database leaves some of its files behind. They are no damage.
#[test]
fn a_removal_may_stop_at_any_step() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let version = append(&journal, version);
    journal.compact(Arc::new(version), || ());
    append(&journal, read(&folder.0).unwrap());
    let before: Vec<_> = folder
        .files()
        .into_iter()
        .filter(|file| file != "zone.test.lock")
        .map(|file| (folder.path(&file), std::fs::read(folder.path(&file)).unwrap()))
        .collect();
    journal.remove().unwrap();
    drop(journal);
    assert_eq!(folder.files(), ["zone.test.lock"]);
    // Each part of the logs may be there still.
    for parts in 0..1u32 << (before.len() - 1) {
        let [logs @ .., (_, snapshot)] = &before[..] else { unreachable!() };
        for (at, (path, octets)) in logs.iter().enumerate() {
            if parts >> at & 1 == 1 {
                std::fs::write(path, octets).unwrap();
            }
        }
        std::fs::write(folder.path("zone.test.removed"), snapshot).unwrap();
        let (journal, recovered) = Journal::read(&folder.0, &origin()).unwrap();
        assert!(recovered.zone.is_none());
        journal.claim().unwrap();
        assert_eq!(folder.files(), ["zone.test.lock"]);
        drop(journal);
    }
    // Without that mark they are.
    std::fs::write(&before[0].0, &before[0].1).unwrap();
    let error = Journal::read(&folder.0, &origin()).err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt);
}

/// The lock outlives the other files if these are moved away.
#[test]
fn a_database_is_as_old_as_its_beginning() {
    let folder = Folder::new();
    let (journal, version) = begin(&folder);
    let lock = std::fs::File::open(folder.path("zone.test.lock")).unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
    lock.set_modified(long_ago).unwrap();
    append(&journal, version);
    assert_eq!(journal.begun(), Some(long_ago), "changes do not begin it");
    drop(journal);
    for file in ["zone.test.snapshot", "zone.test.log.1"] {
        std::fs::remove_file(folder.path(file)).unwrap();
    }
    let (journal, _) = begin(&folder);
    assert!(journal.begun().unwrap() > long_ago);
}
