//! `file`: answers authoritatively from zones in master files.
//!
//! Reading is `zone::master`, storing and looking up is `zone`; here are the files, when they are
//! read again, and what follows from what a zone says. It never reads a file on a worker's thread.

mod config;
mod load;
mod report;
mod source;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chain::{
    Batch, BoxFuture, ChainRef, Failure, Fallthrough, Kind, Next, OnNotify, Query, Ready, Reply,
    Resolver, Roles, Sees, ServeDns, Served, Setup, Step,
};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use wire::name::NameBuf;
use wire::{Class, Name, Rcode, Section, SuffixMap};
use zone::{Outcome, Zone};

use config::{OnError, Watch};
use load::{Problem, Warnings};
use source::ZoneFile;

/// The `file` directive.
pub static PLUGIN: Kind =
    Kind { name: "file", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses, &setup.zones())?;
    setup.warn_all(warnings);
    for directive in uses {
        setup.warn_outside(directive.args.get(1..).unwrap_or_default());
    }
    if config.fallthrough == Fallthrough::NEVER {
        setup.ends(config.files.iter().flat_map(|file| file.origins.iter().cloned()));
    }
    setup.owns(config.files.iter().flat_map(|file| &file.origins));
    let mut errors = Diagnostics::default();
    let mut all: Vec<Arc<ZoneFile>> = Vec::new();
    let mut skipping: Vec<Arc<ZoneFile>> = Vec::new();
    let mut watched: Vec<(Watch, Vec<Arc<ZoneFile>>)> = Vec::new();
    for file in config.files {
        let path = setup.path(file.path);
        let mut findings = Findings::default();
        for origin in &file.origins {
            let (source, found) = open(setup, &path, origin, file.on_error);
            let warnings = setup.warnings();
            if let Err(wrong) = findings.take(found, &file, (origin, &source), warnings) {
                // A file may be loaded for many zones: its mistakes are reported once.
                errors.extend(wrong);
                break;
            }
            if file.on_error == OnError::Skip {
                skipping.push(Arc::clone(&source));
            }
            // As in CoreDNS the last file of a zone wins.
            if let Some(at) = all.iter().position(|known| known.origin == *origin) {
                let message = format!("zone `{origin}` was given a file before");
                let warning = Diagnostic::warning(file.path.span, message)
                    .label("this file replaces it")
                    .help("remove one of the two, or list the zones of each");
                setup.warn(warning);
                let before = all.remove(at);
                skipping.retain(|known| !Arc::ptr_eq(known, &before));
                for (_, sources) in &mut watched {
                    sources.retain(|known| !Arc::ptr_eq(known, &before));
                }
            }
            all.push(Arc::clone(&source));
            match watched.iter_mut().find(|(watch, _)| *watch == file.watch) {
                Some((_, sources)) => sources.push(source),
                None => watched.push((file.watch, vec![source])),
            }
        }
        if let Some(why) = findings.missing {
            let warning = absent(&path, &why, file.watch, file.path.span);
            setup.warn(warning);
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    for (watch, sources) in watched {
        if !watch.every.is_zero() {
            let schedule = setup.poll_schedule(sources.iter().map(|source| source.path()));
            let own_zones = setup.own_zones();
            setup.task(move || source::watch(sources, own_zones, schedule, watch));
        }
    }
    let plugin = File {
        zones: SuffixMap::new(all),
        skipping: skipping.into(),
        fallthrough: config.fallthrough,
        collects_metadata: setup.has_metadata(),
        resolver: setup.resolver(),
        chain_ref: setup.chain_ref(),
        is_last: OnceLock::new(),
    };
    setup.link(plugin);
    Ok(())
}

/// The findings about one file, which may be loaded for several zones.
#[derive(Default)]
struct Findings {
    /// Why it cannot be opened, if it may appear later.
    missing: Option<String>,
    /// Whether its mistakes have been reported.
    reported: bool,
}

impl Findings {
    /// Adds the result of loading the file for one zone. Findings that are no errors become warnings.
    ///
    /// # Errors
    /// The mistakes that prevent the configuration from being served.
    fn take(
        &mut self,
        found: Result<Warnings, Problem>,
        file: &config::File<'_>,
        (origin, source): (&Name, &ZoneFile),
        warnings: &mut Diagnostics,
    ) -> Result<(), Diagnostics> {
        let span = file.path.span;
        let stops = file.on_error == OnError::Stop;
        match found {
            Ok(found) => {
                for warning in report::warnings(found, origin, span) {
                    // Another zone of the same file may have the same mistake.
                    let same = |known: &Diagnostic| {
                        (&known.message, &known.places) == (&warning.message, &warning.places)
                    };
                    if !warnings.iter().any(same) {
                        warnings.push(warning);
                    }
                }
            }
            Err(Problem::Open(error)) => {
                let (path, why) = (source.path(), load::io_error_text(&error));
                if stops && file.watch.every.is_zero() {
                    return Err(cannot_open(path, &why, span).into());
                }
                self.missing = Some(why);
            }
            Err(Problem::Text(wrong)) if stops => {
                return Err(Diagnostics(report::errors(wrong, origin, span).collect()));
            }
            Err(Problem::Text(wrong)) => {
                if !std::mem::replace(&mut self.reported, true) {
                    warnings.extend(report::skipped(wrong, origin, span, source.is_loaded()));
                }
            }
        }
        Ok(())
    }
}

/// The warning about a file that may appear later. The log has CoreDNS's words.
fn absent(path: &Path, why: &str, watch: Watch, span: Span) -> Diagnostic {
    let shown = path.display();
    let open = format!("open {shown}: {why}");
    let when = match watch.every {
        every if every.is_zero() => "at the next reload of the Corefile".to_owned(),
        every => format!("in {}", corefile::show_duration(every)),
    };
    Diagnostic::warning(span, format!("cannot open `{shown}`: {why}"))
        .label("no zone can be loaded from this file yet")
        .help(format!("check the path and `root`; the server tries again {when}"))
        .logged(format!("plugin/file: Failed to open {open:?}: trying again {when}"))
}

/// The source of a zone: the current one if its files have not changed, otherwise a new one that is
/// loaded now, and the findings of that.
fn open(
    setup: &Setup<'_>,
    path: &Path,
    origin: &Name,
    on_error: OnError,
) -> (Arc<ZoneFile>, Result<Warnings, Problem>) {
    type Place = Mutex<Option<Arc<ZoneFile>>>;
    let key = format!("file {origin} {}", path.display());
    let place: Arc<Place> = setup.keep(key, Place::default);
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*place
        && known.is_current()
    {
        return (Arc::clone(known), Ok(Warnings::default()));
    }
    // A new object, so that the running server keeps its zone if this configuration fails.
    let source = Arc::new(ZoneFile::new(origin.clone(), path.to_owned()));
    let failed = match source.load() {
        Ok(fresh) => {
            *place = Some(Arc::clone(&source));
            return (source, Ok(fresh.warnings));
        }
        Err(failed) => failed,
    };
    if matches!(failed.problem, Problem::Text(_)) && on_error == OnError::Stop {
        return (source, Err(failed.problem));
    }
    // A file that is temporarily missing or wrong does not end the service of its zone.
    let stays = Arc::clone(place.get_or_insert(source));
    stays.failed(&failed);
    (stays, Err(failed.problem))
}

fn cannot_open(path: &Path, why: &str, span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("cannot open `{}`: {why}", path.display()))
        .label("no zone can be read from here")
        .help("check the path and `root`, or let the file come later with `reload`")
}

