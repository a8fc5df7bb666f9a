//! The `forward` directive as plain values. `src/upstream` parses the options of the upstreams.

use chain::{ZoneSet, zones};
use corefile::{Args, Diagnostic, Diagnostics, Directive};
use upstream::{Owner, at_least_one, metric_names, rcode};
use wire::{Name, Rcode};

/// The names of this plugin where its upstreams are logged, counted and recorded.
pub(super) static OWNER: Owner = Owner {
    name: "forward",
    metadata: "forward/upstream",
    metrics: metric_names!("forward"),
    broken: "coredns_forward_healthcheck_broken_total",
    rejected: "coredns_forward_max_concurrent_rejects_total",
    observer: None,
};

/// One `forward` directive.
pub(super) struct Config {
    /// Which names are forwarded.
    pub(super) from: Name,
    /// The options that only `forward` has.
    pub(super) options: Options,
    /// The upstreams and their options.
    pub(super) upstreams: upstream::Config,
}

/// The options that only `forward` has.
#[derive(Default)]
pub(super) struct Options {
    /// Which names are not forwarded.
    pub(super) except: ZoneSet,
    /// The same as they are read.
    excepted: Vec<Name>,
    /// Rcodes with which the query goes to the following `forward`.
    pub(super) next: Vec<Rcode>,
    /// Whether it also goes there after an answer without records.
    pub(super) next_on_nodata: bool,
}

impl Config {
    /// Reads a directive; warnings go to `warnings`.
    ///
    /// Errors: all mistakes in it.
    pub(super) fn read(
        directive: &Directive,
        warnings: &mut Diagnostics,
    ) -> Result<Self, Diagnostics> {
        let mut options = Options::default();
        let mut args = directive.args();
        let mut zone = Name::root();
        let to = from(&mut args, warnings).map(|from| {
            zone = from;
            args.remaining()
        });
        let upstreams = upstream::Config::read(&OWNER, directive, to, &mut options)?;
        options.except = ZoneSet::new(std::mem::take(&mut options.excepted));
        Ok(Self { from: zone, options, upstreams })
    }
}

impl upstream::PluginOptions for Options {
    const NAMES: &'static [&'static str] = &["except", "next", "next_on_nodata"];

    fn read(&mut self, option: &Directive) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "except" => {
                for token in at_least_one(option, &mut args, "a zone")? {
                    self.excepted.extend(zones::parse(token)?);
                }
            }
            "next" => {
                for token in at_least_one(option, &mut args, "an RCODE")? {
                    self.next.push(rcode(token)?);
                }
            }
            _ => {
                self.next_on_nodata = true;
                args.end()?;
            }
        }
        Ok(())
    }
}

/// **FROM**: the first of the zones that it expands to.
fn from(args: &mut Args<'_>, warnings: &mut Diagnostics) -> Result<Name, Diagnostic> {
    let from = args.required("FROM")?;
    let zones = zones::parse(from)?;
    if zones.len() > 1 {
        warnings.push(
            Diagnostic::warning(
                from.span,
                format!(
                    "`{}` expands to {} zones, but `forward` takes one",
                    from.as_str(),
                    zones.len()
                ),
            )
            .label("only the first zone is forwarded")
            .help("write one `forward` for each zone"),
        );
    }
    Ok(zones.into_iter().next().unwrap_or_else(Name::root))
}
