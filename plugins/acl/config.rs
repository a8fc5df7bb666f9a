//! `acl [ZONES...] { ACTION [type QTYPE...] [net SOURCE...] }`.

use std::net::IpAddr;

use chain::ZoneSet;
use corefile::{Cidr, Diagnostic, Diagnostics, Directive, Token};
use wire::{Name, Rtype};

use super::nets::Nets;

/// The treatment of a query that matches a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    /// REFUSED.
    Block,
    /// An empty answer.
    Filter,
    /// Silence.
    Drop,
}

/// A line of the block.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) action: Action,
    /// `None` is every type.
    types: Option<Vec<Rtype>>,
    nets: Nets,
}

impl Policy {
    /// Whether a question of this type from this client matches.
    pub(super) fn matches(&self, qtype: Rtype, client: IpAddr) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&qtype)) && self.nets.contains(client)
    }
}

/// The zones and policies of each directive.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(
    uses: &[&Directive],
    default: &[Name],
) -> Result<Vec<(ZoneSet, Vec<Policy>)>, Diagnostics> {
    let mut rules = Vec::new();
    let mut errors = Diagnostics::default();
    for directive in uses {
        let zones = ZoneSet::from_args(&directive.args, default);
        let mut policies = Vec::new();
        for line in directive.options() {
            match policy(line) {
                Ok(policy) => policies.push(policy),
                Err(problem) => errors.push(problem),
            }
        }
        match zones {
            Ok(zones) => rules.push((zones, policies)),
            Err(problem) => errors.push(problem),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(rules) }
}

const ACTIONS: [&str; 4] = ["allow", "block", "filter", "drop"];

fn policy(line: &Directive) -> Result<Policy, Diagnostic> {
    line.no_body()?;
    let action = match line.name.text.to_ascii_lowercase().as_str() {
        "allow" => Action::Allow,
        "block" => Action::Block,
        "filter" => Action::Filter,
        "drop" => Action::Drop,
        _ => return Err(unexpected(&line.name, &ACTIONS)),
    };
    let mut policy = Policy { action, types: None, nets: Nets::all() };
    let mut words = line.args.as_slice();
    while let Some((section, rest)) = words.split_first() {
        let len = rest.iter().position(is_section).unwrap_or(rest.len());
        let (values, behind) = rest.split_at(len);
        words = behind;
        if !is_section(section) {
            return Err(unexpected(section, &["type", "net"]));
        }
        if values.is_empty() {
            let shown = section.as_str();
            return Err(Diagnostic::error(
                section.span,
                format!("no token specified in `{shown}`"),
            )
            .label("a value is missing after this")
            .help("add one or more values, or `*` for all"));
        }
        // As in CoreDNS, words behind a `*` are ignored.
        let all = values.iter().any(|value| value.as_str() == "*");
        let before = values.iter().take_while(|value| value.as_str() != "*");
        if section.text.eq_ignore_ascii_case("type") {
            let types = before.map(rtype).collect::<Result<_, _>>()?;
            policy.types = if all { None } else { Some(types) };
        } else {
            let nets: Vec<Cidr> = before.map(net).collect::<Result<_, _>>()?;
            policy.nets = if all { Nets::all() } else { Nets::new(&nets) };
        }
    }
    Ok(policy)
}

fn is_section(word: &Token) -> bool {
    word.text.eq_ignore_ascii_case("type") || word.text.eq_ignore_ascii_case("net")
}

fn unexpected(word: &Token, known: &[&str]) -> Diagnostic {
    let shown = word.as_str();
    let known_text: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    let problem = Diagnostic::error(word.span, format!("unexpected token `{shown}`"))
        .label(format!("expected {}", known_text.join(" or ")));
    match corefile::nearest(shown, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help("write each rule in the form `block type A net 10.0.0.0/8`"),
    }
}

fn rtype(word: &Token) -> Result<Rtype, Diagnostic> {
    // CoreDNS knows types in capitals only; a number is no type there.
    let named = word.as_str().bytes().all(|byte| !byte.is_ascii_lowercase());
    Rtype::from_text(word.as_str()).filter(|_| named).ok_or_else(|| {
        Diagnostic::error(word.span, format!("`{}` is not a record type", word.as_str()))
            .label("expected a record type in upper case")
            .help("write a type such as `A` or `AAAA`, or `*` for all types")
    })
}

fn net(word: &Token) -> Result<Cidr, Diagnostic> {
    let text = word.as_str();
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let read = || {
        let addr: IpAddr = address.parse().ok()?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|&bits| bits <= most)?,
            None => most,
        };
        Some(Cidr { addr, prefix })
    };
    read().ok_or_else(|| {
        Diagnostic::error(word.span, format!("`{text}` is not a network"))
            .label("expected an address, or a network in CIDR notation")
            .help("write for example `192.0.2.1` or `10.0.0.0/8`, or `*` for all addresses")
    })
}