const _: () = assert!(std::mem::offset_of!(File, fallthrough) <= 64);

/// The plugin: all zones of a block's `file` directives. The usual query reads one cache line of it.
#[repr(C, align(64))]
struct File {
    zones: SuffixMap<Arc<ZoneFile>>,
    /// Whether a plugin reads metadata.
    collects_metadata: bool,
    fallthrough: Fallthrough,
    resolver: Resolver,
    chain_ref: ChainRef,
    /// Whether no plugin follows in the chain. Set once the chain is complete.
    is_last: OnceLock<bool>,
    /// The zones that are skipped if their files have mistakes. Readiness reports them.
    skipping: Box<[Arc<ZoneFile>]>,
}

impl Ready for File {
    fn ready(&self) -> Result<(), String> {
        let missing = self.skipping.iter().filter(|source| !source.is_loaded());
        let names: Vec<String> = missing.map(|source| source.origin.to_string()).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("not loaded: {}", names.join(" "))) }
    }
}

impl ServeDns for File {
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        if let Some(only) = self.zones.only() {
            // A useless hint for a query of another zone costs less than a check.
            return only.prefetch(stage, batch.queries());
        }
        for query in batch.queries() {
            if let Some((source, _)) = self.zones.find(query) {
                source.prefetch(stage, std::iter::once(query));
            }
        }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let Some((source, _)) = self.zones.find(query) else {
            return self.outside_zones();
        };
        if query.qtype().is_transfer() || query.qclass() != Class::IN {
            return refuse();
        }
        let guard = source.zone();
        let Some(zone) = &*guard else {
            return Err(source.failure());
        };
        match zone.answer(query, reply) {
            Outcome::External { target } => self.leave(zone, query, reply, target.as_wire()),
            outcome => self.conclude(zone, &outcome, query, reply),
        }
    }

    fn roles(&self) -> Roles<'_> {
        let reads = std::mem::offset_of!(Self, fallthrough);
        let ready = (!self.skipping.is_empty()).then_some(self as &dyn Ready);
        Roles {
            reads,
            ready,
            sees: Sees::TRANSFERS,
            notify: Some(self),
            prefetch_stages: source::PREFETCH_STAGES,
            ..Roles::default()
        }
    }

    /// Called only for aliases that lead to another zone of this server.
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            reply.clear();
            let Some((source, _)) = self.zones.find(query) else {
                return self.outside_zones();
            };
            let Some(zone) = source.zone_to_keep() else {
                return Err(source.failure());
            };
            // A newer version of the zone, with another answer, may have been published meanwhile.
            let step = match zone.answer(query, reply) {
                Outcome::External { target } => {
                    let found = self.resolver.lookup(query, target.as_wire(), query.qtype()).await;
                    match found {
                        Some(found) => zone.complete_alias(query, reply, &found),
                        None => zone.push_authority(query, reply),
                    }
                    self.note_wildcard(&zone, query);
                    Step::Done
                }
                outcome => self.conclude(&zone, &outcome, query, reply)?,
            };
            if step == Step::Next {
                next.run(query, reply).await;
            }
            Ok(Step::Done)
        })
    }
}

