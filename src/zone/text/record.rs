//! One record, or a name, as text.

use std::fmt::Write;

use wire::name::{self, Text};

use crate::RecordRef;
use crate::master::rdata_to_text;

/// The presentation form of a name, absolute.
pub fn name(wire: &[u8]) -> String {
    let mut out = String::new();
    push_name(wire, &mut out);
    out
}

fn push_name(wire: &[u8], out: &mut String) {
    // Directives start with `$`.
    if wire.get(1) == Some(&b'$') {
        out.push('\\');
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "{}", Text(wire));
}

/// The presentation form of a name relative to `origin`, as it stands after `$ORIGIN`: `@` for the origin
/// itself, and the absolute name if it lies elsewhere.
pub fn relative_name(wire: &[u8], origin: &[u8]) -> String {
    if origin.len() <= 1 || !name::is_under(wire, origin) {
        return name(wire);
    }
    let own = &wire[..wire.len() - origin.len()];
    if own.is_empty() {
        return "@".to_owned();
    }
    let mut out = name(own);
    // The last dot would make it absolute.
    out.pop();
    out
}

/// A record as one line without the line break: owner, TTL, class, type and RDATA, all names absolute.
pub fn record_line(record: RecordRef<'_>) -> String {
    let RecordRef { owner, rtype, class, ttl, rdata } = record;
    let mut out = String::with_capacity(64 + rdata.len());
    push_name(owner, &mut out);
    let rdata = rdata_to_text(rtype, rdata);
    let _ = write!(out, " {ttl} {class} {rtype} {rdata}");
    // RDATA without fields leaves the blank before it.
    out.truncate(out.trim_end_matches(' ').len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Name;

    #[test]
    fn names_are_relative_to_the_origin_where_they_can_be() {
        let wire = |text: &str| Name::from_text(text).unwrap().as_wire().to_vec();
        let origin = wire("example.org.");
        let relative = |text: &str| relative_name(&wire(text), &origin);
        assert_eq!(relative("Example.ORG."), "@");
        assert_eq!(relative("www.example.org."), "www");
        assert_eq!(relative("a.b.example.org."), "a.b");
        assert_eq!(relative("\\$ttl.example.org."), "\\$ttl");
        assert_eq!(relative("\\@.example.org."), "\\@");
        assert_eq!(relative("a\\..example.org."), "a\\.");
        assert_eq!(relative("www.example.net."), "www.example.net.");
        assert_eq!(relative("myexample.org."), "myexample.org.");
        assert_eq!(relative_name(&wire("www."), &wire(".")), "www.");
        assert_eq!(relative_name(&wire("."), &wire(".")), ".");
    }
}
