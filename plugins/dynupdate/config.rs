//! The arguments of `dynupdate`.

use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use update::Entry;
use wire::{Name, Rtype};

/// One directive.
#[derive(Clone, Debug)]
pub(super) struct Config<'a> {
    pub(super) origin: Name,
    pub(super) span: Span,
    /// The master file that the zone begins with.
    pub(super) file: &'a Token,
    /// The directory of the journal; without one, updates live as long as the process.
    pub(super) database: Option<&'a Token>,
    pub(super) policy: Policy,
    pub(super) bounds: Bounds,
}

/// What an update, and the zone after it, may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Records of the zone.
    pub(super) records: usize,
    /// Octets of its records in wire form, nothing compressed.
    pub(super) bytes: u64,
    /// Records in the prerequisite section and the update section.
    pub(super) update_records: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: 10_000, bytes: 8 << 20, update_records: 1024 }
    }
}

/// Which key may change what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// The name of the key, in lower case.
    key: Name,
    /// The one owner name, in lower case; `None` for all.
    owner: Option<Name>,
    /// The types; `None` for all.
    types: Option<Vec<Rtype>>,
}

impl Policy {
    /// Whether any rule is for this key (wire form, lower case).
    pub(super) fn knows(&self, key: &[u8]) -> bool {
        self.0.iter().any(|rule| rule.key.as_wire() == key)
    }

    /// Whether the key may make this change.
    pub(super) fn allows(&self, key: &[u8], entry: &Entry) -> bool {
        self.0.iter().any(|rule| {
            rule.key.as_wire() == key
                && rule
                    .owner
                    .as_ref()
                    .is_none_or(|owner| wire::name::eq(owner.as_wire(), entry.owner.as_wire()))
                && rule.types.as_ref().is_none_or(|types| types.contains(&entry.rtype))
        })
    }
}

const OPTIONS: &[&str] =
    &["file", "database", "allow", "max_records", "max_bytes", "max_update_records"];

/// Parses a directive of a block whose zones are `default`. Also returns the names of keys, as written.
pub(super) fn parse<'a>(
    directive: &'a Directive,
    default: &[Name],
) -> Result<(Config<'a>, Vec<&'a Token>), Diagnostics> {
    let mut errors = Diagnostics::default();
    let origin = origin(directive, default).map_err(|error| errors.push(error)).ok();
    let mut seen: Vec<&str> = Vec::new();
    let (mut file, mut database, mut keys) = (None, None, Vec::new());
    let (mut policy, mut bounds) = (Policy::default(), Bounds::default());
    for option in directive.options() {
        let name = option.name.as_str();
        if name != "allow" && seen.contains(&name) {
            errors.push(
                Diagnostic::error(option.name.span, format!("`{name}` is given twice"))
                    .label("the second time")
                    .help("remove one of the two"),
            );
            continue;
        }
        seen.push(name);
        let read = match name {
            "file" => one(option, "SEED").map(|token| file = Some(token)),
            "database" => one(option, "DIR").map(|token| database = Some(token)),
            "allow" => allow(option, origin.as_ref()).map(|(rule, key)| {
                policy.0.push(rule);
                keys.push(key);
            }),
            "max_records" => positive(option).map(|count| bounds.records = count as usize),
            "max_bytes" => positive(option).map(|count| bounds.bytes = count),
            "max_update_records" => {
                positive(option).map(|count| bounds.update_records = count as usize)
            }
            _ => Err(directive.unknown_option(option, OPTIONS)),
        };
        errors.extend(read.err());
    }
    if file.is_none() && !seen.contains(&"file") {
        errors.push(
            Diagnostic::error(directive.span, "`dynupdate` has no `file`")
                .label("the zone has no records to begin with")
                .help("add `file SEED`: a master file with at least a SOA and an NS record"),
        );
    }
    if keys.is_empty() && !seen.contains(&"allow") {
        errors.push(
            Diagnostic::error(directive.span, "`dynupdate` has no `allow`")
                .label("nobody may update this zone")
                .help("add `allow KEY NAME TYPE...`, such as `allow key. * *` for everything"),
        );
    }
    let span = directive.span;
    match (origin, file) {
        (Some(origin), Some(file)) if !errors.has_errors() => {
            Ok((Config { origin, span, file, database, policy, bounds }, keys))
        }
        _ => Err(errors),
    }
}

