//! The `cache` directive as a whole: its arguments, its options, and which of them go together.

use chain::ZoneSet;
use chain::admin::AdminConfig;
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::Name;

use super::Config;
use super::options::{ecs, lifetime, limits, prefer, prefetch, servfail, snapshot, stale};

const OPTIONS: &[&str] = &[
    "success",
    "denial",
    "prefetch",
    "serve_stale",
    "serve_stale_policy",
    "servfail",
    "disable",
    "keepttl",
    "ecs",
    "admin",
    "snapshot",
];

impl Config {
    /// Parses the directive. `block_zones` are its default zones. Warnings are added to `warnings`.
    ///
    /// # Errors
    /// All mistakes in the directive.
    pub(in crate::cache) fn parse(
        directive: &Directive,
        block_zones: &[Name],
        warnings: &mut Diagnostics,
    ) -> Result<Self, Diagnostics> {
        let mut config = Self::default();
        let mut problems = Diagnostics::default();
        if let Err(problem) = config.head(directive, block_zones) {
            problems.push(problem);
        }
        let mut policy = None;
        let mut stale_given = false;
        for option in directive.options() {
            let read = match option.name.as_str() {
                "success" => limits(option, &mut config.success, warnings),
                "denial" => limits(option, &mut config.denial, warnings),
                "prefetch" => prefetch(option).map(|prefetch| config.prefetch = prefetch),
                "serve_stale" => {
                    stale_given = true;
                    stale(option).map(|stale| config.stale = stale)
                }
                "serve_stale_policy" if policy.is_some() => Err(Diagnostic::error(
                    option.name.span,
                    "`serve_stale_policy` is specified twice",
                )
                .help("keep one of them")),
                "serve_stale_policy" => {
                    policy = Some(option.name.span);
                    prefer(option).map(|()| config.prefer_positive = true)
                }
                "servfail" => servfail(option).map(|seconds| config.servfail = seconds),
                "disable" => config.disable(option),
                "ecs" => ecs(option).map(|most| config.ecs = Some(most)),
                "admin" => AdminConfig::parse(option).map(|admin| config.admin = Some(admin)),
                "snapshot" => snapshot(option).map(|snapshot| config.snapshot = Some(snapshot)),
                "keepttl" => option.args().end().map(|()| config.keepttl = true),
                _ => Err(directive.unknown_option(option, OPTIONS)),
            };
            if let Err(problem) = read.and_then(|()| option.no_body()) {
                problems.push(problem);
            }
        }
        if let Some(span) = policy.filter(|_| !stale_given) {
            problems.push(
                Diagnostic::error(span, "`serve_stale_policy` needs `serve_stale`")
                    .help("add the option `serve_stale`, or remove this one"),
            );
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    /// `cache [TTL] [ZONES...]`.
    fn head(&mut self, directive: &Directive, block_zones: &[Name]) -> Result<(), Diagnostic> {
        let mut args = directive.args();
        // A number is the TTL. Any other first argument is a zone.
        if let Some(token) = args.peek()
            && token.as_str().parse::<i64>().is_ok()
        {
            let ttl = lifetime(token)?;
            args.next();
            self.success.max_ttl = ttl;
            self.denial.max_ttl = ttl;
        }
        let zones = args.remaining();
        self.zones = ZoneSet::from_args(zones, block_zones)?;
        let mut names = Vec::new();
        for zone in zones {
            names.extend(chain::zones::parse(zone)?);
        }
        let names = if zones.is_empty() { block_zones } else { &names };
        let texts: Vec<String> = names.iter().map(|zone| zone.to_lower().to_string()).collect();
        self.zones_label = texts.join(",");
        Ok(())
    }

    /// `disable success|denial [ZONES...]`.
    fn disable(&mut self, option: &Directive) -> Result<(), Diagnostic> {
        let mut args = option.args();
        let partition = args.required("success or denial")?;
        let zones = ZoneSet::from_args(args.remaining(), &[Name::root()])?;
        match partition.as_str() {
            "success" => self.success.disabled = zones,
            "denial" => self.denial.disabled = zones,
            other => {
                return Err(Diagnostic::error(partition.span, format!("unknown cache `{other}`"))
                    .label("expected `success` or `denial`")
                    .help("write `disable success` or `disable denial`, then the zones"));
            }
        }
        Ok(())
    }
}
