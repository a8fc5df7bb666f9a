//! Builds zones from the lines of the Corefile.

use corefile::{Diagnostic, Diagnostics, Span};
use wire::name::MAX_NAME;
use wire::{Class, Name, Rtype, hash, name};
use zone::master::{self, Options, ZoneError};
use zone::{Builder, RecordRef, Zone};

use super::config::{Config, Text};

/// The TTL of the SOA record that is made for a zone without one, and of its negative answers:
/// the Corefile may have the name soon.
const NEGATIVE_TTL: u32 = 60;

/// The timers of that SOA record; nobody transfers the zone.
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86_400;

/// A zone and how to recognise the names in it.
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) labels: usize,
    pub(super) zone: Zone,
    /// Whether a record was written for the zone's own name, which exists in any case.
    pub(super) has_apex: bool,
}

/// The zones, longest first.
///
/// # Errors
/// Everything that is wrong with the records, each at its word; `directive` is the place of the
/// rest.
pub(super) fn load(config: &Config, directive: Span) -> Result<Box<[Entry]>, Diagnostics> {
    let mut entries = Vec::with_capacity(config.zones.len());
    let mut errors = Diagnostics::default();
    for origin in &config.zones {
        match one(config, origin, directive) {
            Ok(entry) => entries.push(entry),
            Err(found) => {
                for new in found {
                    // The same line may be wrong in many zones.
                    if !has(&errors, &new) {
                        errors.push(new);
                    }
                }
            }
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.labels));
    Ok(entries.into())
}

/// Whether the mistake was already reported for another zone.
fn has(told: &Diagnostics, new: &Diagnostic) -> bool {
    told.iter().any(|old| old.span == new.span && old.message == new.message)
}

fn one(config: &Config, origin: &Name, directive: Span) -> Result<Entry, Vec<Diagnostic>> {
    let text = &config.text;
    let mut builder = Builder::new(origin, text.as_str().len() as u64);
    let (mut has_apex, mut has_soa) = (false, false);
    let options = Options {
        file: "records",
        // Each line stands for itself: it does not take the TTL of the one before.
        default_ttl: Some(master::FALLBACK_TTL),
        ..Options::new(origin)
    };
    let read = master::parse_text(text.as_str(), &options, &mut |record| {
        if !name::is_under(record.owner, origin.as_wire()) {
            return belongs(&config.zones, record);
        }
        if name::eq(record.owner, origin.as_wire()) {
            has_apex = true;
            has_soa |= record.rtype == Rtype::SOA;
        }
        builder.add(record)
    });
    if let Err(wrong) = read {
        return Err(wrong.into_iter().map(|error| show(error, text, directive)).collect());
    }
    if !has_soa {
        let rdata = soa(origin);
        let (class, ttl) = (Class::IN, NEGATIVE_TTL);
        let record =
            RecordRef { owner: origin.as_wire(), rtype: Rtype::SOA, class, ttl, rdata: &rdata };
        builder.add(record).map_err(|why| vec![Diagnostic::error(directive, why)])?;
    }
    let zone = builder.finish().map_err(|wrong| {
        wrong.into_iter().map(|why| unfit(why, text, origin, directive)).collect::<Vec<_>>()
    })?;
    let wire = origin.as_wire();
    Ok(Entry { hash: hash::name(wire), labels: name::label_count(wire), zone, has_apex })
}

/// A record outside of one zone may be for another.
fn belongs(zones: &[Name], record: RecordRef<'_>) -> Result<(), String> {
    if zones.iter().any(|zone| name::is_under(record.owner, zone.as_wire())) {
        return Ok(());
    }
    let owner = name::Text(record.owner);
    match zones {
        [zone] => Err(format!("`{owner}` is not in zone `{zone}`")),
        _ => Err(format!("`{owner}` is not in any zone of this `records`")),
    }
}

/// A mistake of the text, at the word in the Corefile.
fn show(error: ZoneError, text: &Text, directive: Span) -> Diagnostic {
    let place = text.place(error.line, error.column).unwrap_or(directive);
    let shown = Diagnostic::error(place, error.message).label("this record is invalid");
    shown.help(error.help.unwrap_or_else(|| {
        "write the record as in a zone file, such as `www 3600 IN A 192.0.2.1`".to_owned()
    }))
}

/// Records that conflict. The report is at the first record of the owner that the message starts with.
fn unfit(why: String, text: &Text, origin: &Name, directive: Span) -> Diagnostic {
    let owner = why.split_once(": ").map_or("", |(owner, _)| owner);
    let mut lines = text.lines();
    let place = lines.find_map(|(line, span)| {
        let record = master::record_from_line(line, origin, 0).ok()?;
        record.owner.to_lower().to_string().eq(owner).then_some(span)
    });
    Diagnostic::error(place.unwrap_or(directive), why)
        .label("these records conflict")
        .help("remove the records that conflict")
}

/// The RDATA of a SOA record for a zone that has none.
fn soa(origin: &Name) -> Vec<u8> {
    let mut rdata = Vec::new();
    for labels in [&b"\x02ns\x03dns"[..], b"\x0ahostmaster"] {
        // A zone too long for a label before it names itself.
        if labels.len() + origin.as_wire().len() <= MAX_NAME {
            rdata.extend_from_slice(labels);
        }
        rdata.extend_from_slice(origin.as_wire());
    }
    for number in [1, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}
