//! `dynupdate`: serves zones that clients change by UPDATE messages (RFC 2136).
//!
//! What a message asks for is `update`, what is on the disk is `journal`, and answers are `authority`'s.
//! Here are the keys and their permissions, the bounds, and the order of writing and publishing.

mod config;
mod seed;
mod store;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use authority::{Authority, Keeper, Options, TakesMessages};
use chain::{BoxFuture, Kind, Query, Reply, Served, Setup, Step};
use corefile::{Diagnostic, Diagnostics, Directive};
use files::versions::Stamp;
use journal::Journal;
use telemetry::metrics::{self, Counter};
use update::{Entry, Refusal, Update};
use wire::{Moment, Name, Rcode};
use zone::{Live, Zone};

use config::{Bounds, Config, Policy};
use store::Store;

/// The `dynupdate` directive.
pub static PLUGIN: Kind = Kind {
    name: "dynupdate",
    doc: include_str!("README.md"),
    answers: true,
    setup,
    ..Kind::DEFAULT
};

/// The pause between attempts to take a database that another process has.
const RETRY: Duration = Duration::from_secs(1);
/// The pause between log lines about refused updates of a zone.
const QUIET: Duration = Duration::from_secs(1);

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut zones: Vec<Arc<Updated>> = Vec::new();
    for directive in uses {
        match one(directive, &zones, setup) {
            Ok(zone) => zones.push(zone),
            Err(found) => errors.extend(found),
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    for zone in &zones {
        let store = Arc::clone(&zone.store);
        setup.task(move || async move {
            while store.claim().await.is_err() {
                tokio::time::sleep(RETRY).await;
            }
        });
    }
    let lives = zones.iter().map(|zone| Arc::clone(zone.store.live())).collect();
    let keeper = Keep { zones: zones.into() };
    let plugin = Authority::fixed(lives, Options::default(), keeper, setup);
    setup.link(plugin);
    Ok(())
}

/// The zone of a directive.
fn one(
    directive: &Directive,
    before: &[Arc<Updated>],
    setup: &mut Setup<'_>,
) -> Result<Arc<Updated>, Diagnostics> {
    let (config, keys) = config::parse(directive, &setup.zones())?;
    setup.warn_outside(&directive.args);
    if before.iter().any(|zone| *zone.store.live().origin() == config.origin) {
        let message = format!("zone `{}` is given twice", config.origin);
        return Err(Diagnostic::error(config.span, message)
            .label("the second time")
            .help("write all `allow` lines into one directive")
            .into());
    }
    let mut errors = Diagnostics::default();
    for key in keys {
        errors.extend(setup.tsig_key(key).err());
    }
    let store = open(&config, setup).map_err(|found| errors.extend(found)).ok();
    let Some(store) = store.filter(|_| !errors.has_errors()) else { return Err(errors) };
    store.within(&config.bounds).map_err(|why| {
        Diagnostic::error(config.span, format!("zone `{}` is too large: {why}", config.origin))
            .label("the zone as it is now")
            .help("raise the bound")
    })?;
    let Config { origin, policy, bounds, .. } = config;
    Ok(Arc::new(Updated {
        store,
        policy,
        bounds,
        counters: Counters::new(&origin),
        log: Mutex::default(),
    }))
}

/// The store of a zone: that of the running configuration, or a new one.
fn open(config: &Config<'_>, setup: &mut Setup<'_>) -> Result<Arc<Store>, Diagnostics> {
    let seed = setup.path(config.file);
    let database = config.database.map(|token| setup.path(token));
    let key = match &database {
        Some(directory) => format!("dynupdate {} in {}", config.origin, directory.display()),
        None => format!("dynupdate {} of {}", config.origin, seed.display()),
    };
    type Place = Mutex<Option<Arc<Store>>>;
    let place: Arc<Place> = setup.keep(key, Place::default);
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = place.as_ref().filter(|store| store.live().is_loaded()) {
        warn_of_newer_seed(&seed, store.begun(), config, setup);
        return Ok(Arc::clone(store));
    }
    let clock = setup.clock();
    let store = match database {
        None => {
            let zone = seeded(&seed, config, setup)?;
            Store::new(&config.origin, zone, Vec::new(), None, &seed, clock)
        }
        Some(directory) => kept(&directory, &seed, config, setup)?,
    };
    Ok(Arc::clone(place.insert(Arc::new(store))))
}

/// The store of a zone that is kept on disk.
fn kept(
    directory: &Path,
    seed: &Path,
    config: &Config<'_>,
    setup: &mut Setup<'_>,
) -> Result<Store, Diagnostics> {
    let span = config.database.map_or(config.span, |token| token.span);
    if std::fs::metadata(directory).is_ok_and(|found| !found.is_dir()) {
        let message = format!("`{}` is not a directory", directory.display());
        return Err(Diagnostic::error(span, message)
            .label("the database is a directory")
            .help("name a directory; a database file of CoreDNS cannot be read: transfer the zone from it")
            .into());
    }
    let (journal, recovered) = Journal::read(directory, &config.origin).map_err(|error| {
        Diagnostic::error(span, error.to_string())
            .label(format!("zone `{}` is not served without its database", config.origin))
            .help("the seed is not used instead, because that would undo confirmed updates")
    })?;
    let clock = setup.clock();
    let Some(zone) = recovered.zone else {
        let zone = seeded(seed, config, setup)?;
        return Ok(Store::new(&config.origin, zone, Vec::new(), Some(journal), directory, clock));
    };
    warn_of_newer_seed(seed, journal.begun(), config, setup);
    let store =
        Store::new(&config.origin, Some(zone), recovered.history, Some(journal), directory, clock);
    recovered.cut.iter().for_each(|cut| store.log_cut(cut));
    Ok(store)
}

/// Warns if the file was changed after the database began: the change has no effect.
fn warn_of_newer_seed(
    seed: &Path,
    begun: Option<SystemTime>,
    config: &Config<'_>,
    setup: &mut Setup<'_>,
) {
    let changed = Stamp::of(seed).ok().and_then(|stamp| stamp.modified());
    if begun.zip(changed).is_none_or(|(begun, changed)| changed <= begun) {
        return;
    }
    let message = format!("`{}` is newer than the database", seed.display());
    let warning = Diagnostic::warning(config.file.span, message)
        .label("it is not read: the database wins")
        .help("change the zone by updates, or move its database away to begin with the file again");
    setup.warn(warning);
}

/// The zone in the file; `None` if the file is missing.
///
/// # Errors
/// The file has mistakes, or the zone has signatures or digests, which an update would make wrong.
fn seeded(
    seed: &Path,
    config: &Config<'_>,
    setup: &mut Setup<'_>,
) -> Result<Option<Zone>, Diagnostics> {
    let span = config.file.span;
    let zone = seed::read(seed, &config.origin, span, setup.warnings())?;
    let Some(rtype) = zone.as_ref().and_then(update::holds_signatures) else { return Ok(zone) };
    let message = format!("zone `{}` has {rtype} records", config.origin);
    Err(Diagnostic::error(span, message)
        .label("an update would make them wrong")
        .help("begin with the unsigned zone, and sign it behind this server")
        .into())
}

/// The plugin's part of its authority: the zones in the order of the directives.
struct Keep {
    zones: Box<[Arc<Updated>]>,
}

/// A zone and who may change it.
struct Updated {
    store: Arc<Store>,
    policy: Policy,
    bounds: Bounds,
    counters: Counters,
    log: Mutex<Log>,
}

/// When a refused update was logged last, and how many were not since.
#[derive(Default)]
struct Log {
    last: Option<Moment>,
    unlogged: u64,
}

impl Keeper for Keep {
    fn update(&self) -> Option<&dyn TakesMessages> {
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
        Box::pin(async move {
            let found = self.zones.iter().find(|known| Arc::ptr_eq(known.store.live(), &zone));
            let Some(found) = found else { return Ok(Step::Next) };
            let outcome = match found.admit(query) {
                Ok((update, key)) => found.update(&update, &key).await,
                Err(refusal) => Err(refusal),
            };
            let rcode = outcome.as_ref().err().map_or(Rcode::NOERROR, |refusal| refusal.rcode);
            found.counters.count(rcode, query.client.worker);
            if let Err(refusal) = &outcome {
                found.log(refusal, query);
            }
            reply.set_rcode(rcode);
            Ok(Step::Done)
        })
    }
}

impl Updated {
    /// Reads a message, and the key that signed it.
    ///
    /// # Errors
    /// The message asks for nothing that could be permitted.
    fn admit(&self, query: &Query) -> Result<(Update, Name), Refusal> {
        let origin = self.store.live().origin();
        // RFC 2136 section 3.1.2: NOTAUTH for a name that is not that of a zone.
        if query.name() != origin.as_wire() {
            let why = format!("the name is in zone `{origin}`, but not that of a zone");
            return Err(Refusal::new(Rcode::NOTAUTH, why));
        }
        let update = Update::parse(query)?;
        let Some(key) = query.signer_key() else {
            return Err(Refusal::new(Rcode::REFUSED, "it has no signature"));
        };
        // A key without any permission must not find out what the zone has.
        if !self.policy.knows(key) {
            let why = format!("no `allow` for key `{}`", wire::name::Text(key));
            return Err(Refusal::new(Rcode::REFUSED, why));
        }
        if update.records() > self.bounds.update_records {
            let (has, most) = (update.records(), self.bounds.update_records);
            let why = format!("{has} records are more than `max_update_records {most}`");
            return Err(Refusal::new(Rcode::REFUSED, why));
        }
        let key = Name::from_wire(key)
            .map_err(|_| Refusal::new(Rcode::FORMERR, "the name of the key is malformed"))?;
        Ok((update, key))
    }

    async fn update(&self, update: &Update, key: &Name) -> Result<(), Refusal> {
        let allows = |entry: &Entry| self.policy.allows(key.as_wire(), entry);
        self.store.update(update, allows, &self.bounds).await
    }

    /// Logs why an update is not made. Prerequisites that do not hold are the client's business.
    fn log(&self, refusal: &Refusal, query: &Query) {
        if !matches!(refusal.rcode, Rcode::REFUSED | Rcode::NOTAUTH | Rcode::SERVFAIL) {
            return;
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let now = query.client.now;
        if log.last.is_some_and(|last| now.since(last) < QUIET) {
            log.unlogged += 1;
            return;
        }
        log.last = Some(now);
        let more = match std::mem::take(&mut log.unlogged) {
            0 => String::new(),
            count => format!(" ({count} others were refused since the last line)"),
        };
        let (zone, from) = (self.store.live().origin(), query.client.peer.ip());
        telemetry::warning!("plugin/dynupdate: zone `{zone}`: update from {from}: {refusal}{more}");
    }
}

/// A counter for each rcode.
struct Counters([(Rcode, Counter); RCODES.len()]);

const RCODES: [Rcode; 11] = [
    Rcode::NOERROR,
    Rcode::FORMERR,
    Rcode::SERVFAIL,
    Rcode::NXDOMAIN,
    Rcode::NOTIMP,
    Rcode::REFUSED,
    Rcode::YXDOMAIN,
    Rcode::YXRRSET,
    Rcode::NXRRSET,
    Rcode::NOTAUTH,
    Rcode::NOTZONE,
];

impl Counters {
    fn new(origin: &Name) -> Self {
        let zone = origin.to_string();
        Self(RCODES.map(|rcode| {
            let counter = metrics::counter(
                "catena_dynupdate_updates_total",
                "updates of a zone, by the rcode of the reply",
                &["zone", "rcode"],
                &[&zone, &rcode.to_string()],
            );
            (rcode, counter)
        }))
    }

    fn count(&self, rcode: Rcode, worker: usize) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == rcode) {
            counter.inc(worker);
        }
    }
}
