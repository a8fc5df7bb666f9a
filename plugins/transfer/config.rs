//! The `transfer` directive as plain values.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chain::{KeyRef, Setup, ZoneSet, zones};
use corefile::{Cidr, Diagnostic, Diagnostics, Directive, Span, Token};
use wire::Name;
use wire::name::label_count;

/// The options, as `catena help transfer` lists them.
const OPTIONS: &[&str] = &[
    "to",
    "source",
    "ixfr",
    "max_transfers",
    "timeout",
    "notify_delay",
    "notify_tries",
    "catalog",
];
/// The options of a `to`.
const TO_OPTIONS: &[&str] = &["key", "notify", "transport"];
/// The options of a `catalog`.
const CATALOG_OPTIONS: &[&str] = &["group"];
/// Octets of the labels `group`, that of a member's node, and `zones`, above the name of a catalog.
const ABOVE_CATALOG: usize = 6 + 33 + 6;

/// The port of NOTIFY messages without one.
const PORT: u16 = 53;
/// Transfers of several messages at once, in all and for each peer.
const MAX_TRANSFERS: (usize, usize) = (100, 10);
/// How long a transfer may take.
const TOTAL: Duration = Duration::from_secs(2 * 60 * 60);
/// How long the client may take for one message.
const IDLE: Duration = Duration::from_secs(60);
/// Changes within this time cause one NOTIFY.
const NOTIFY_DELAY: Duration = Duration::from_millis(250);
/// How often a NOTIFY is sent without an acknowledgement.
const NOTIFY_TRIES: u32 = 5;

/// One `transfer` directive.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) span: Span,
    pub(super) zones: ZoneSet,
    pub(super) to: Vec<To>,
    /// The local addresses of NOTIFY messages, at most one for each family.
    pub(super) source: Vec<IpAddr>,
    /// Whether IXFR is answered with changes, and not with the whole zone.
    pub(super) ixfr: bool,
    pub(super) max_transfers: usize,
    pub(super) max_per_peer: usize,
    pub(super) total: Duration,
    pub(super) idle: Duration,
    pub(super) notify_delay: Duration,
    pub(super) notify_tries: u32,
    /// The catalog zone that lists the zones.
    pub(super) catalog: Option<CatalogOf>,
}

/// The name of a group of zones in a catalog.
pub(super) type Group = Arc<str>;

/// A catalog zone of a directive.
#[derive(Clone, Debug)]
pub(super) struct CatalogOf {
    /// In lower case.
    pub(super) name: Name,
    /// The groups, each with the zones that it has members in.
    pub(super) groups: Vec<(Group, ZoneSet)>,
}

/// Peers and what they may do.
#[derive(Clone, Debug)]
pub(super) struct To {
    pub(super) hosts: Vec<Host>,
    /// Whether transfers must be signed with one of the keys.
    pub(super) signed: bool,
    /// The keys. NOTIFY messages are signed with the first.
    pub(super) keys: Vec<KeyRef>,
    pub(super) notify: Notify,
    /// Whether transfers must come over TLS.
    pub(super) encrypted: bool,
}

/// Peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// All addresses.
    Any,
    /// A range of addresses.
    Range(Cidr),
    /// One address, and the port of its NOTIFY messages.
    One(SocketAddr),
}

/// What peers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notify {
    /// Transfers and NOTIFY messages.
    On,
    /// Transfers.
    Off,
    /// NOTIFY messages.
    Only,
}

impl Host {
    /// Whether `peer` is one of these.
    pub(super) fn contains(self, peer: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Range(range) => range.contains(peer),
            Self::One(address) => address.ip().to_canonical() == peer.to_canonical(),
        }
    }
}

impl Rule {
    /// The directive that a zone belongs to: the one whose catalog it is, or the one with the longest zone that
    /// contains it; the first of equal ones.
    pub(super) fn of(rules: &[Self], zone: &Name) -> Option<usize> {
        let is_catalog = |rule: &Self| rule.catalog.as_ref().is_some_and(|own| own.name == *zone);
        if let Some(at) = rules.iter().position(is_catalog) {
            return Some(at);
        }
        let mut found: Option<(usize, usize)> = None;
        for (at, rule) in rules.iter().enumerate() {
            let above = rule.zones.iter().filter(|own| zone.is_under(own));
            let labels = above.map(|own| label_count(own.as_wire())).max();
            if let Some(labels) = labels
                && found.is_none_or(|(longest, _)| labels > longest)
            {
                found = Some((labels, at));
            }
        }
        found.map(|(_, at)| at)
    }

