//! The catalog zone of a directive (RFC 9432): it lists the zones that the directive lets be transferred, and
//! follows them as they come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{Chain, ChainRef, Clock};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use telemetry::metrics;
use tokio::sync::Notify as Wake;
use wire::name::{NameBuf, label_count};
use wire::{Class, Name, Rtype};
use zone::live::Listener;
use zone::{Builder, Changes, Live, RecordRef, Zone};

use super::config::{CatalogOf, Group, Rule};
use super::metrics::CatalogMetrics;

/// Members at most: what our own consumers take by default.
const MAX_MEMBERS: usize = 100_000;
/// Versions are at least so far apart. Serials are the time of the version, and so never run ahead of it.
const GAP: Duration = Duration::from_secs(1);
/// REFRESH, RETRY, EXPIRE and MINIMUM, in seconds. What consumers know of their zones does not expire with a
/// producer that is gone: RFC 9432 appendix A has the same EXPIRE.
const TIMERS: [u32; 4] = [3600, 600, 2_147_483_646, 0];
/// `invalid.`, the server in SOA and NS (RFC 9432 section 4.1).
const INVALID: &[u8] = b"\x07invalid\0";

/// The members by name in lower case, each with its group.
type Members = BTreeMap<Name, Option<Group>>;

/// A catalog zone and what it lists. It survives a reload, so that a change is a change for consumers too.
pub(super) struct Listed {
    live: Arc<Live>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Members,
    /// The producer whose lists count. That of the configuration before may still be making one.
    producer: u64,
}

/// Keeps the catalog of one directive current.
pub(super) struct Producer {
    /// Its number in the process.
    number: u64,
    catalog: CatalogOf,
    /// The index of the directive among `rules`.
    at: usize,
    rules: Arc<[Rule]>,
    listed: Arc<Listed>,
    wake: Wake,
    chain_ref: ChainRef,
    clock: Clock,
    /// The log has it that zones are missing, or that there are too many.
    has_told: AtomicBool,
    metrics: CatalogMetrics,
}

impl Listed {
    /// A catalog without a version.
    pub(super) fn new(name: &Name) -> Self {
        let live = Arc::new(Live::new(name.clone()));
        live.set_status(|status| status.source = "catalog of this server".to_owned());
        Self { live, state: Mutex::default() }
    }

