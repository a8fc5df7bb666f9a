//! Checks of the names that records point to: name servers, mail exchanges, hosts of services, aliases.

use wire::name::{self, Text};
use wire::{Rtype, rdata};

use super::finding::{Draft, Drafts, Spot};
use super::rules::Check;
use super::sets::is_twice;
use super::tree::{Descent, Role, Tree, Whereabouts, has_address};
use crate::listing::{Listed, ListedName};

/// Aliases that are followed.
const MAX_ALIASES: usize = 16;

/// The checks of the hosts that records of a type name.
struct Hosts {
    rtype: Rtype,
    alias: Check,
    address: Check,
    what: &'static str,
}

const HOSTS: [Hosts; 3] = [
    Hosts {
        rtype: Rtype::NS,
        alias: Check::NsToCname,
        address: Check::NsWithoutAddress,
        what: "name server",
    },
    Hosts {
        rtype: Rtype::MX,
        alias: Check::MxToCname,
        address: Check::MxWithoutAddress,
        what: "mail exchange",
    },
    Hosts {
        rtype: Rtype::SRV,
        alias: Check::SrvToCname,
        address: Check::SrvWithoutAddress,
        what: "host of a service",
    },
];

/// Checks every record that names a host.
pub(super) fn check(tree: &Tree<'_>, drafts: &mut Drafts<'_>) {
    let mut descent = Descent::default();
    for name in tree.listing.names() {
        if !name::is_under(name.owner(), tree.apex.as_wire()) {
            continue;
        }
        let role = descent.role(name, tree.is_apex(name.owner()));
        if matches!(role, Role::BelowCut(_) | Role::BelowDname(_)) {
            continue;
        }
        for listed in name.records() {
            let Some(target) = target(listed.record.rtype, listed.record.rdata) else { continue };
            if spelling(tree, listed, target, drafts) {
                continue;
            }
            match listed.record.rtype {
                Rtype::CNAME => follow(tree, name, listed, target, drafts),
                rtype => {
                    if let Some(hosts) = HOSTS.iter().find(|hosts| hosts.rtype == rtype) {
                        host(tree, role, listed, target, hosts, drafts);
                    }
                }
            }
        }
        if drafts.wants(Check::HostName) && has_address(name) && !is_host(name.owner()) {
            drafts.at(Check::HostName, Spot::name(name.owner()), || {
                let message = format!("`{}` is not the name of a host", Text(name.owner()));
                Draft::new(message, "use letters, digits and hyphens (RFC 1123 section 2.1)")
            });
        }
    }
}

/// The first name in RDATA of a type that points somewhere.
fn target(rtype: Rtype, rdata: &[u8]) -> Option<&[u8]> {
    let pointing = matches!(
        rtype,
        Rtype::NS | Rtype::MX | Rtype::SRV | Rtype::CNAME | Rtype::DNAME | Rtype::PTR
    );
    let layout = rdata::layout(rtype).filter(|_| pointing)?;
    let at = layout.first_name(rdata, 0, rdata.len()).ok()?;
    let len = name::wire_len(rdata.get(at..)?)?;
    rdata.get(at..at + len).filter(|name| name.len() > 1)
}

/// Reports a name that was hardly meant: with the zone twice, or an address.
fn spelling(tree: &Tree<'_>, listed: Listed<'_>, target: &[u8], drafts: &mut Drafts<'_>) -> bool {
    let apex = tree.apex.as_wire();
    if drafts.wants(Check::ZoneTwice) && is_twice(target, apex) {
        drafts.at(Check::ZoneTwice, listed.record, || {
            let message = format!("`{}` ends in the name of the zone twice", Text(target));
            Draft::new(message, "end the name with a dot, or leave the name of the zone out")
        });
        return true;
    }
    if listed.record.rtype != Rtype::PTR && drafts.wants(Check::AddressAsName) && is_address(target)
    {
        drafts.at(Check::AddressAsName, listed.record, || {
            let rtype = listed.record.rtype;
            let message = format!("the {rtype} record points to an address: `{}`", Text(target));
            Draft::new(message, "name a host, and give the host the address in an A or AAAA record")
        });
        return true;
    }
    false
}

