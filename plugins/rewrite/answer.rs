//! Applies rules to a reply: names, TTLs and the rcode.

use chain::{Query, Reply};
use wire::name::{self, NameBuf};
use wire::{Draft, Rtype, rdata};

use super::config::{Answer, Field, NameRule, Rule};
use super::text::{self, Buffer, unmarked, without_suffix};

/// Reverts the reply to a query that `rule` changed, for the client or for an earlier rule. The
/// question is that of `query` again. `asked` is the name that the query had after the change.
pub(super) fn revert(rule: &Rule, asked: &NameBuf, query: &Query, reply: &mut Reply) {
    match &rule.field {
        Field::Name(name) => reply.readdress(query, |draft| {
            rewrite(name, asked, query, draft);
            true
        }),
        Field::Ttl { least, most, .. } => {
            reply.edit_ttls(|rtype, ttl| match rtype {
                // The TTL of an OPT record is no time.
                Rtype::OPT => ttl,
                _ => ttl.clamp(*least, *most),
            });
        }
        Field::Rcode { from, to, .. } => match reply.take_failure() {
            Some(mut failure) => {
                if failure.rcode == *from {
                    failure.rcode = *to;
                }
                reply.fail(failure);
            }
            None if reply.rcode() == *from => reply.set_rcode(*to),
            None => {}
        },
        Field::Edns(rule) => super::edns::revert(rule, query, reply),
        Field::Type { .. } | Field::Class { .. } | Field::Cname { .. } => {}
    }
}

/// Changes the names of one record. The last answer rule comes first.
fn rewrite(rule: &NameRule, asked: &NameBuf, query: &Query, draft: &mut Draft) {
    for answer in rule.answers.iter().rev() {
        match answer {
            Answer::Name(pattern, template) => change(&mut draft.owner, |text, new| {
                let captures = pattern.captures(text)?;
                template.fill(&captures, new);
                Some(())
            }),
            Answer::Value(pattern, template) => change_value(draft, |value| {
                change(value, |text, new| {
                    let captures = pattern.captures(text)?;
                    template.fill(&captures, new);
                    Some(())
                });
            }),
            Answer::Suffix { from, to } => {
                let swap = |value: &mut NameBuf| {
                    change(value, |text, new| {
                        new.push(without_suffix(text, from)?);
                        new.push(to.as_bytes());
                        Some(())
                    });
                };
                change_value(draft, swap);
                swap(&mut draft.owner);
            }
        }
    }
    if rule.auto {
        let swap = |value: &mut NameBuf| put_back(value, asked.as_wire(), query.name());
        change_value(draft, swap);
        swap(&mut draft.owner);
    }
}

/// Replaces the suffix `from` of a name by `to`. A name that would become too long does not change.
fn put_back(value: &mut NameBuf, from: &[u8], to: &[u8]) {
    if !name::is_under(value.as_wire(), from) {
        return;
    }
    let mut new = NameBuf::new();
    let before = value.as_wire().len() - from.len();
    let labels = name::labels(&value.as_wire()[..before]);
    if labels.into_iter().all(|label| new.push_label(label).is_ok()) && new.push_name(to).is_ok() {
        *value = new;
    }
}

/// Replaces a name by the text that `make` writes, if that is a valid name.
fn change(value: &mut NameBuf, make: impl FnOnce(&[u8], &mut Buffer) -> Option<()>) {
    let mut new = Buffer::new();
    let made = text::with(value.as_wire(), |marked| make(unmarked(marked), &mut new));
    if made.is_some()
        && let Some(name) = new.name()
    {
        *value = name;
    }
}

/// Changes the name in the RDATA that CoreDNS considers the record's value, if the type has one.
fn change_value(draft: &mut Draft, change: impl FnOnce(&mut NameBuf)) {
    let has_value = matches!(
        draft.rtype,
        Rtype::CNAME
            | Rtype::DNAME
            | Rtype::SOA
            | Rtype::SRV
            | Rtype::MX
            | Rtype::NAPTR
            | Rtype::NS
            | Rtype::PTR
    );
    if !has_value {
        return;
    }
    let Some(at) = rdata::layout(draft.rtype)
        .and_then(|layout| layout.first_name(&draft.rdata, 0, draft.rdata.len()).ok())
    else {
        return;
    };
    let mut value = NameBuf::new();
    let Ok(end) = name::read(&draft.rdata, at, &mut value) else { return };
    let before = value.clone();
    change(&mut value);
    if value.as_wire() != before.as_wire() {
        draft.rdata.splice(at..end, value.as_wire().iter().copied());
    }
}
