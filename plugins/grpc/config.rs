//! The `grpc` directive as plain values. `src/upstream` parses the options of the upstreams.

use chain::{Fallthrough, ZoneSet, zones};
use corefile::{Args, Diagnostic, Diagnostics, Directive};
use upstream::{GrpcConfig, at_least_one};
use wire::Name;

/// A `grpc` directive.
pub(super) struct Config {
    /// The zone whose queries are sent to the upstreams.
    pub(super) from: Name,
    /// The options that only `grpc` has.
    pub(super) options: Options,
    /// The upstreams and their options.
    pub(super) upstreams: GrpcConfig,
}

/// The options that only `grpc` has.
#[derive(Default)]
pub(super) struct Options {
    /// The zones whose queries are not.
    pub(super) except: ZoneSet,
    /// The same as they are read.
    excepted: Vec<Name>,
    /// The zones whose queries go to the next plugin when the upstreams have no answer.
    pub(super) fallthrough: Fallthrough,
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
        let upstreams = GrpcConfig::read(directive, to, &mut options)?;
        options.except = ZoneSet::new(std::mem::take(&mut options.excepted));
        Ok(Self { from: zone, options, upstreams })
    }
}

impl upstream::PluginOptions for Options {
    const NAMES: &'static [&'static str] = &["except", "fallthrough"];

    fn read(&mut self, option: &Directive) -> Result<(), Diagnostic> {
        let mut args = option.args();
        if option.name.as_str() == "except" {
            for token in at_least_one(option, &mut args, "a zone")? {
                self.excepted.extend(zones::parse(token)?);
            }
        } else {
            self.fallthrough = Fallthrough::from_args(args.remaining())?;
        }
        Ok(())
    }
}

/// **FROM**: the first of the zones that it expands to.
fn from(args: &mut Args<'_>, warnings: &mut Diagnostics) -> Result<Name, Diagnostic> {
    let from = args.required("FROM")?;
    let zones = zones::parse(from)?;
    if zones.len() > 1 {
        let (word, count) = (from.as_str(), zones.len());
        let message = format!("`{word}` expands to {count} zones, but `grpc` takes one");
        warnings.push(
            Diagnostic::warning(from.span, message)
                .label("only the first zone is forwarded")
                .help("write a longer prefix, or one server block for each zone"),
        );
    }
    Ok(zones.into_iter().next().unwrap_or_else(Name::root))
}
