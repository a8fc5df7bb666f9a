//! The `secondary` directive as plain values.

use std::net::IpAddr;
use std::time::Duration;

use chain::{Fallthrough, KeyRef, Setup, zones};
use corefile::{Args, Cidr, Diagnostic, Diagnostics, Directive, FromToken, Span, Token};
use transfer::Limits;
use upstream::{Server, Tls};
use wire::Name;

use super::timers::Bounds;

/// The options, as `catena help secondary` lists them.
const OPTIONS: &[&str] = &[
    "transfer",
    "key",
    "tls",
    "tls_servername",
    "source",
    "allow_notify",
    "database",
    "refresh",
    "retry",
    "max_records",
    "max_bytes",
    "max_duration",
    "catalog",
    "max_members",
    "group",
    "fallthrough",
];
/// The options of a `group`: those above that say where zones come from, and how.
const GROUP_OPTIONS: &[&str] = &[
    "transfer",
    "key",
    "tls",
    "tls_servername",
    "source",
    "allow_notify",
    "database",
    "refresh",
    "retry",
    "max_records",
    "max_bytes",
    "max_duration",
];

/// Members of a catalog zone at most.
const MAX_MEMBERS: usize = 100_000;
/// Primaries of a zone at most.
const MAX_PRIMARIES: usize = 32;

/// One directive, or what it says for a group of members.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) zones: Vec<Name>,
    pub(super) span: Span,
    pub(super) primaries: Vec<Server>,
    pub(super) key: Option<KeyRef>,
    pub(super) tls: Tls,
    pub(super) servername: Option<String>,
    /// The local addresses, at most one for each family.
    pub(super) source: Vec<IpAddr>,
    /// Who may notify besides the primaries.
    pub(super) allow_notify: Vec<Cidr>,
    pub(super) database: Option<Token>,
    pub(super) limits: Limits,
    pub(super) bounds: Bounds,
    /// The zones are catalog zones. Their members are in these zones; without any, in all.
    pub(super) catalog: Option<Vec<Name>>,
    pub(super) max_members: usize,
    /// The options of members of groups, by the names of these.
    pub(super) groups: Vec<(Box<[u8]>, Self)>,
    /// The option, where this directive has it.
    pub(super) fallthrough: Option<Fallthrough>,
}

