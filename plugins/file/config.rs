//! The arguments of `file`.

use std::time::Duration;

use chain::admin::AdminConfig;
use chain::{Fallthrough, zones};
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Name;
use zonefiles::Watch;

/// All `file` directives of a server block.
#[derive(Clone, Debug, Default)]
pub(super) struct Config<'a> {
    pub(super) files: Vec<File<'a>>,
    pub(super) fallthrough: Fallthrough,
    /// The endpoint that lists the zones of the server.
    pub(super) admin: Option<AdminConfig>,
}

/// One directive.
#[derive(Clone, Debug)]
pub(super) struct File<'a> {
    /// The path of the master file, as written.
    pub(super) path: &'a Token,
    /// The zones that are loaded from it.
    pub(super) origins: Vec<Name>,
    pub(super) watch: Watch,
    pub(super) on_error: OnError,
}

/// The effect of a zone file with mistakes on a new configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnError {
    /// The configuration is refused.
    #[default]
    Stop,
    /// Its zone is not served; all other zones are.
    Skip,
}

const OPTIONS: &[&str] =
    &["reload", "reload_by_mtime", "on_error", "fallthrough", "admin", "upstream"];

/// Parses the directives of a block, whose zones are `default`. Returns the configuration and its
/// warnings.
///
/// As in CoreDNS the directives of a block share one plugin: the last `fallthrough` applies to all of
/// them, and `reload` and `reload_by_mtime` apply to their own directive and later ones.
pub(super) fn parse<'a>(
    uses: &[&'a Directive],
    default: &[Name],
) -> Result<(Config<'a>, Diagnostics), Diagnostics> {
    let mut config = Config::default();
    let mut warnings = Diagnostics::default();
    let mut errors = Diagnostics::default();
    let mut watch = Watch::default();
    for directive in uses {
        let mut args = directive.args();
        let path = args.required("DBFILE");
        let origins = origins(args.remaining(), default, &mut errors);
        let mut on_error = OnError::default();
        for option in directive.options() {
            let read = match option.name.as_str() {
                "on_error" => self::on_error(option).map(|found| on_error = found),
                _ => one(option, directive, &mut config, &mut watch, &mut warnings),
            };
            errors.extend(read.err());
        }
        match path {
            Ok(path) => config.files.push(File { path, origins, watch, on_error }),
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok((config, warnings)) }
}

fn origins(args: &[Token], default: &[Name], errors: &mut Diagnostics) -> Vec<Name> {
    if args.is_empty() {
        return default.to_vec();
    }
    let mut origins: Vec<Name> = Vec::new();
    for arg in args {
        match zones::parse(arg) {
            Ok(found) => origins.extend(found),
            Err(error) => errors.push(error),
        }
    }
    origins
}

fn on_error(option: &Directive) -> Result<OnError, Diagnostic> {
    let mut args = option.args();
    let word = args.required("`skip` or `stop`")?;
    args.end()?;
    option.no_body()?;
    match word.as_str() {
        "skip" => Ok(OnError::Skip),
        "stop" => Ok(OnError::Stop),
        other => {
            Err(Diagnostic::error(word.span, format!("`{other}` is neither `skip` nor `stop`"))
                .label("expected `skip` or `stop`")
                .help(
                    "`on_error skip` serves everything but this zone if its file has mistakes; \
                 `on_error stop` serves nothing then",
                ))
        }
    }
}

fn one(
    option: &Directive,
    directive: &Directive,
    config: &mut Config<'_>,
    watch: &mut Watch,
    warnings: &mut Diagnostics,
) -> Result<(), Diagnostic> {
    let mut args = option.args();
    match option.name.as_str() {
        "reload" => {
            watch.every = args.value::<Duration>("DURATION")?;
            args.end()?;
        }
        "reload_by_mtime" => {
            watch.by_mtime = true;
            args.end()?;
        }
        "admin" => config.admin = Some(AdminConfig::parse(option)?),
        "fallthrough" => config.fallthrough = Fallthrough::from_args(args.remaining())?,
        "upstream" => warnings.push(
            Diagnostic::warning(option.name.span, "`upstream` has no effect")
                .label("ignored")
                .help("remove it: the server itself resolves CNAME targets outside the zone"),
        ),
        _ => return Err(directive.unknown_option(option, OPTIONS)),
    }
    option.no_body()
}
