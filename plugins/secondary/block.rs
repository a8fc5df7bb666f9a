//! The zones of a server block: those of the configuration, and the members of catalog zones, which come and
//! go; and the NOTIFY messages for them (RFC 1996).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authority::{Keeper, TakesMessages};
use chain::{BoxFuture, Clock, Failure, OwnZones, Query, Reply, Served, Step};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use wire::{Name, Rcode, Rtype};
use zone::{Live, LiveSet};

use super::catalog::{self, Belongs, Broken, Catalog, Listed};
use super::copy::Copy;
use super::follow::follow;
use super::source::Source;

/// The members of the catalogs of a block. They survive a reload of the Corefile.
#[derive(Default)]
pub(super) struct Members {
    /// Held for moments: NOTIFY messages are looked up here.
    now: Mutex<BTreeMap<Name, Member>>,
    /// Held while members come and go, which reads and writes files.
    arranging: Mutex<()>,
    /// All catalogs have been read since the start of the process: no member is missing.
    is_complete: AtomicBool,
    /// Versions of catalogs that cannot be read and were reported, each with the cause.
    reported: Mutex<BTreeMap<Name, (u32, Broken)>>,
}

#[derive(Clone)]
struct Member {
    belongs: Belongs,
    copy: Arc<Copy>,
}

/// A zone of the configuration.
pub(super) struct Fixed {
    pub(super) copy: Arc<Copy>,
    pub(super) source: Arc<Source>,
    /// It is a catalog.
    pub(super) catalog: Option<Rule>,
}

/// A catalog: what it may list, and where its members come from.
pub(super) struct Rule {
    pub(super) within: Vec<Name>,
    pub(super) most: usize,
    pub(super) members: Arc<Source>,
    /// Where the members of a group come from, in the order in which they are written.
    pub(super) groups: Vec<(Box<[u8]>, Arc<Source>)>,
}

/// The zones of a server block.
pub(super) struct Block {
    pub(super) fixed: Vec<Fixed>,
    pub(super) members: Arc<Members>,
    pub(super) set: Arc<LiveSet>,
    pub(super) own_zones: Arc<OwnZones>,
    pub(super) clock: Clock,
    pub(super) changed: Arc<Notify>,
}

/// What has changed among the members.
#[derive(Default)]
struct Applied {
    stopped: Vec<Arc<Copy>>,
    lines: Vec<String>,
    warnings: Vec<String>,
    /// Catalogs whose version cannot be read.
    broken: BTreeMap<Name, (u32, Broken)>,
    /// All catalogs were read.
    is_complete: bool,
}

impl Members {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Name, Member>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The zone of a member.
    pub(super) fn copy(&self, zone: &Name) -> Option<Arc<Copy>> {
        self.entries().get(zone).map(|member| Arc::clone(&member.copy))
    }

    /// The warnings about versions of catalogs that were not reported yet.
    fn report(&self, broken: BTreeMap<Name, (u32, Broken)>) -> Vec<String> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let new = broken.iter().filter(|(name, version)| reported.get(name) != Some(version));
        let lines = new.map(|(name, (serial, why))| {
            format!("Version {serial} of catalog {name} cannot be read: {why}; its members stay as they are")
        });
        let lines = lines.collect();
        *reported = broken;
        lines
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }
}

