//! A whole zone as text: canonical order, aligned columns, one record a line.

use std::collections::BTreeMap;
use std::io::{self, Write};

use wire::{Name, Rtype};

use super::record::relative_name;
use crate::listing::{Listed, Listing};
use crate::master::rdata_to_text;

/// The widest owner that the columns after it are aligned to; a longer one moves the columns of its line.
const MAX_OWNER: usize = 24;
/// The widest type that RDATA is aligned to.
const MAX_TYPE: usize = 10;

/// The text of a zone, laid out.
pub struct ZoneText<'a> {
    listing: &'a Listing,
    origin: &'a Name,
    /// `$TTL`: the one that most records have.
    ttl: Option<u32>,
    owner_width: usize,
    ttl_width: usize,
    type_width: usize,
}

impl<'a> ZoneText<'a> {
    /// Lays out the columns. Names at or below `origin` are written relative to it.
    pub fn new(listing: &'a Listing, origin: &'a Name) -> Self {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let (mut owner_width, mut type_width) = (1, 1);
        for name in listing.names() {
            let width = relative_name(name.owner(), origin.as_wire()).len();
            owner_width = owner_width.max(if width <= MAX_OWNER { width } else { 0 });
            for rtype in name.types() {
                let width = rtype.to_string().len();
                type_width = type_width.max(if width <= MAX_TYPE { width } else { 0 });
            }
        }
        for listed in listing.records() {
            *counts.entry(listed.record.ttl).or_default() += 1;
        }
        // Of several that are as frequent the smallest one.
        let ttl = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(ttl, _)| *ttl);
        let others = counts.keys().filter(|other| Some(**other) != ttl);
        let ttl_width = others.map(|other| other.to_string().len()).max().unwrap_or(0);
        Self { listing, origin, ttl, owner_width, ttl_width, type_width }
    }

    /// Writes the text. A record that comes twice is written once (RFC 2181 section 5).
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.origin.is_root() {
            writeln!(out, "$ORIGIN {}", super::name(self.origin.as_wire()))?;
        }
        if let Some(ttl) = self.ttl {
            writeln!(out, "$TTL {ttl}")?;
        }
        let apex = self.listing.name(self.origin.as_wire());
        let mut last = None;
        for soa in apex.iter().flat_map(|apex| apex.of(Rtype::SOA)) {
            self.write_new(out, soa, &mut last)?;
        }
        for listed in self.listing.records() {
            let first = listed.record.rtype == Rtype::SOA
                && wire::name::eq(listed.record.owner, self.origin.as_wire());
            if !first {
                self.write_new(out, listed, &mut last)?;
            }
        }
        Ok(())
    }

    /// Writes a record, unless it is the last one again.
    fn write_new(
        &self,
        out: &mut dyn Write,
        listed: Listed<'a>,
        last: &mut Option<Listed<'a>>,
    ) -> io::Result<()> {
        if last.is_some_and(|last| last.same(&listed) && last.record.ttl == listed.record.ttl) {
            return Ok(());
        }
        *last = Some(listed);
        let record = listed.record;
        let owner = relative_name(record.owner, self.origin.as_wire());
        let ttl = match Some(record.ttl) == self.ttl {
            true => String::new(),
            false => record.ttl.to_string(),
        };
        let (owner_width, ttl_width, type_width) =
            (self.owner_width, self.ttl_width, self.type_width);
        let blank = if ttl_width > 0 { " " } else { "" };
        let rdata = match soa_text(record.rtype, record.rdata) {
            Some(text) => text,
            None => rdata_to_text(record.rtype, record.rdata),
        };
        let (class, rtype) = (record.class, record.rtype);
        let line = format!(
            "{owner:owner_width$} {ttl:>ttl_width$}{blank}{class} {rtype:type_width$} {rdata}"
        );
        writeln!(out, "{}", line.trim_end_matches(' '))
    }
}

/// Writes the text of a listing; names at or below `origin` are relative to it.
///
/// # Errors
/// Those of the writer.
pub fn write_zone(listing: &Listing, origin: &Name, out: &mut dyn Write) -> io::Result<()> {
    ZoneText::new(listing, origin).write(out)
}

/// The fields of an SOA record, each on a line with its meaning.
fn soa_text(rtype: Rtype, rdata: &[u8]) -> Option<String> {
    if rtype != Rtype::SOA {
        return None;
    }
    let text = rdata_to_text(rtype, rdata);
    // Blanks in names are escaped, but still blanks.
    let mut fields: Vec<&str> = text.rsplitn(6, ' ').collect();
    fields.reverse();
    let [names, numbers @ ..] = fields.as_slice() else { return None };
    let meanings = ["serial", "refresh", "retry", "expire", "minimum"];
    if numbers.len() != meanings.len() {
        return None;
    }
    let mut text = format!("{names} (\n");
    for (at, (number, what)) in numbers.iter().zip(meanings).enumerate() {
        let end = if at + 1 == numbers.len() { " )" } else { "" };
        let meant = number.parse().ok().filter(|_| at > 0).map(duration).unwrap_or_default();
        text.push_str(&format!(
            "                {:12} ; {what}{meant}\n",
            format!("{number}{end}")
        ));
    }
    text.pop();
    Some(text)
}

/// Seconds in words, where a larger unit says it exactly.
fn duration(seconds: u32) -> String {
    let units = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")];
    match units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        None => String::new(),
        Some((unit, word)) => {
            let count = seconds / unit;
            let plural = if count == 1 { "" } else { "s" };
            format!(", {count} {word}{plural}")
        }
    }
}