/// Whether the first four labels are the numbers of an IPv4 address, in their order.
fn is_address(target: &[u8]) -> bool {
    let number = |label: &&[u8]| {
        std::str::from_utf8(label).is_ok_and(|text| {
            text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u8>().is_ok()
        })
    };
    name::labels(target).take(4).filter(number).count() == 4
        && !target.to_ascii_lowercase().ends_with(b"\x07in-addr\x04arpa\0")
}

fn is_host(owner: &[u8]) -> bool {
    let fits = |label: &[u8]| {
        let inner = label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        inner && label.first() != Some(&b'-') && label.last() != Some(&b'-')
    };
    let mut labels = name::labels(owner).peekable();
    labels.next_if_eq(&&b"*"[..]);
    labels.all(fits)
}

/// A record that names a host.
fn host(
    tree: &Tree<'_>,
    role: Role<'_>,
    listed: Listed<'_>,
    target: &[u8],
    hosts: &Hosts,
    drafts: &mut Drafts<'_>,
) {
    let owner = listed.record.owner;
    if role == Role::Cut && hosts.rtype == Rtype::NS {
        // RFC 9471: a resolver cannot find a server inside of the zone that it serves without glue.
        if name::is_under(target, owner) && !tree.has_address(target) {
            drafts.at(Check::MissingGlue, listed.record, || {
                let (cut, server) = (Text(owner), Text(target));
                let message = format!("the delegation of `{cut}` needs the address of `{server}`");
                let help = format!("add it as glue: `{server} A …` or `{server} AAAA …`");
                Draft::new(message, help)
            });
            return;
        }
    } else if role == Role::Cut {
        return;
    }
    let message = |words: &str| format!("`{}` is a {} {words}", Text(target), hosts.what);
    match tree.locate(target) {
        Whereabouts::Outside | Whereabouts::Delegated | Whereabouts::Renamed => {}
        Whereabouts::Here(found) if found.has(Rtype::CNAME) => {
            let alias = found.of(Rtype::CNAME).next();
            drafts.at(hosts.alias, listed.record, || {
                let help = "name the host that the alias points to (RFC 2181 section 10.3)";
                let draft = Draft::new(message("that is an alias"), help);
                alias
                    .into_iter()
                    .fold(draft, |draft, alias| draft.related(alias.record, "the alias"))
            });
        }
        Whereabouts::Here(found) if has_address(found) => {}
        Whereabouts::Here(_) | Whereabouts::Empty | Whereabouts::Missing => {
            drafts.at(hosts.address, listed.record, || {
                let help = format!("add an A or AAAA record for `{}`", Text(target));
                Draft::new(message("without an address"), help)
            });
        }
    }
}

/// An alias, and those that it leads to.
fn follow(
    tree: &Tree<'_>,
    name: ListedName<'_>,
    listed: Listed<'_>,
    target: &[u8],
    drafts: &mut Drafts<'_>,
) {
    let mut at = target.to_owned();
    for _ in 0..MAX_ALIASES {
        match tree.locate(&at) {
            Whereabouts::Missing => {
                drafts.at(Check::CnameToNothing, listed.record, || {
                    let message = format!(
                        "`{}` is an alias for `{}`, which does not exist",
                        Text(name.owner()),
                        Text(&at)
                    );
                    Draft::new(message, "remove the alias, or add records for its target")
                });
                return;
            }
            Whereabouts::Here(found) => {
                if name::eq(&at, name.owner()) {
                    drafts.at(Check::CnameLoop, listed.record, || {
                        let message =
                            format!("the alias `{}` leads back to itself", Text(name.owner()));
                        Draft::new(message, "let one of the aliases end at a host")
                    });
                    return;
                }
                match found
                    .of(Rtype::CNAME)
                    .next()
                    .and_then(|next| self::target(Rtype::CNAME, next.record.rdata))
                {
                    Some(next) => at = next.to_owned(),
                    None => return,
                }
            }
            _ => return,
        }
    }
}