    /// Reads a directive.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn read(directive: &Directive, setup: &mut Setup<'_>) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let zones = ZoneSet::from_args(&directive.args, &setup.zones()).unwrap_or_else(|problem| {
            problems.push(problem);
            ZoneSet::default()
        });
        let mut rule = Self {
            span: directive.span,
            zones,
            to: Vec::new(),
            source: Vec::new(),
            ixfr: true,
            max_transfers: MAX_TRANSFERS.0,
            max_per_peer: MAX_TRANSFERS.1,
            total: TOTAL,
            idle: IDLE,
            notify_delay: NOTIFY_DELAY,
            notify_tries: NOTIFY_TRIES,
            catalog: None,
        };
        let mut has_to = false;
        for option in directive.options() {
            has_to |= option.name.as_str() == "to";
            if let Err(wrong) = rule.option(directive, option, setup) {
                problems.extend(wrong);
            }
        }
        if !has_to {
            problems.push(
                Diagnostic::error(directive.span, "`transfer` needs the option `to`")
                    .label("no peer may transfer these zones")
                    .help("add for example `to 192.0.2.2`, the address of a secondary server"),
            );
        }
        if problems.has_errors() { Err(problems) } else { Ok(rule) }
    }

    fn option(
        &mut self,
        directive: &Directive,
        option: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<(), Diagnostics> {
        if option.name.as_str() == "to" {
            self.to.push(to(option, setup)?);
            return Ok(());
        }
        if option.name.as_str() == "catalog" {
            if self.catalog.is_some() {
                return Err(
                    twice(option, "list all zones in one catalog, or use two directives").into()
                );
            }
            self.catalog = Some(catalog(option, setup)?);
            return Ok(());
        }
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "source" => {
                if !self.source.is_empty() {
                    let help = "keep one of the two; one line may have an IPv4 and an IPv6 address";
                    return Err(twice(option, help).into());
                }
                self.source = sources(option)?;
                return Ok(());
            }
            "ixfr" => self.ixfr = args.value("`on` or `off`")?,
            "max_transfers" => {
                self.max_transfers = positive(args.required("NUMBER")?)?;
                if let Some(token) = args.next() {
                    self.max_per_peer = positive(token)?;
                }
            }
            "timeout" => {
                self.total = duration(args.required("TOTAL")?)?;
                if let Some(token) = args.next() {
                    self.idle = duration(token)?;
                }
            }
            "notify_delay" => self.notify_delay = args.value("DURATION")?,
            "notify_tries" => {
                let token = args.required("NUMBER")?;
                let tries: usize = positive(token)?;
                self.notify_tries = u32::try_from(tries)
                    .ok()
                    .filter(|&tries| tries <= 100)
                    .ok_or_else(|| too_large(token, "100"))?;
            }
            _ => return Err(directive.unknown_option(option, OPTIONS).into()),
        }
        Ok(args.end()?)
    }
}

/// Reads a `catalog`.
fn catalog(option: &Directive, setup: &mut Setup<'_>) -> Result<CatalogOf, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut args = option.args();
    let token = args.required("NAME")?;
    args.end()?;
    setup.warn_outside(std::slice::from_ref(token));
    let name = match zones::parse(token)?.as_slice() {
        [name] if name.as_wire().len() + ABOVE_CATALOG <= 255 => name.clone(),
        [_] => {
            return Err(Diagnostic::error(token.span, "the name of the catalog is too long")
                .label("the names of its records would have more than 255 octets")
                .help(format!("shorten it to {} octets", 255 - ABOVE_CATALOG))
                .into());
        }
        _ => {
            return Err(Diagnostic::error(token.span, "a catalog is one zone")
                .label("these are several")
                .help("write a name such as `catalog.internal`")
                .into());
        }
    };
    let mut groups = Vec::new();
    for line in option.options() {
        match line.name.as_str() {
            "group" => match group(line) {
                Ok(group) => groups.push(group),
                Err(problem) => problems.push(problem),
            },
            _ => problems.push(option.unknown_option(line, CATALOG_OPTIONS)),
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(CatalogOf { name, groups }) }
}

/// `group GROUP ZONE...`.
fn group(line: &Directive) -> Result<(Group, ZoneSet), Diagnostic> {
    line.no_body()?;
    let mut args = line.args();
    let token = args.required("GROUP")?;
    if token.as_str().len() > 255 {
        return Err(Diagnostic::error(token.span, "the name of the group is too long")
            .label("longer than 255 octets")
            .help("shorten it"));
    }
    if args.peek().is_none() {
        args.required("ZONE")?;
    }
    Ok((token.as_str().into(), ZoneSet::from_args(args.remaining(), &[])?))
}

/// Reads a `to`.
fn to(option: &Directive, setup: &mut Setup<'_>) -> Result<To, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut to = To {
        hosts: Vec::new(),
        signed: false,
        keys: Vec::new(),
        notify: Notify::On,
        encrypted: false,
    };
    problems.extend(option.args().required("an address, a network, or `*`").err());
    for token in &option.args {
        match host(token) {
            Ok(host) => to.hosts.push(host),
            Err(problem) => problems.push(problem),
        }
    }
    for line in option.options() {
        problems.extend(to_option(&mut to, option, line, setup).err());
    }
    let notified = to.hosts.iter().any(|host| matches!(host, Host::One(_)));
    if to.notify == Notify::Only && !notified && !problems.has_errors() {
        problems.push(
            Diagnostic::error(option.span, "`notify only` has no address to notify")
                .label("expected an address")
                .help("name the secondary servers by their addresses"),
        );
    }
    if problems.has_errors() { Err(problems) } else { Ok(to) }
}

