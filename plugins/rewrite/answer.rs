//! Applies rules to a reply: names, TTLs and the rcode.

use chain::{Query, Reply};
use wire::name::{self, NameBuf};
use wire::{Draft, Rtype, rdata};

use super::config::{Answer, Field, NameRule, Rule};
use super::text::{self, Buffer, unmarked, without_suffix};

/// Gives the reply to a query that `rule` changed, which asked for `asked` then, back to the client
/// or to the rule before: the question is that of `query` again.
pub(super) fn give_back(rule: &Rule, asked: &NameBuf, query: &Query, reply: &mut Reply) {
    match &rule.field {
        Field::Name(name) => reply.readdress(query, |draft| {
            rewrite(name, asked, query, draft);
            true
        }),
        Field::Ttl { least, most, .. } => {
            reply.edit_ttls(|rtype, ttl| match rtype {
                // Its TTL is no time.
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

/// Changes the names of one record; the last answer rule first.
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

/// Gives a name that is `from` or below it the end `to`. One that would become too long stays.
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

/// Gives a name the text that `make` writes, if it writes one and that is a name.
fn change(value: &mut NameBuf, make: impl FnOnce(&[u8], &mut Buffer) -> Option<()>) {
    let mut new = Buffer::new();
    let made = text::with(value.as_wire(), |marked| make(unmarked(marked), &mut new));
    if made.is_some()
        && let Some(name) = new.name()
    {
        *value = name;
    }
}

/// Changes the name in RDATA that CoreDNS takes for the record's value, if the type has one.
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