impl Block {
    /// The zone of this name and its source.
    pub(super) fn find(&self, zone: &Name) -> Option<(Arc<Copy>, Arc<Source>)> {
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.copy.origin() == zone) {
            return Some((Arc::clone(&fixed.copy), Arc::clone(&fixed.source)));
        }
        let entries = self.members.entries();
        let member = entries.get(zone)?;
        Some((Arc::clone(&member.copy), self.source_of(&member.belongs)?))
    }

    fn source_of(&self, belongs: &Belongs) -> Option<Arc<Source>> {
        let is_it = |fixed: &&Fixed| *fixed.copy.origin() == belongs.catalog;
        let rule = self.fixed.iter().find(is_it)?.catalog.as_ref()?;
        let of_group = rule.groups.iter().find(|(group, _)| belongs.groups.contains(group));
        Some(Arc::clone(of_group.map_or(&rule.members, |(_, source)| source)))
    }

    /// Whether one of the zones is a catalog.
    pub(super) fn has_catalogs(&self) -> bool {
        self.fixed.iter().any(|fixed| fixed.catalog.is_some())
    }

    /// The zones of the configuration.
    pub(super) fn fixed_lives(&self) -> Vec<Arc<Live>> {
        self.fixed.iter().map(|fixed| Arc::clone(fixed.copy.live())).collect()
    }

    /// All zones.
    pub(super) fn lives(&self) -> Vec<Arc<Live>> {
        let fixed = self.fixed_lives().into_iter();
        let entries = self.members.entries();
        fixed.chain(entries.values().map(|member| Arc::clone(member.copy.live()))).collect()
    }

    /// Makes the members those that the catalogs list, at the start: no task runs yet, and nothing is logged.
    /// May read databases: blocks.
    pub(super) fn begin(&self) {
        let applied = self.apply();
        self.members.is_complete.fetch_or(applied.is_complete, Ordering::Relaxed);
    }

    /// Whether no member is missing because a catalog has not been read.
    pub(super) fn is_complete(&self) -> bool {
        !self.has_catalogs() || self.members.is_complete.load(Ordering::Relaxed)
    }

    /// Makes the members those that the catalogs list. May read databases: blocks.
    fn arrange(&self) -> (Vec<Arc<Copy>>, bool) {
        let mut applied = self.apply();
        applied.warnings.extend(self.members.report(applied.broken));
        for line in applied.lines {
            telemetry::info!("plugin/secondary: {line}");
        }
        for line in applied.warnings {
            telemetry::warning!("plugin/secondary: {line}");
        }
        (applied.stopped, applied.is_complete)
    }

    fn apply(&self) -> Applied {
        let _one = self.members.arranging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut applied = Applied::default();
        let mut read: HashMap<&Name, Catalog> = HashMap::new();
        for fixed in &self.fixed {
            let Some((rule, zone)) = fixed.catalog.as_ref().zip(fixed.copy.base()) else {
                continue;
            };
            let name = fixed.copy.origin();
            match Catalog::read(&zone, rule.most) {
                Ok(catalog) => drop(read.insert(name, catalog)),
                // A transfer does not publish such a version. It comes from the disk, with other bounds, or was
                // published before the zone was a catalog.
                Err(broken) => {
                    applied.broken.insert(name.clone(), (zone.serial(), broken));
                }
            }
        }
        let listed: Vec<Listed<'_>> = self
            .fixed
            .iter()
            .filter_map(|fixed| {
                let name = fixed.copy.origin();
                let within = &fixed.catalog.as_ref()?.within;
                Some(Listed { name, catalog: read.get(name), within })
            })
            .collect();
        applied.is_complete = listed.iter().all(|one| one.catalog.is_some());
        let names: HashSet<Name> =
            self.fixed.iter().map(|fixed| fixed.copy.origin().to_lower()).collect();
        let mut before = self.members.entries().clone();
        let now = before.iter().map(|(name, member)| (name.clone(), member.belongs.clone()));
        let plan = catalog::plan(&now.collect(), &listed, &names);
        let mut next = BTreeMap::new();
        for (name, belongs) in plan.members {
            let known = before.remove(&name);
            let copy = match &known {
                Some(known) if !plan.fresh.contains(&name) => Arc::clone(&known.copy),
                _ => {
                    if let Some(known) = &known {
                        // Another zone of the same name: what is on the disk is not its own.
                        remove(&known.copy);
                    }
                    let Some(source) = self.source_of(&belongs) else { continue };
                    let directory = source.database.as_deref();
                    let (copy, problem) = Copy::new(&name, self.clock, source.bounds, directory);
                    applied.warnings.extend(problem.map(|problem| {
                        format!("zone `{name}`: {problem}; it is not stored on the disk")
                    }));
                    Arc::new(copy)
                }
            };
            applied.lines.extend(line(&name, known.as_ref(), &belongs, &plan.fresh));
            next.insert(name, Member { belongs, copy });
        }
        *self.members.entries() = next;
        for (name, gone) in before {
            let catalog = gone.belongs.catalog;
            applied
                .lines
                .push(format!("Removed catalog member zone {name} from catalog {catalog}"));
            // The configuration may have it now: it goes on with this copy.
            if !self.fixed.iter().any(|fixed| Arc::ptr_eq(&fixed.copy, &gone.copy)) {
                applied.stopped.push(gone.copy);
            }
        }
        for (name, catalog) in plan.clashes {
            applied.warnings.push(format!(
                "Skipping catalog member zone {name} from {catalog}: zone already exists"
            ));
        }
        for (catalog, count) in plan.rejected {
            applied.warnings.push(format!(
                "Skipped {count} member zones from catalog {catalog}: outside configured member zones"
            ));
        }
        applied
    }

    /// Keeps all zones current until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let _fixed: Vec<Following> = self
            .fixed
            .iter()
            .map(|fixed| {
                let changed = fixed.catalog.as_ref().map(|_| Arc::clone(&self.changed));
                Following::start(&mut tasks, &fixed.copy, &fixed.source, changed)
            })
            .collect();
        let mut members: HashMap<Name, Following> = HashMap::new();
        // Members whose catalog is none any more, by the configuration, go too.
        if self.has_catalogs() || !self.members.is_empty() {
            loop {
                let block = Arc::clone(&self);
                let arranged = tokio::task::spawn_blocking(move || block.arrange()).await;
                let (stopped, is_complete) = arranged.unwrap_or_default();
                self.start(&mut tasks, &mut members);
                if is_complete && !self.members.is_complete.swap(true, Ordering::Relaxed) {
                    // The members are in the set: now its listeners can rely on it.
                    self.set.set(self.lives());
                }
                for copy in stopped {
                    // RFC 9432 section 5.3: what belongs to a removed member goes too.
                    tokio::task::spawn_blocking(move || remove(&copy));
                }
                self.changed.notified().await;
                while tasks.try_join_next().is_some() {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Starts and stops the tasks of members, and serves those that there are.
    fn start(&self, tasks: &mut JoinSet<()>, following: &mut HashMap<Name, Following>) {
        let entries = self.members.entries();
        let is_kept = |name: &Name, task: &mut Following| {
            entries.get(name).is_some_and(|member| Arc::ptr_eq(&member.copy, &task.copy))
        };
        following.retain(is_kept);
        for (name, member) in entries.iter() {
            let Some(source) = self.source_of(&member.belongs) else { continue };
            let is_same = |task: &Following| Arc::ptr_eq(&task.source, &source);
            if !following.get(name).is_some_and(is_same) {
                let task = Following::start(tasks, &member.copy, &source, None);
                following.insert(name.clone(), task);
            }
        }
        drop(entries);
        self.set.set(self.lives());
        // A zone that went leaves no version that could tell.
        self.own_zones.note_change();
    }
}

/// The line of the log about a member, in CoreDNS's words.
fn line(
    name: &Name,
    before: Option<&Member>,
    belongs: &Belongs,
    fresh: &HashSet<Name>,
) -> Option<String> {
    let catalog = &belongs.catalog;
    let label = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
    let Some(before) = before else {
        return Some(format!("Added catalog member zone {name} from catalog {catalog}"));
    };
    let (old, id) = (label(&before.belongs.id), label(&belongs.id));
    let from = &before.belongs.catalog;
    match (fresh.contains(name), from == catalog) {
        (false, true) => None,
        (true, true) => Some(format!(
            "Reset catalog member zone {name} from {catalog} after member ID changed from {old} to {id}"
        )),
        (false, false) => Some(format!(
            "Migrated catalog member zone {name} from catalog {from} to {catalog}, preserving state for member ID {old}"
        )),
        (true, false) => Some(format!(
            "Migrated catalog member zone {name} from catalog {from} to {catalog} with state reset after member identity changed from {old} to {id}"
        )),
    }
}

/// Removes what a zone has on the disk.
fn remove(copy: &Copy) {
    copy.retire();
    if let Some(store) = copy.store()
        && let Err(error) = store.remove()
    {
        telemetry::error!("zone `{}`: {error}; its files stay", copy.origin());
    }
}

/// The task of one zone. It ends when this is dropped.
struct Following {
    copy: Arc<Copy>,
    source: Arc<Source>,
    task: AbortHandle,
}

impl Following {
    fn start(
        tasks: &mut JoinSet<()>,
        copy: &Arc<Copy>,
        source: &Arc<Source>,
        changed: Option<Arc<Notify>>,
    ) -> Self {
        let (copy, source) = (Arc::clone(copy), Arc::clone(source));
        let task = tasks.spawn(follow(Arc::clone(&copy), Arc::clone(&source), changed));
        Self { copy, source, task }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the plugin does for its zones besides keeping them current.
pub(super) struct Keep(pub(super) Arc<Block>);

impl Keeper for Keep {
    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    fn notify(&self) -> Option<&dyn TakesMessages> {
        Some(self)
    }
}

impl TakesMessages for Keep {
    fn take<'a>(
        &'a self,
        zone: Arc<Live>,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        let served = self.notified(&zone, query, reply);
        Box::pin(async { served })
    }
}

impl Keep {
    fn notified(&self, zone: &Live, query: &Query, reply: &mut Reply) -> Served {
        let Some((copy, source)) = self.0.find(zone.origin()) else { return Ok(Step::Next) };
        let (from, zone) = (query.client.peer.ip().to_canonical(), copy.origin());
        let is_signed = source.key.as_ref().is_some_and(|key| key.has_signed(query));
        let is_allowed = is_signed || source.may_notify(from);
        source.metrics.notified(is_allowed);
        if !is_allowed {
            // As in CoreDNS: a stranger learns nothing. A flood leaves one line now and then, whatever
            // addresses it claims to come from.
            if copy.is_news("a NOTIFY message of a stranger") {
                telemetry::info!("plugin/file: Dropping notify from {from} for {zone}");
            }
            return Ok(Step::Drop);
        }
        // RFC 1996 section 3.7: the only defined type is SOA.
        if query.qtype() != Rtype::SOA {
            return Err(Failure::rcode(Rcode::FORMERR));
        }
        if query.name() != zone.as_wire() {
            return Err(Failure::rcode(Rcode::NOTAUTH));
        }
        telemetry::info!("plugin/file: Notify from {from} for {zone}: checking transfer");
        copy.notify(from);
        reply.set_authoritative(true);
        Ok(Step::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::OnceLock;
    use std::time::{Duration, UNIX_EPOCH};

    use chain::Clock;
    use wire::Moment;

    use super::super::kit::{CLOCK, NOW, name, source, zone};
    use super::super::store::Store;
    use super::super::timers::Bounds;
    use super::*;

    /// A block with the catalog `c.test.`, whose version has these records.
    fn block(records: &str, database: &Path, clock: Clock, members: &Arc<Members>) -> Block {
        let (copy, _) = Copy::new(&name("c.test."), clock, Bounds::default(), None);
        copy.live().replace(zone("c.test.", 1, records));
        let source = Arc::new(source(Some(database)));
        let rule =
            Rule { within: Vec::new(), most: 10, members: Arc::clone(&source), groups: Vec::new() };
        Block {
            fixed: vec![Fixed { copy: Arc::new(copy), source, catalog: Some(rule) }],
            members: Arc::clone(members),
            set: Arc::new(LiveSet::new(Vec::new())),
            own_zones: Arc::default(),
            clock,
            changed: Arc::default(),
        }
    }

    #[test]
    fn a_version_that_is_no_catalog_is_reported_once() {
        let (clock, members) = (CLOCK, Arc::default());
        let nowhere = Path::new("/nonexistent");
        let reports = |block: &Block| block.members.report(block.apply().broken);
        let good = block("version TXT 2\na.zones PTR x.", nowhere, clock, &members);
        assert!(reports(&good).is_empty() && good.find(&name("x.")).is_some());
        for (records, cause) in [
            ("a.zones PTR x.", "its `version` property is missing"),
            ("version TXT 3\na.zones PTR x.", "its `version` property is not `2`"),
            ("version TXT 2\na.zones PTR x.\na.zones PTR y.", "`a.zones.c.test.` has several"),
        ] {
            let broken = block(records, nowhere, clock, &members);
            let said = reports(&broken);
            assert!(said.len() == 1 && said[0].contains(cause), "{said:?}");
            assert!(said[0].contains("Version 1 of catalog c.test. cannot"), "{said:?}");
            assert!(reports(&broken).is_empty(), "once");
            assert!(broken.find(&name("x.")).is_some(), "its members stay");
        }
        assert!(reports(&good).is_empty());
        assert_eq!(
            reports(&block("", nowhere, clock, &members)).len(),
            1,
            "after a good one, again"
        );
    }

    /// The members that the clock below looks at.
    static LOOKED_AT: OnceLock<Arc<Members>> = OnceLock::new();

    /// The time is read once the copy of a zone has been read from the disk.
    fn look() -> Moment {
        if let Some(members) = LOOKED_AT.get() {
            assert!(members.now.try_lock().is_ok(), "a worker would wait for the disk");
        }
        Moment(0)
    }

    #[tokio::test]
    async fn members_are_found_while_the_disk_is_read() {
        let directory = std::env::temp_dir().join(format!("catena-members-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let (store, _) = Store::open(&directory, &name("x.")).unwrap();
        let live = Arc::new(Live::starting(zone("x.", 1, "")));
        let store = Arc::new(store);
        store.save(&live).await.unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(NOW);
        store.note(at, "192.0.2.1:53".parse().unwrap()).unwrap();
        drop(store);
        let members = LOOKED_AT.get_or_init(Arc::default);
        let clock = Clock { now: look, unix: |_| NOW };
        let block = block("version TXT 2\na.zones PTR x.", &directory, clock, members);
        block.begin();
        let (copy, _) = block.find(&name("x.")).unwrap();
        assert!(copy.live().is_loaded(), "it was read from the disk, and its age was asked for");
        let _ = std::fs::remove_dir_all(&directory);
    }
}