fn origin(directive: &Directive, default: &[Name]) -> Result<Name, Diagnostic> {
    let mut args = directive.args();
    let Some(token) = args.next() else {
        let [only] = default else {
            return Err(Diagnostic::error(directive.span, "`dynupdate` needs its zone")
                .label("this server block has several zones")
                .help("write `dynupdate ZONE { ... }`"));
        };
        return Ok(only.to_lower());
    };
    args.end()?;
    match chain::zones::parse(token)?.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(Diagnostic::error(token.span, "an address range of several zones")
            .label("expected one zone")
            .help("write one `dynupdate` for each of its reverse zones")),
    }
}

fn one<'a>(option: &'a Directive, what: &str) -> Result<&'a Token, Diagnostic> {
    let mut args = option.args();
    let token = args.required(what)?;
    args.end()?;
    option.no_body()?;
    Ok(token)
}

fn positive(option: &Directive) -> Result<u64, Diagnostic> {
    let mut args = option.args();
    let token = args.peek().cloned();
    let count: u32 = args.value("COUNT")?;
    args.end()?;
    option.no_body()?;
    if count == 0 {
        let span = token.map_or(option.name.span, |token| token.span);
        return Err(Diagnostic::error(span, format!("`{}` is 0", option.name.as_str()))
            .label("every update would be refused")
            .help("write a positive number"));
    }
    Ok(count.into())
}

/// `KEY NAME TYPE...`
fn allow<'a>(
    option: &'a Directive,
    origin: Option<&Name>,
) -> Result<(Rule, &'a Token), Diagnostic> {
    let mut args = option.args();
    let key_token = args.required("KEY")?;
    let key = name(key_token, "the name of a key")?;
    let owner_token = args.required("NAME")?;
    let owner = match owner_token.as_str() {
        "*" => None,
        "@" => origin.cloned(),
        _ => Some(name(owner_token, "a name, `@` or `*`")?),
    };
    if let (Some(owner), Some(origin)) = (&owner, origin)
        && !owner.is_under(origin)
    {
        let message = format!("`{}` is not in zone `{origin}`", owner_token.as_str());
        return Err(Diagnostic::error(owner_token.span, message)
            .label("no update of this zone can change it")
            .help(
                "write a name of the zone with its final part, `@` for the apex, or `*` for all",
            ));
    }
    let first = args.required("TYPE")?;
    let rest = args.remaining();
    option.no_body()?;
    if first.as_str() == "*" || rest.iter().any(|token| token.as_str() == "*") {
        if let Some(second) = rest.first() {
            return Err(Diagnostic::error(second.span, "`*` stands for all types")
                .label("nothing can be added to it")
                .help("write `*` alone, or the types"));
        }
        return Ok((Rule { key, owner, types: None }, key_token));
    }
    let types = std::iter::once(first).chain(rest).map(rtype).collect::<Result<_, _>>()?;
    Ok((Rule { key, owner, types: Some(types) }, key_token))
}

fn name(token: &Token, what: &str) -> Result<Name, Diagnostic> {
    Name::from_text(token.as_str()).map(|name| name.to_lower()).map_err(|problem| {
        Diagnostic::error(token.span, format!("`{}` is no name: {problem}", token.as_str()))
            .label(format!("expected {what}"))
            .help("write a domain name, such as `host.example.org.`")
    })
}

fn rtype(token: &Token) -> Result<Rtype, Diagnostic> {
    let text = token.as_str();
    let wrong = |label: &str, help: &str| {
        Diagnostic::error(token.span, format!("`{text}` is not a type that can be updated"))
            .label(label)
            .help(help)
    };
    match Rtype::from_text(text) {
        None => Err(wrong("not a type", "write a type such as `TXT`, `TYPE65280`, or `*` for all")),
        Some(rtype) if update::is_generated(rtype) => {
            Err(wrong("records that follow from others", "sign the zone behind this server"))
        }
        Some(rtype) if rtype == Rtype::ANY || !update::is_meta(rtype) => Ok(rtype),
        Some(_) => Err(wrong("no record is of this type", "write a type such as `A`")),
    }
}