fn to_option(
    to: &mut To,
    option: &Directive,
    line: &Directive,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostic> {
    line.no_body()?;
    let mut args = line.args();
    match line.name.as_str() {
        "key" => {
            args.required("the name of a key")?;
            to.signed = true;
            for token in &line.args {
                to.keys.extend(key(token, setup)?);
            }
            return Ok(());
        }
        "notify" => {
            let token = args.required("`on`, `off` or `only`")?;
            to.notify = match token.as_str() {
                "only" => Notify::Only,
                _ if token.parse("`on`, `off` or `only`")? => Notify::On,
                _ => Notify::Off,
            };
        }
        "transport" => to.encrypted = transport(args.required("`tcp` or `tls`")?)?,
        _ => return Err(option.unknown_option(line, TO_OPTIONS)),
    }
    args.end()
}

/// The key that a token names. Without `tsig` in the server block there is none: the transfers that need it
/// are refused, and that is a warning, because nothing is open that should not be.
fn key(token: &Token, setup: &mut Setup<'_>) -> Result<Option<KeyRef>, Diagnostic> {
    match setup.tsig_key(token) {
        Ok(key) => Ok(Some(key)),
        Err(problem) if setup.tsig_keys().is_none() && is_name(token) => {
            let text = token.as_str();
            setup.warn(
                Diagnostic::warning(token.span, format!("no key `{text}` in this server block"))
                    .label("all transfers that need it are refused")
                    .help(format!("add `tsig {{ secret {text} SECRET }}` to the server block")),
            );
            drop(problem);
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

fn is_name(token: &Token) -> bool {
    Name::from_text(token.as_str()).is_ok()
}

/// Whether transfers need TLS (XoT, RFC 9103).
fn transport(token: &Token) -> Result<bool, Diagnostic> {
    match token.as_str() {
        "tcp" => Ok(false),
        "tls" => Ok(true),
        other => Err(Diagnostic::error(token.span, format!("`{other}` is not a transport"))
            .label("expected `tcp` or `tls`")
            .help("remove the line: transfers then leave over TCP and TLS")),
    }
}

fn host(token: &Token) -> Result<Host, Diagnostic> {
    let text = token.as_str();
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Host::One(address));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Host::One(SocketAddr::new(ip, PORT)));
    }
    if text.contains('/') && !text.contains("://") {
        return token.parse("ADDRESS").map(Host::Range);
    }
    let wrong = Diagnostic::error(token.span, format!("`{text}` is not an address"));
    Err(match text.split_once("://") {
        Some(("tls", _)) => wrong
            .label("NOTIFY messages are sent over UDP, and secondary servers connect by themselves")
            .help("write the address alone, and `transport tls` in a block behind it"),
        _ => wrong.label("expected an address, a network, or `*`").help(
            "write for example `192.0.2.2`, `[2001:db8::2]:5300`, `10.0.0.0/8`, or `*` for all",
        ),
    })
}

fn sources(option: &Directive) -> Result<Vec<IpAddr>, Diagnostic> {
    option.args().required("an address")?;
    let mut all: Vec<IpAddr> = Vec::new();
    for token in &option.args {
        let source: IpAddr = token.parse("ADDRESS")?;
        if all.iter().any(|known| known.is_ipv4() == source.is_ipv4()) {
            return Err(Diagnostic::error(token.span, "`source` has two addresses of one family")
                .label("the second one")
                .help("keep one IPv4 and one IPv6 address at most"));
        }
        all.push(source);
    }
    Ok(all)
}

fn twice(option: &Directive, help: &str) -> Diagnostic {
    let name = option.name.as_str();
    Diagnostic::error(option.name.span, format!("`{name}` was given before"))
        .label("the second one")
        .help(help)
}

fn positive(token: &Token) -> Result<usize, Diagnostic> {
    match token.parse("NUMBER")? {
        0 => Err(Diagnostic::error(token.span, "the number must be positive")
            .label("expected at least 1")
            .help("remove the plugin `transfer` to permit no transfers")),
        number => Ok(number),
    }
}

fn too_large(token: &Token, most: &str) -> Diagnostic {
    Diagnostic::error(token.span, format!("`{}` is too large", token.as_str()))
        .label(format!("expected at most {most}"))
        .help("write a smaller number")
}

fn duration(token: &Token) -> Result<Duration, Diagnostic> {
    let time: Duration = token.parse("DURATION")?;
    if time.is_zero() {
        return Err(Diagnostic::error(token.span, "the time must be positive")
            .label("expected a duration longer than zero")
            .help("write for example `2h`"));
    }
    Ok(time)
}