impl File {
    /// The step after the zone's answer.
    #[inline]
    fn conclude(
        &self,
        zone: &Zone,
        outcome: &Outcome,
        query: &mut Query,
        reply: &mut Reply,
    ) -> Served {
        match outcome {
            Outcome::Answered => self.note_wildcard(zone, query),
            Outcome::NxDomain | Outcome::EmptyNonTerminal => {
                // A chain of aliases without a target is an answer, too.
                if reply.count(Section::Answer) == 0 && self.fallthrough.allows(query) {
                    reply.clear();
                    return Ok(Step::Next);
                }
            }
            Outcome::ServFail(why) => return Err(Failure::servfail(*why)),
            Outcome::Referral | Outcome::NoData | Outcome::External { .. } => {}
        }
        Ok(Step::Done)
    }

    /// The step after an alias out of the zone. It is followed if it leads to a zone of this server.
    #[cold]
    fn leave(&self, zone: &Zone, query: &mut Query, reply: &mut Reply, target: &[u8]) -> Served {
        if Resolver::is_too_deep(query) {
            return Err(Failure::servfail("too many CNAME records lead from zone to zone"));
        }
        if self.resolver.is_served(query, target) {
            return Ok(Step::Wait);
        }
        zone.push_authority(query, reply);
        self.note_wildcard(zone, query);
        Ok(Step::Done)
    }

    /// Notes the wildcard of a synthesized answer in the metadata.
    #[inline]
    fn note_wildcard(&self, zone: &Zone, query: &mut Query) {
        if self.collects_metadata && !zone.has_name(query.name()) {
            note_wildcard(zone, query);
        }
    }

    /// The step for a name in none of the zones. As in CoreDNS, a server without a plugin behind this
    /// one is authoritative only, and answers that it is not authoritative for the name.
    #[cold]
    fn outside_zones(&self) -> Served {
        let is_last = self.is_last.get_or_init(|| {
            let chain = self.chain_ref.chain();
            chain.is_some_and(|chain| chain.names().last() == Some(&PLUGIN.name))
        });
        if *is_last { Err(Failure::rcode(Rcode::REFUSED)) } else { Ok(Step::Next) }
    }
}

/// Refuses queries that a zone file does not answer: transfers (the `transfer` plugin runs earlier and
/// serves the permitted ones), and other classes.
#[cold]
fn refuse() -> Served {
    Err(Failure::rcode(Rcode::REFUSED))
}

impl OnNotify for File {
    /// A zone in a file has no primary server: its notifications are dropped, as in CoreDNS.
    fn on_notify<'a>(&'a self, query: &'a mut Query, _: &'a mut Reply) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let Some((source, _)) = self.zones.find(query) else {
                return self.outside_zones();
            };
            let from = query.client.peer.ip();
            telemetry::info!("plugin/file: Dropping notify from {from} for {}", source.origin);
            Ok(Step::Drop)
        })
    }
}

#[cold]
fn note_wildcard(zone: &Zone, query: &mut Query) {
    // RFC 4592 section 3.3.1: the wildcard is directly below the closest encloser.
    let Some(label) = (1..=query.labels()).find(|&label| zone.has_name(query.suffix(label))) else {
        return;
    };
    let mut wildcard = NameBuf::new();
    let whole = wildcard.push_label(b"*").and_then(|()| wildcard.push_name(query.suffix(label)));
    // Without a wildcard, the answer was synthesized from a DNAME.
    if whole.is_ok() && zone.has_name(wildcard.as_wire()) {
        query.set_metadata("zone/wildcard", || wildcard.to_name().to_string());
    }
}

#[cfg(test)]
mod tests;
