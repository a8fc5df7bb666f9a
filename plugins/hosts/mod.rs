//! `hosts`: answers from a hosts file and from lines in the Corefile.
//!
//! It answers A, AAAA and PTR queries from tables in memory. A background task reads the file again
//! when it changes. The plugin never queries another server.

mod answer;
mod config;
mod parse;
mod source;
mod table;

use std::io::{self, ErrorKind};
use std::sync::Arc;

use chain::{Batch, Kind, Query, Reply, Roles, ServeDns, Served, Setup, Step};
use corefile::{Diagnostic, Diagnostics, Directive};
use telemetry::metrics::{self, Gauge};
use wire::Rtype;

use answer::{Answer, Found};
use config::Config;
use parse::Rules;
use source::HostsFile;
use table::Table;

/// The `hosts` directive.
pub static PLUGIN: Kind = Kind {
    name: "hosts",
    doc: include_str!("README.md"),
    once: true,
    answers: true,
    setup,
    baseline_metrics: || {
        last_change();
    },
    listener: false,
    without_corefile: None,
};

/// When a hosts file last changed, in seconds since 1970.
fn last_change() -> Gauge {
    let help = "The timestamp of the last reload of hosts file.";
    metrics::gauge("coredns_hosts_reload_timestamp_seconds", help, &[], &[])
}

struct Hosts {
    config: Config,
    file: Arc<HostsFile>,
    inline: Arc<Table>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (config, warnings) = config::parse(uses, &setup.zones())?;
    setup.warn_all(warnings);
    for directive in uses {
        setup.warn_outside(directive.args.get(1..).unwrap_or_default());
    }
    let path = match &config.file {
        Some(token) => setup.path(token),
        None => "/etc/hosts".into(),
    };
    let rules = Rules {
        zones: config.zones.clone(),
        reverse: config.reverse,
        // Without fallthrough the plugin answers NXDOMAIN, so it must know the empty non-terminals.
        ancestors: !config.falls_through_always,
    };
    let inline = Arc::new(parse::table(config.inline.as_bytes(), &rules).unwrap_or_default());
    let key = format!("hosts {} {rules:?}", path.display());
    let file = setup.keep(key, || HostsFile::new(path.clone(), rules));
    if let Some(token) = &config.file {
        let shown = path.display();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => setup.warn(
                Diagnostic::warning(token.span, format!("hosts file `{shown}` is a directory"))
                    .label("no hosts can be read from here")
                    .help("name a file")
                    .logged(format!("plugin/hosts: Hosts file {path:?} is a directory")),
            ),
            Ok(_) => {
                let unfit = |error: &io::Error| {
                    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge)
                };
                // Temporary problems, such as permissions, are logged when the file is read.
                if let Some(error) = files::open(&path, source::MAX_FILE).err().filter(unfit) {
                    return Err(config.unreadable(&error).into());
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                setup.warn(
                    Diagnostic::warning(token.span, format!("hosts file `{shown}` does not exist"))
                        .label("no hosts can be read from here yet")
                        .help("check the path and `root`; a server reads the file once it is there")
                        .logged(format!("plugin/hosts: File does not exist: {shown}")),
                );
            }
            Err(error) => return Err(config.unreadable(&error).into()),
        }
    }
    file.renew();
    let entries = metrics::gauge(
        "coredns_hosts_entries",
        "The combined number of entries in hosts and Corefile.",
        &["hostsfile"],
        &[&path.display().to_string()],
    );
    let reloaded = last_change();
    let (every, watched, more) = (config.reload, Arc::clone(&file), inline.entries());
    let measure = move |file: &HostsFile| {
        entries.set((file.table().entries() + more) as f64);
        if let Some(modified) = file.modified() {
            reloaded.set(modified);
        }
    };
    let schedule = setup.poll_schedule([path.as_path()].into_iter());
    setup.task(move || async move {
        measure(&watched);
        if !every.is_zero() {
            source::watch(watched, schedule, every, measure).await;
        }
    });
    setup.link(Hosts { config, file, inline });
    Ok(())
}

impl ServeDns for Hosts {
    fn prefetch(&self, batch: Batch<'_>, stage: u8) {
        let file = self.file.table();
        if !file.is_large() {
            return;
        }
        for query in batch.queries() {
            if matches!(query.qtype(), Rtype::A | Rtype::AAAA) {
                file.prefetch(query.suffix_hash(0), stage);
            }
        }
    }

    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let zone = self.config.zones.find(query);
        let qtype = query.qtype();
        if zone.is_none() && qtype != Rtype::PTR {
            return Ok(Step::Next);
        }
        let file = self.file.table();
        let tables = [&**file, &*self.inline];
        let mut answer = Answer { query, reply, ttl: self.config.ttl };
        if qtype == Rtype::PTR {
            // Reverse zones need not be listed: an unknown address in them falls through.
            let found = answer.names(tables);
            return Ok(if found { Step::Done } else { Step::Next });
        }
        let Some((apex, _)) = zone else { return Ok(Step::Next) };
        let supported = matches!(qtype, Rtype::A | Rtype::AAAA);
        if !supported
            && self.config.fallthrough_unsupported
            && self.config.fallthrough.allows(query)
        {
            return Ok(Step::Next);
        }
        if let Some(found) = Found::of(query, tables) {
            let mut answer = Answer { query, reply, ttl: self.config.ttl };
            if !(supported && answer.addresses(tables, found)) {
                answer.no_data(apex);
            }
            return Ok(Step::Done);
        }
        if self.config.fallthrough.allows(query) {
            return Ok(Step::Next);
        }
        let is_apex = apex == 0;
        let has_children = tables.iter().any(|table| table.is_ancestor(query.suffix_hash(0)));
        let mut answer = Answer { query, reply, ttl: self.config.ttl };
        match (is_apex, has_children) {
            (true, _) if qtype == Rtype::SOA => answer.soa(),
            // RFC 8020: a name with other names below it exists, and so does the zone's apex.
            (true, _) | (_, true) => answer.no_data(apex),
            (false, false) => answer.name_error(apex),
        }
        Ok(Step::Done)
    }

    fn roles(&self) -> Roles<'_> {
        // A small table stays in the processor's cache.
        Roles { prefetch_stages: 2, ..Roles::default() }
    }
}
