//! `tsig`: the keys of signed messages (RFC 8945), and the queries that must be signed.
//!
//! The server verifies signatures and signs replies itself, with the keys that are defined here. The plugin
//! refuses queries whose signature is missing or was not accepted. `config` parses the directive, and `source`
//! reads key files.

mod config;
mod source;

use chain::{CollectMetadata, Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
use corefile::{Diagnostic, Diagnostics, Directive};
use telemetry::metrics::{self, Counter};
use tsig::TsigError;
use wire::{Rcode, name};

use config::Config;
use source::Source;

/// The `tsig` directive.
pub static PLUGIN: Kind =
    Kind { name: "tsig", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let Some(directive) = uses.first() else { return Ok(()) };
    setup.warn_outside(&directive.args);
    let config = Config::read(directive, &setup.zones())?;
    let paths = config.files.iter().map(|token| setup.path(token)).collect();
    let source = Source::read(config.keys.clone(), paths).map_err(|(at, problem)| {
        let token = &config.files[at];
        let path = setup.path(token);
        let twice = match &problem {
            source::Problem::Twice(key) => config.place_of(key.name()),
            _ => None,
        };
        let shown = problem.diagnostic(token, &path);
        match twice {
            Some(earlier) => shown.also(earlier, "the Corefile defines it here"),
            None => shown,
        }
    })?;
    let keys = source.keys();
    if keys.load().is_empty() {
        let warning = Diagnostic::warning(directive.name.span, "`tsig` defines no key");
        setup.warn(match config.required.is_empty() {
            true => warning
                .label("it has no effect")
                .help("add `secret NAME KEY`, or remove the directive"),
            false => warning
                .label("it refuses queries that no client can sign")
                .help("add `secret NAME KEY`"),
        });
    }
    setup.set_keys(keys.clone(), directive.name.span);
    let counts = setup.keys().iter().map(|key| Counts::new(&key.server, setup.view())).collect();
    if !source.files().is_empty() {
        let failures = metrics::counter(
            "catena_tsig_reload_failures_total",
            "Changed key files that were not loaded because of a mistake.",
            &[],
            &[],
        );
        let schedule = setup.poll_schedule(source.files().iter().map(AsRef::as_ref));
        setup.task(move || source::watch(source, schedule, failures));
    }
    setup.link(TsigPlugin { config, counts });
    Ok(())
}

struct TsigPlugin {
    config: Config,
    /// In the order of the block's keys.
    counts: Box<[Counts]>,
}

/// The counters of one endpoint.
struct Counts {
    verified: Counter,
    /// In the order of [`ERRORS`].
    refused: [Counter; ERRORS.len()],
}

/// Why a query is refused, as a label.
const ERRORS: [(Option<TsigError>, &str); 5] = [
    (None, "UNSIGNED"),
    (Some(TsigError::BADKEY), "BADKEY"),
    (Some(TsigError::BADSIG), "BADSIG"),
    (Some(TsigError::BADTIME), "BADTIME"),
    (Some(TsigError::BADTRUNC), "BADTRUNC"),
];

impl Counts {
    fn new(server: &str, view: &str) -> Self {
        let verified = metrics::counter(
            "catena_tsig_verified_total",
            "Queries whose signature was accepted.",
            &["server", "view"],
            &[server, view],
        );
        let refused = ERRORS.map(|(_, error)| {
            metrics::counter(
                "catena_tsig_refused_total",
                "Queries refused because their signature was not accepted, or missing.",
                &["server", "view", "error"],
                &[server, view, error],
            )
        });
        Self { verified, refused }
    }
}

impl TsigPlugin {
    fn count(&self, query: &Query, signature: Option<TsigError>) {
        let Some(counts) = self.counts.get(usize::from(query.state.key)) else { return };
        let counter = match ERRORS.iter().position(|(error, _)| *error == signature) {
            Some(at) => &counts.refused[at],
            None => &counts.verified,
        };
        counter.inc(query.client.worker);
    }
}

impl ServeDns for TsigPlugin {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if !self.config.zones.contains(query) {
            return Ok(Step::Next);
        }
        match query.signature() {
            // A lookup of our own is not a client's.
            None if query.state.depth > 0 || !self.config.required.includes(query) => {
                Ok(Step::Next)
            }
            None => {
                telemetry::debug!(
                    "plugin/tsig: rejecting '{}' request without TSIG",
                    query.qtype()
                );
                self.count(query, None);
                reply.set_rcode(Rcode::REFUSED);
                Ok(Step::Done)
            }
            Some(TsigError::NONE) => {
                self.count(query, Some(TsigError::NONE));
                Ok(Step::Next)
            }
            // The server writes the refusal.
            Some(error) => {
                let why = match error {
                    TsigError::BADKEY => "dns: no secret found",
                    TsigError::BADTIME => "dns: bad time",
                    _ => "dns: bad signature",
                };
                telemetry::debug!("plugin/tsig: TSIG validation failed: {} {why}", query.qtype());
                self.count(query, Some(error));
                reply.set_rcode(Rcode::NOTAUTH);
                Ok(Step::Done)
            }
        }
    }

    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, metadata: Some(self), ..Roles::default() }
    }
}

impl CollectMetadata for TsigPlugin {
    fn collect(&self, query: &mut Query) {
        let Some(key) = query.signer_key().map(|key| name::Text(key).to_string()) else { return };
        query.set_metadata("tsig/key", || key);
    }
}
