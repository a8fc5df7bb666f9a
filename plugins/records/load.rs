//! Builds zones from the lines of the directive.

use corefile::{Diagnostic, Diagnostics, Span};
use wire::rdata::StandInSoa;
use wire::{Class, Name, Rtype, name};
use zone::master::{self, Options, ZoneError};
use zone::{Builder, RecordRef, Zone};

use super::config::{Config, Text};

/// The TTL of the SOA record of a zone that has none, and of its negative answers: the Corefile may have
/// the name soon.
const NEGATIVE_TTL: u32 = 60;

/// A zone of the directive.
pub(super) struct LoadedZone {
    pub(super) zone: Zone,
    /// Whether the directive has a record for the apex, which exists in any case.
    pub(super) has_apex: bool,
}

/// Builds the zones. Findings that are no errors are added to `warnings`.
///
/// # Errors
/// All mistakes in the records, each at its word, or at `directive` if no word is known.
pub(super) fn load(
    config: &Config,
    directive: Span,
    warnings: &mut Diagnostics,
) -> Result<Vec<LoadedZone>, Diagnostics> {
    let mut entries = Vec::with_capacity(config.zones.len());
    let mut errors = Diagnostics::default();
    for origin in &config.zones {
        let (found, all) = match one(config, origin, directive) {
            Ok((entry, found)) => {
                entries.push(entry);
                (found, &mut *warnings)
            }
            Err(found) => (found, &mut errors),
        };
        for new in found {
            // A mistake may occur in many zones.
            if !has(all, &new) {
                all.push(new);
            }
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    Ok(entries)
}

/// Whether the mistake was already reported for another zone.
fn has(told: &Diagnostics, new: &Diagnostic) -> bool {
    told.iter().any(|old| old.span == new.span && old.message == new.message)
}

/// Builds one zone. Returns it and its warnings.
fn one(
    config: &Config,
    origin: &Name,
    directive: Span,
) -> Result<(LoadedZone, Vec<Diagnostic>), Vec<Diagnostic>> {
    let text = &config.text;
    let mut builder = Builder::new(origin, text.as_str().len() as u64);
    let (mut has_apex, mut has_soa) = (false, false);
    let options = Options {
        file: "records",
        // Each line is independent: it does not inherit the TTL of an earlier one.
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
    let read = read.map_err(|wrong| {
        wrong.into_iter().map(|error| show(error, text, directive)).collect::<Vec<_>>()
    })?;
    let warnings = read.into_iter().map(|warning| warn(warning, text, directive)).collect();
    if !has_soa {
        let rdata = soa(origin);
        let (class, ttl) = (Class::IN, NEGATIVE_TTL);
        let record =
            RecordRef { owner: origin.as_wire(), rtype: Rtype::SOA, class, ttl, rdata: &rdata };
        builder.add(record).map_err(|why| vec![Diagnostic::error(directive, why)])?;
    }
    let zone = builder.finish().map_err(|wrong| {
        let mut source = text.as_str().as_bytes();
        let wrong = zone::locate(&wrong, &mut source, &options, &master::NoIncludes);
        wrong.into_iter().map(|error| unfit(error, text, directive)).collect::<Vec<_>>()
    })?;
    Ok((LoadedZone { zone, has_apex }, warnings))
}

/// A record outside of one zone may belong to another.
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

/// The diagnostic of a mistake in the text, at the word in the Corefile.
fn show(error: ZoneError, text: &Text, directive: Span) -> Diagnostic {
    let place = text.place(error.line, error.column).unwrap_or(directive);
    let shown = Diagnostic::error(place, error.message).label("this record is invalid");
    shown.help(error.help.unwrap_or_else(|| {
        "write the record as in a zone file, such as `www 3600 IN A 192.0.2.1`".to_owned()
    }))
}

/// The diagnostic of a warning, at the word in the Corefile.
fn warn(warning: ZoneError, text: &Text, directive: Span) -> Diagnostic {
    let place = text.place(warning.line, warning.column).unwrap_or(directive);
    let shown = Diagnostic::warning(place, warning.message).label(warning.label);
    match warning.help {
        Some(help) => shown.help(help),
        None => shown,
    }
}

/// The diagnostic of conflicting records, at the last of them.
fn unfit(error: ZoneError, text: &Text, directive: Span) -> Diagnostic {
    let place = text.place(error.line, error.column).unwrap_or(directive);
    let shown = Diagnostic::error(place, error.message)
        .label(error.label)
        .help(error.help.unwrap_or_else(|| "remove the records that do not fit".to_owned()));
    error.related.iter().fold(shown, |shown, other| {
        shown.note(format!("{}: `{}`", other.label, other.excerpt.trim_end()))
    })
}

/// The RDATA of a SOA record for a zone that has none.
fn soa(origin: &Name) -> Vec<u8> {
    let soa = StandInSoa::new(origin.as_wire());
    let mut rdata = Vec::new();
    soa.rdata(NEGATIVE_TTL).write(&mut rdata);
    rdata
}