impl Config {
    /// Reads a directive.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn read(directive: &Directive, setup: &mut Setup<'_>) -> Result<Self, Diagnostics> {
        let mut config = Self {
            zones: Vec::new(),
            span: directive.span,
            primaries: Vec::new(),
            key: None,
            tls: Tls::default(),
            servername: None,
            source: Vec::new(),
            allow_notify: Vec::new(),
            database: None,
            limits: Limits::default(),
            bounds: Bounds::default(),
            catalog: None,
            max_members: MAX_MEMBERS,
            groups: Vec::new(),
            fallthrough: None,
        };
        let mut problems = Diagnostics::default();
        for arg in &directive.args {
            match zones::parse(arg) {
                Ok(found) => config.zones.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        if directive.args.is_empty() {
            config.zones = setup.zones();
        }
        let mut has_transfer = false;
        for option in directive.options() {
            has_transfer |= option.name.as_str() == "transfer";
            problems.extend(config.option(directive, option, setup).err());
        }
        if !has_transfer {
            problems.push(
                Diagnostic::error(
                    directive.span,
                    "secondary zones require a transfer from property",
                )
                .label("it does not say where the zones come from")
                .help("add a block with `transfer from ADDRESS`"),
            );
        }
        // A group has the options of the directive, wherever they are written.
        for option in directive.options().iter().filter(|option| option.name.as_str() == "group") {
            match config.group(option, setup) {
                Ok(group) => config.groups.push(group),
                Err(wrong) => problems.extend(wrong),
            }
        }
        config.warn_of_useless(directive, setup);
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    fn option(
        &mut self,
        directive: &Directive,
        option: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<(), Diagnostic> {
        let mut args = option.args();
        match option.name.as_str() {
            "transfer" => self.transfer(directive, option, &mut args, setup)?,
            "key" => self.key = Some(setup.tsig_key(args.required("the NAME of a key")?)?),
            "tls" => self.tls = upstream::tls(&mut args),
            "tls_servername" => {
                self.servername = Some(upstream::server_name(&mut args)?.as_str().to_owned());
            }
            "source" => self.source(&mut args)?,
            "allow_notify" => {
                for token in upstream::at_least_one(option, &mut args, "ADDRESS")? {
                    self.allow_notify.push(token.parse("ADDRESS")?);
                }
                return option.no_body();
            }
            "database" => self.database = Some(args.required("DIRECTORY")?.clone()),
            "refresh" => self.bounds.refresh = range(&mut args, self.bounds.refresh)?,
            "retry" => self.bounds.retry = range(&mut args, self.bounds.retry)?,
            "max_records" => self.limits.records = positive(&mut args)?,
            "max_bytes" => self.limits.octets = positive(&mut args)?,
            "max_duration" => {
                let token = args.required("DURATION")?;
                self.limits.total = token.parse("DURATION")?;
                if self.limits.total.is_zero() {
                    return Err(Diagnostic::error(token.span, "`max_duration` must be positive")
                        .label("a transfer needs time")
                        .help("write for example `2h`, the default"));
                }
            }
            "catalog" => return self.catalog(option),
            // Read when the other options are known.
            "group" => return Ok(()),
            "max_members" => self.max_members = positive::<u32>(&mut args)? as usize,
            "fallthrough" => {
                self.fallthrough = Some(Fallthrough::from_args(args.remaining())?);
                return option.no_body();
            }
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()?;
        option.no_body()
    }

    /// `group NAME { OPTIONS }`.
    fn group(
        &self,
        option: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<(Box<[u8]>, Self), Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut args = option.args();
        let token = args.required("the NAME of a group")?;
        args.end()?;
        let name: Box<[u8]> = token.as_str().as_bytes().into();
        if self.groups.iter().any(|(known, _)| *known == name) {
            return Err(Diagnostic::error(token.span, "the group was given before")
                .label("the second one")
                .help("write all options of a group into one block")
                .into());
        }
        let mut config = Self { span: option.span, groups: Vec::new(), ..self.clone() };
        // Lists of the group replace those of the directive.
        for line in option.options() {
            match line.name.as_str() {
                "transfer" => config.primaries.clear(),
                "source" => config.source.clear(),
                "allow_notify" => config.allow_notify.clear(),
                _ => {}
            }
        }
        for line in option.options() {
            if GROUP_OPTIONS.contains(&line.name.as_str()) {
                problems.extend(config.option(option, line, setup).err());
            } else {
                problems.push(option.unknown_option(line, GROUP_OPTIONS));
            }
        }
        config.warn_of_useless(option, setup);
        if problems.has_errors() { Err(problems) } else { Ok((name, config)) }
    }

    /// `transfer from ADDRESS...`.
    fn transfer(
        &mut self,
        directive: &Directive,
        option: &Directive,
        args: &mut Args<'_>,
        setup: &mut Setup<'_>,
    ) -> Result<(), Diagnostic> {
        let word = args.required("`from`")?;
        if word.as_str() != "from" {
            return Err(Diagnostic::error(
                word.span,
                format!("`transfer {}` is unknown", word.as_str()),
            )
            .label("expected `from`")
            .help(
                "write `transfer from ADDRESS`; the plugin `transfer` serves transfers to others",
            ));
        }
        if args.peek().is_none() {
            args.required("ADDRESS")?;
        }
        while let Some(token) = args.next() {
            if token.as_str() == "*" {
                return Err(Diagnostic::error(token.span, "can't use `*` in `transfer from`")
                    .label("a zone comes from certain servers")
                    .help("write the addresses of the primaries"));
            }
            let server = Server::read(token, directive.name.as_str(), setup.warnings())?;
            if !self.primaries.contains(&server) {
                self.primaries.push(server);
            }
        }
        if self.primaries.len() > MAX_PRIMARIES {
            return Err(Diagnostic::error(
                option.span,
                format!("a zone has at most {MAX_PRIMARIES} primaries"),
            )
            .label("more than that")
            .help("remove some of them"));
        }
        Ok(())
    }

    fn source(&mut self, args: &mut Args<'_>) -> Result<(), Diagnostic> {
        args.peek().map_or_else(|| args.required("ADDRESS").map(drop), |_| Ok(()))?;
        while let Some(token) = args.next() {
            let address: IpAddr = token.parse("ADDRESS")?;
            if self.source.iter().any(|known| known.is_ipv4() == address.is_ipv4()) {
                return Err(Diagnostic::error(
                    token.span,
                    "`source` takes one address of each family",
                )
                .label("the second one of its family")
                .help("write at most one IPv4 address and one IPv6 address"));
            }
            self.source.push(address);
        }
        Ok(())
    }

    /// `catalog [MEMBER-ZONES...]`. As in CoreDNS, several lines allow the members of all of them.
    fn catalog(&mut self, option: &Directive) -> Result<(), Diagnostic> {
        let mut within = Vec::new();
        for token in &option.args {
            if token.as_str().contains(':') {
                let text = token.as_str();
                return Err(Diagnostic::error(
                    token.span,
                    format!("invalid catalog member zone `{text}`"),
                )
                .label("expected a domain name")
                .help("write the zones in which members are accepted, without a port"));
            }
            within.extend(zones::parse(token)?);
        }
        self.catalog = Some(match self.catalog.take() {
            Some(known) if known.is_empty() || within.is_empty() => Vec::new(),
            Some(known) => known.into_iter().chain(within).collect(),
            None => within,
        });
        option.no_body()
    }

    fn warn_of_useless(&self, directive: &Directive, setup: &mut Setup<'_>) {
        let has_tls = self.primaries.iter().any(|server| server.tls.is_some());
        for option in directive.options() {
            let (why, help) = match option.name.as_str() {
                "tls" | "tls_servername" if !has_tls => (
                    "no primary of these zones is reached over TLS",
                    "write `tls://` before the addresses of the primaries",
                ),
                "max_members" | "group" if self.catalog.is_none() => {
                    ("these zones are no catalog zones", "add `catalog`, or remove it")
                }
                _ => continue,
            };
            let name = option.name.as_str();
            setup.warn(
                Diagnostic::warning(option.span, format!("`{name}` has no effect here"))
                    .label(why)
                    .help(help),
            );
        }
    }
}

fn positive<T: FromToken + Default + PartialEq>(args: &mut Args<'_>) -> Result<T, Diagnostic> {
    let token = args.required("a number")?;
    let number: T = token.parse("a number")?;
    if number == T::default() {
        return Err(Diagnostic::error(token.span, "the bound must be positive")
            .label("with 0 no zone would fit")
            .help("write a number, or remove the line for the default"));
    }
    Ok(number)
}

/// `MIN [MAX]`.
fn range(
    args: &mut Args<'_>,
    default: (Duration, Duration),
) -> Result<(Duration, Duration), Diagnostic> {
    let token = args.required("DURATION")?;
    let least: Duration = token.parse("DURATION")?;
    let most = args.optional::<Duration>("DURATION")?;
    let most = most.unwrap_or_else(|| default.1.max(least));
    if least < Duration::from_millis(100) || most < least {
        return Err(Diagnostic::error(token.span, "these bounds leave no time")
            .label("expected at least `100ms`, and the lower bound first")
            .help("write the shortest and the longest wait, such as `1m 1d`"));
    }
    Ok((least, most))
}