    /// The zone.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Lists of other producers do not count any more.
    fn take_over(&self, producer: u64) {
        self.state().producer = producer;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a version that lists these members, unless the current one does. `now` is Unix time.
    ///
    /// # Errors
    /// The records are no zone: the reason.
    fn list(&self, producer: u64, wanted: Members, now: u32) -> Result<Option<Arc<Zone>>, String> {
        let mut state = self.state();
        if state.producer != producer {
            return Ok(None);
        }
        let next = match self.live.zone_to_keep() {
            None => {
                let mut builder = Builder::new(self.live.origin(), 0);
                let mut wrong = None;
                self.frame(now, |record| {
                    wrong = wrong.take().or_else(|| builder.add(record).err())
                });
                self.beyond(&wanted, &Members::new(), |record| {
                    wrong = wrong.take().or_else(|| builder.add(record).err());
                });
                if let Some(wrong) = wrong {
                    return Err(wrong);
                }
                let text = |unfit: &zone::Unfit| unfit.to_string();
                let zone = builder
                    .finish()
                    .map_err(|all| all.iter().map(text).collect::<Vec<_>>().join("; "))?;
                self.live.replace(zone)
            }
            Some(_) if state.members == wanted => return Ok(None),
            Some(current) => {
                let changes = self.step(current.serial(), &state.members, &wanted, now);
                self.live.change(changes).map_err(|refused| refused.to_string())?
            }
        };
        state.members = wanted;
        Ok(Some(next))
    }

    /// The changes from one list to the next.
    fn step(&self, serial: u32, before: &Members, after: &Members, now: u32) -> Changes {
        // After a step of the clock backwards too, the serial goes on.
        let next = if zone::is_newer(now, serial) { now } else { serial.wrapping_add(1) };
        let mut changes = Changes::new();
        self.soa(serial, |record| changes.remove(record));
        self.beyond(before, after, |record| changes.remove(record));
        self.soa(next, |record| changes.add(record));
        self.beyond(after, before, |record| changes.add(record));
        changes
    }

    /// The records of `members` that `others` have not.
    fn beyond(&self, members: &Members, others: &Members, mut push: impl FnMut(RecordRef<'_>)) {
        for (member, group) in members {
            let other = others.get(member);
            if other.is_none() {
                self.node(member, &mut push);
            }
            if let Some(group) = group
                && other.and_then(Option::as_ref) != Some(group)
            {
                self.group(member, group, &mut push);
            }
        }
    }

    fn soa(&self, serial: u32, mut push: impl FnMut(RecordRef<'_>)) {
        let mut rdata = [INVALID, INVALID].concat();
        for number in [&[serial], &TIMERS[..]].concat() {
            rdata.extend_from_slice(&number.to_be_bytes());
        }
        push(record(self.live.origin().as_wire(), Rtype::SOA, &rdata));
    }

    /// The records that every catalog has.
    fn frame(&self, serial: u32, mut push: impl FnMut(RecordRef<'_>)) {
        self.soa(serial, &mut push);
        push(record(self.live.origin().as_wire(), Rtype::NS, INVALID));
        // RFC 9432 section 4.2.1: a TXT record with the value "2".
        let owner = self.below(&[b"version"]);
        push(record(owner.as_wire(), Rtype::TXT, b"\x012"));
    }

    /// The record that makes a zone a member.
    fn node(&self, member: &Name, mut push: impl FnMut(RecordRef<'_>)) {
        let owner = self.below(&[id(member).as_bytes(), b"zones"]);
        push(record(owner.as_wire(), Rtype::PTR, member.as_wire()));
    }

    /// The group of a member.
    fn group(&self, member: &Name, group: &Group, mut push: impl FnMut(RecordRef<'_>)) {
        let owner = self.below(&[b"group", id(member).as_bytes(), b"zones"]);
        let text = group.as_bytes();
        push(record(owner.as_wire(), Rtype::TXT, &[&[text.len() as u8], text].concat()));
    }

    /// The name of these labels in the catalog. The configuration bounds its length.
    fn below(&self, labels: &[&[u8]]) -> NameBuf {
        let mut name = NameBuf::new();
        let mut whole = labels.iter().try_for_each(|label| name.push_label(label));
        whole = whole.and_then(|()| name.push_name(self.live.origin().as_wire()));
        debug_assert!(whole.is_ok(), "the configuration allows no longer name");
        name
    }
}

fn record<'a>(owner: &'a [u8], rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
    // RFC 9432 section 4.1: the TTLs have no meaning.
    RecordRef { owner, rtype, class: Class::IN, ttl: 0, rdata }
}

/// The label of a member's node. RFC 9432 section 5.4: another label would reset the zone at consumers, so the
/// label depends on the name alone, and is the same after a restart.
fn id(member: &Name) -> String {
    let hash = digest(&SHA256, member.as_wire());
    HEXLOWER.encode(&hash.as_ref()[..16])
}

impl Producer {
    /// The producer for the directive `at`.
    pub(super) fn new(
        catalog: CatalogOf,
        at: usize,
        rules: Arc<[Rule]>,
        listed: Arc<Listed>,
        chain_ref: ChainRef,
        clock: Clock,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let metrics = CatalogMetrics::new();
        let (wake, has_told) = (Wake::new(), AtomicBool::new(false));
        Self { number, catalog, at, rules, listed, wake, chain_ref, clock, has_told, metrics }
    }

    /// Keeps the catalog current until the configuration is replaced.
    pub(super) async fn run(self: Arc<Self>) {
        self.listed.take_over(self.number);
        loop {
            let producer = Arc::clone(&self);
            // A list that cannot be made is logged, and made again after the next change.
            let _ = tokio::task::spawn_blocking(move || producer.update()).await;
            tokio::time::sleep(GAP).await;
            self.wake.notified().await;
        }
    }

    /// Makes the catalog list the zones that there are. Blocks.
    fn update(&self) {
        let Some(chain) = self.chain_ref.chain() else { return };
        let name = &self.catalog.name;
        let Some(wanted) = self.wanted(&chain) else {
            self.tell(|| {
                telemetry::info!(
                    "plugin/transfer: catalog {name} stays as it is until all zones of this server \
                     block are known"
                );
            });
            return;
        };
        let count = wanted.len();
        if count > MAX_MEMBERS {
            self.metrics.failed.inc(metrics::SHARED);
            self.tell(|| {
                telemetry::error!(
                    "plugin/transfer: catalog {name} stays as it is: there are {count} zones for it, \
                     more than {MAX_MEMBERS}; use several directives, each with a catalog"
                );
            });
            return;
        }
        self.has_told.store(false, Ordering::Relaxed);
        let now = authority::now(self.clock);
        let unix = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        match self.listed.list(self.number, wanted, unix) {
            Ok(None) => {}
            Ok(Some(zone)) => {
                self.listed.live.set_status(|status| {
                    status.changed = Some(now);
                    status.checked = Some(now);
                });
                let serial = zone.serial();
                telemetry::info!(
                    "plugin/transfer: catalog {name} lists {count} zones in serial {serial}"
                );
            }
            Err(wrong) => {
                self.metrics.failed.inc(metrics::SHARED);
                telemetry::error!("plugin/transfer: catalog {name} stays as it is: {wrong}");
            }
        }
    }

    /// The zones that the catalog is to list. `None`: some may be missing, and consumers would delete them.
    fn wanted(&self, chain: &Chain) -> Option<Members> {
        let mut wanted = Members::new();
        for plugin in chain.plugins() {
            let Some(zones) = plugin.roles().zones else { continue };
            if !zones.is_complete() {
                return None;
            }
            for live in zones.zones().all() {
                let name = live.origin().to_lower();
                let is_catalog =
                    |rule: &Rule| rule.catalog.as_ref().is_some_and(|it| it.name == name);
                if !self.rules.iter().any(is_catalog)
                    && Rule::of(&self.rules, &name) == Some(self.at)
                {
                    let group = self.group(&name);
                    wanted.entry(name).or_insert(group);
                }
            }
        }
        Some(wanted)
    }

    /// The group of a zone: that with the longest zone that contains it.
    fn group(&self, zone: &Name) -> Option<Group> {
        let longest = |zones: &chain::ZoneSet| {
            let above = zones.iter().filter(|own| zone.is_under(own));
            above.map(|own| label_count(own.as_wire())).max()
        };
        let found = self
            .catalog
            .groups
            .iter()
            .filter_map(|(group, zones)| longest(zones).map(|labels| (labels, group)));
        found.max_by_key(|(labels, _)| *labels).map(|(_, group)| group.clone())
    }

    fn tell(&self, line: impl FnOnce()) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            line();
        }
    }
}

impl Listener for Producer {
    fn changed(&self, _: &Arc<Live>) {}

    fn set_changed(&self) {
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    /// `MEMBER [GROUP]`, one a line.
    fn members(lines: &str) -> Members {
        let member = |line: &str| {
            let mut words = line.split(' ');
            (name(words.next().unwrap()), words.next().map(Group::from))
        };
        lines.lines().map(member).collect()
    }

    fn records(zone: &Zone) -> Vec<String> {
        let mut all = Vec::new();
        let mut records = zone.records();
        while let Some(record) = records.next_record() {
            let owner = wire::name::Text(record.owner).to_string();
            let owner = owner.strip_suffix("c.test.").unwrap().to_owned();
            all.push(format!(
                "{owner} {} {:?}",
                record.rtype,
                record.rdata.escape_ascii().to_string()
            ));
        }
        all.sort();
        all
    }

    #[test]
    fn a_catalog_lists_its_members_and_their_groups() {
        let listed = Listed::new(&name("c.test."));
        let zone = listed.list(0, members("x.\ny. blue"), 100).unwrap().unwrap();
        let (x, y) = (id(&name("x.")), id(&name("y.")));
        assert_eq!((zone.serial(), x.len()), (100, 32));
        let mut expected = [
            " NS \"\\\\x07invalid\\\\x00\"".to_owned(),
            "version. TXT \"\\\\x012\"".to_owned(),
            format!("{x}.zones. PTR \"\\\\x01x\\\\x00\""),
            format!("{y}.zones. PTR \"\\\\x01y\\\\x00\""),
            format!("group.{y}.zones. TXT \"\\\\x04blue\""),
        ];
        expected.sort();
        let found = records(&zone);
        let (soa, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| one.contains("SOA"));
        assert_eq!((soa.len(), others), (1, expected.to_vec()));
    }

    #[test]
    fn a_catalog_changes_by_what_changed_and_its_serial_rises() {
        let listed = Listed::new(&name("c.test."));
        let first = listed.list(0, members("x.\ny. blue"), 100).unwrap().unwrap();
        assert!(listed.list(0, members("x.\ny. blue"), 200).unwrap().is_none(), "nothing changed");
        for (wanted, now, serial, size) in [
            // Members that stay as they are, are not in the changes.
            ("x.\ny. red\nz.", 200, 200, (2, 3)),
            ("x.\ny. red", 200, 201, (2, 1)),
            // The clock went back.
            ("y. red", 50, 202, (2, 1)),
            ("", 300, 300, (3, 1)),
        ] {
            let before = listed.live().zone_to_keep().unwrap();
            let zone = listed.list(0, members(wanted), now).unwrap().unwrap();
            assert_eq!(zone.serial(), serial, "{wanted}");
            let (changes, _) = listed.live().since(before.serial()).unwrap();
            let sizes: Vec<_> =
                changes.iter().map(|one| (one.removed().len(), one.added().len())).collect();
            assert_eq!(sizes, [size], "{wanted}");
            let fresh = Listed::new(&name("c.test."));
            let fresh = fresh.list(0, members(wanted), serial).unwrap().unwrap();
            assert_eq!(records(&zone), records(&fresh), "{wanted}");
        }
        assert_eq!(listed.live().since(first.serial()).unwrap().0.len(), 4);
    }

    #[test]
    fn the_list_of_a_replaced_producer_does_not_count() {
        let listed = Listed::new(&name("c.test."));
        listed.take_over(1);
        assert!(listed.list(1, members("x."), 100).unwrap().is_some());
        listed.take_over(2);
        assert!(listed.list(2, members("x.\ny."), 200).unwrap().is_some());
        assert!(listed.list(1, members("x."), 300).unwrap().is_none());
        assert_eq!(listed.live().zone_to_keep().unwrap().serial(), 200);
    }
}
