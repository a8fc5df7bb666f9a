//! Parses the text of a hosts file (hosts(5)) into a table. It knows neither files nor clocks.

use std::io::{self, BufRead};
use std::net::IpAddr;

use chain::ZoneSet;
use wire::{NameBuf, name};

use super::table::Table;

/// The longest line.
const MAX_LINE: u64 = 1 << 20;

/// Which names are stored, and with what.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Names outside these zones are skipped.
    pub(super) zones: ZoneSet,
    /// Addresses map to their names, for PTR queries.
    pub(super) reverse: bool,
    /// The empty non-terminals above names are stored.
    pub(super) ancestors: bool,
}

/// Parses a text. Lines that are not an address followed by names are skipped.
///
/// # Errors
/// Those of the reader, or the text has more names than a table can hold.
pub(super) fn table(mut text: impl BufRead, rules: &Rules) -> io::Result<Table> {
    let mut table = Table::default();
    let mut line = Vec::new();
    while files::read_line(&mut text, &mut line, MAX_LINE)? > 0 {
        if !add_line(&mut table, &line, rules) {
            return Err(io::Error::other("the file has more names than the table can hold"));
        }
        line.clear();
    }
    table.shrink_to_fit();
    Ok(table)
}

/// Returns `false` if the table is full.
fn add_line(table: &mut Table, line: &[u8], rules: &Rules) -> bool {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(address) = words.next().and_then(address) else { return true };
    let mut text = NameBuf::new();
    let mut folded = NameBuf::new();
    for word in words {
        text.clear();
        if text.push_text(word).is_err() {
            continue;
        }
        folded.set_folded(text.as_wire());
        let name = folded.as_wire();
        let zone = rules.zones.iter().find(|zone| name::is_under(name, zone.as_wire()));
        let Some(zone) = zone else { continue };
        // A wildcard is no name that a PTR record could have.
        let reverse = rules.reverse && !name.starts_with(b"\x01*");
        let zone_labels = rules.ancestors.then(|| name::label_count(zone.as_wire()));
        if !table.add(name, address, reverse, zone_labels) {
            return false;
        }
    }
    true
}

/// Parses an address. The zone of an IPv6 address is ignored; an IPv4-mapped address is IPv4.
pub(super) fn address(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    let text = text.split('%').next().unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Name, hash};

    fn read(text: &str, zones: &[&str]) -> Table {
        let zones = ZoneSet::new(zones.iter().map(|zone| Name::from_text(zone).unwrap()));
        table(text.as_bytes(), &Rules { zones, reverse: true, ancestors: true }).unwrap()
    }

    fn addresses(table: &Table, name: &str) -> Vec<String> {
        let name = Name::from_text(name).unwrap();
        let entry = table.find(hash::name(name.as_wire()), name.as_wire());
        entry.map_or(Vec::new(), |entry| {
            table.addresses(entry).map(|address| address.to_string()).collect()
        })
    }

    fn names(table: &Table, address: &str) -> Vec<String> {
        let names = table.names(address.parse().unwrap());
        names.map(|name| Name::from_wire(name).unwrap().to_string()).collect()
    }

    #[test]
    fn lines_become_links_both_ways() {
        let text = "127.0.0.1 localhost LocalHost.Domain # comment\n\
            ::1%lo0\tlocalhost\n#10.0.0.9 no\n10.0.0.1 # none\nnonsense localhost\n\
            ::ffff:10.0.0.2 example.com\n127.0.0.1 localhost\n10.0.0.3 a..b *.wild.example.com\n\
            10.0.0.4 last";
        let table = read(text, &["."]);
        assert_eq!(addresses(&table, "localhost."), ["127.0.0.1", "::1"]);
        assert_eq!(addresses(&table, "example.com."), ["10.0.0.2"]);
        assert_eq!(addresses(&table, "*.wild.example.com."), ["10.0.0.3"]);
        assert_eq!(addresses(&table, "last."), ["10.0.0.4"]);
        assert_eq!(names(&table, "127.0.0.1"), ["localhost.", "localhost.domain."]);
        assert_eq!(names(&table, "::1"), ["localhost."]);
        assert!(names(&table, "10.0.0.3").is_empty());
        assert_eq!(table.entries(), 6 + 5);
        let parent = Name::from_text("wild.example.com.").unwrap();
        assert!(table.find_wildcard(hash::name(parent.as_wire()), parent.as_wire()).is_some());
        assert!(table.is_ancestor(hash::name(parent.as_wire())));
        assert!(!table.is_ancestor(hash::root()), "the zone exists anyway");
    }

    #[test]
    fn names_outside_the_zones_are_left_out() {
        let table = read("10.0.0.1 a.example.org b.example.net\n", &["example.org."]);
        assert_eq!(addresses(&table, "a.example.org.").len(), 1);
        assert!(addresses(&table, "b.example.net.").is_empty());
        assert_eq!(names(&table, "10.0.0.1"), ["a.example.org."]);
    }

    #[test]
    fn a_blocklist_is_small() {
        let mut text = String::new();
        for number in 0..50_000 {
            text.push_str(&format!("0.0.0.0 ads-{number}.tracker{}.example.com\n", number % 700));
        }
        let zones = ZoneSet::all();
        let rules = Rules { zones, reverse: true, ancestors: false };
        let table = table(text.as_bytes(), &rules).unwrap();
        assert_eq!(table.entries(), 100_000);
        assert_eq!(table.names("0.0.0.0".parse().unwrap()).count(), 50_000);
        let name = Name::from_text("ads-49999.tracker299.example.com.").unwrap();
        assert!(table.find(hash::name(name.as_wire()), name.as_wire()).is_some());
    }
}
