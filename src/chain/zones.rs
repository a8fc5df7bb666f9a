//! Sets of zones: the zones of a plugin, its `fallthrough`, and the zones that this server is
//! authoritative for.

use std::cmp::Reverse;
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use corefile::{Cidr, Diagnostic, Token};
use exchange::Query;
use wire::{Name, SuffixMap, hash, name};
use zone::LiveSet;

/// The zones that this server is authoritative for. Their data takes precedence over that of upstreams.
pub struct OwnZones {
    /// The zones as plugins declare them, until the first lookup.
    declared: Mutex<Declared>,
    known: OnceLock<Known>,
    version: AtomicU32,
}

/// Zones as plugins declare them.
#[derive(Default)]
struct Declared {
    zones: Vec<Name>,
    sets: Vec<Arc<LiveSet>>,
}

/// Zones as lookups find them.
struct Known {
    /// The hashes of the names of zones that stay, in order.
    hashes: Box<[u64]>,
    /// Zones that come and go.
    sets: Box<[Arc<LiveSet>]>,
}

impl Default for OwnZones {
    fn default() -> Self {
        let version = AtomicU32::new(next_version());
        Self { declared: Mutex::default(), known: OnceLock::new(), version }
    }
}

/// A version that the process has not had before, and never zero.
fn next_version() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1)
}

impl OwnZones {
    /// Adds a zone while the configuration is built. The root does not count: it contains all names, and
    /// a server with a copy of it answers with referrals.
    pub fn add(&self, zone: &Name) {
        if !zone.is_root() {
            let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
            declared.zones.push(zone.clone());
        }
    }

    /// Adds zones that come and go, while the configuration is built. The root does not count here either.
    pub fn add_set(&self, zones: Arc<LiveSet>) {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).sets.push(zones);
    }

    /// The version of their data: another one after each change, and in each configuration. A cached
    /// reply with data of these zones has it in [`Reply::own_version`](wire::Reply::own_version).
    #[inline]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Notes that the data of a zone has changed. To be called after the new data is published: data
    /// that is read after a call of [`OwnZones::version`] is then never older than that version.
    pub fn note_change(&self) {
        self.version.store(next_version(), Ordering::Release);
    }

    /// Whether the set is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let known = self.known();
        known.hashes.is_empty() && known.sets.iter().all(|set| set.zones().is_empty())
    }

    /// Whether `wire`, any case, is in one of them.
    pub fn contains(&self, wire: &[u8]) -> bool {
        let Known { hashes, sets } = self.known();
        let is_known = |at: usize| hashes.binary_search(&hash::name(&wire[at..])).is_ok();
        !hashes.is_empty() && name::label_starts(wire).any(|(at, _)| is_known(at))
            || sets.iter().any(|set| {
                let zones = set.zones();
                zones.find_name(wire).is_some_and(|zone| !zone.origin().is_root())
            })
    }

    #[inline]
    fn known(&self) -> &Known {
        self.known.get_or_init(|| {
            let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
            let Declared { zones, sets } = mem::take(&mut *declared);
            let mut hashes: Vec<_> = zones.iter().map(|zone| hash::name(zone.as_wire())).collect();
            hashes.sort_unstable();
            hashes.dedup();
            Known { hashes: hashes.into(), sets: sets.into() }
        })
    }
}

/// The zones a plugin answers for.
#[derive(Clone, Debug, Default)]
pub struct ZoneSet(SuffixMap<Name>);

impl PartialEq for ZoneSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.values() == other.0.values()
    }
}

impl Eq for ZoneSet {}

impl ZoneSet {
    /// These zones.
    pub fn new(zones: impl IntoIterator<Item = Name>) -> Self {
        let mut zones: Vec<Name> = zones.into_iter().map(|zone| zone.to_lower()).collect();
        zones.sort_by_key(|zone| Reverse(name::label_count(zone.as_wire())));
        zones.dedup();
        Self(SuffixMap::new(zones))
    }

    /// The root only: every name.
    pub fn all() -> Self {
        Self::new([Name::root()])
    }

    /// Zones given as arguments, or `default` if there are none.
    ///
    /// Errors: an argument that is not a zone.
    pub fn from_args(args: &[Token], default: &[Name]) -> Result<Self, Diagnostic> {
        if args.is_empty() {
            return Ok(Self::new(default.iter().cloned()));
        }
        let mut zones = Vec::new();
        for arg in args {
            zones.extend(parse(arg)?);
        }
        Ok(Self::new(zones))
    }

    /// The zones, longest first.
    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        self.0.values().iter()
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest zone that the query's name is in, and the label where it starts.
    #[inline]
    pub fn find(&self, query: &Query) -> Option<(usize, &Name)> {
        self.0.find(query).map(|(zone, label)| (label, zone))
    }

    /// Whether the query's name is in one of the zones.
    #[inline]
    pub fn contains(&self, query: &Query) -> bool {
        self.find(query).is_some()
    }

    /// Whether `wire`, any case, is in one of the zones.
    pub fn contains_name(&self, wire: &[u8]) -> bool {
        self.0.find_name(wire).is_some()
    }
}

/// Whether a query that a plugin cannot answer is passed to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallthrough(Option<ZoneSet>);

impl Fallthrough {
    /// Never, the default without the option.
    pub const NEVER: Self = Self(None);

    /// The `fallthrough [ZONES...]` option: without zones, for every name.
    ///
    /// Errors: an argument that is not a zone.
    pub fn from_args(args: &[Token]) -> Result<Self, Diagnostic> {
        ZoneSet::from_args(args, &[Name::root()]).map(|zones| Self(Some(zones)))
    }

    /// Whether this query may be passed on.
    #[inline]
    pub fn allows(&self, query: &Query) -> bool {
        self.0.as_ref().is_some_and(|zones| zones.contains(query))
    }
}

/// The zone or, for an address range, the reverse zones that `token` names.
///
/// Errors: neither a name nor an address range.
pub fn parse(token: &Token) -> Result<Vec<Name>, Diagnostic> {
    from_text(token.as_str()).map_err(|problem| {
        Diagnostic::error(token.span, format!("`{}` is not a zone: {problem}", token.as_str()))
            .label("expected a domain name or an address range such as `10.0.0.0/24`")
            .help("write the zone as `example.org` or its reverse zone as `10.0.0.0/24`")
    })
}

/// The same for plain text.
///
/// Errors: the text is no zone; the message says why.
pub fn from_text(text: &str) -> Result<Vec<Name>, String> {
    if text.contains('/')
        && !text.ends_with('.')
        && let Some(cidr) = cidr(text)?
    {
        return Ok(reverse_zones(&cidr));
    }
    let zone = Name::from_text(text).map_err(|problem| problem.to_string())?;
    Ok(vec![zone.to_lower()])
}

/// An address range, or `None` if the text before the `/` is no address (RFC 2317 names have a `/`).
fn cidr(text: &str) -> Result<Option<Cidr>, String> {
    let Some((address, prefix)) = text.split_once('/') else { return Ok(None) };
    let Ok(address) = address.parse::<IpAddr>() else { return Ok(None) };
    let most = if address.is_ipv4() { 32 } else { 128 };
    match prefix.parse::<u8>() {
        Ok(prefix) if prefix <= most => Ok(Some(Cidr { addr: address, prefix })),
        _ => Err(format!("the prefix length must be a number up to {most}")),
    }
}

/// The reverse zones that cover a range: one if it ends at an octet (IPv4) or a nibble (IPv6),
/// else all those up to the next such boundary.
pub fn reverse_zones(cidr: &Cidr) -> Vec<Name> {
    let (bytes, step, suffix): (Vec<u8>, u8, &str) = match cidr.addr {
        IpAddr::V4(address) => (address.octets().to_vec(), 8, "in-addr.arpa."),
        IpAddr::V6(address) => {
            let nibbles = address.octets().iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
            (nibbles, 4, "ip6.arpa.")
        }
    };
    let digits = usize::from(cidr.prefix.div_ceil(step));
    let spare = digits as u8 * step - cidr.prefix;
    let show = |digit: u8| if step == 8 { digit.to_string() } else { format!("{digit:x}") };
    let fixed: Vec<String> =
        bytes.iter().take(digits.saturating_sub(1)).map(|&digit| show(digit)).rev().collect();
    let first = bytes.get(digits.wrapping_sub(1)).map_or(0, |digit| digit >> spare << spare);
    (0..1u16 << spare)
        .filter_map(|offset| {
            let mut text = String::new();
            if digits > 0 {
                text.push_str(&show(first + offset as u8));
                text.push('.');
            }
            for digit in &fixed {
                text.push_str(digit);
                text.push('.');
            }
            text.push_str(suffix);
            Name::from_text(&text).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Rtype;

    fn texts(text: &str) -> Vec<String> {
        from_text(text).unwrap().iter().map(Name::to_string).collect()
    }

    #[test]
    fn ranges_become_reverse_zones() {
        assert_eq!(texts("10.0.0.0/24"), ["0.0.10.in-addr.arpa."]);
        assert_eq!(texts("10.0.0.0/8"), ["10.in-addr.arpa."]);
        assert_eq!(texts("10.0.0.0/25").len(), 128);
        assert_eq!(texts("10.1.0.0/17")[127], "127.1.10.in-addr.arpa.");
        assert_eq!(texts("2001:db8::/32"), ["8.b.d.0.1.0.0.2.ip6.arpa."]);
        assert_eq!(texts("0.0.0.0/0"), ["in-addr.arpa."]);
        assert_eq!(texts("10.0.0.0/24."), ["10.0.0.0/24."]);
        assert_eq!(texts("0/26.2.0.192.in-addr.arpa"), ["0/26.2.0.192.in-addr.arpa."]);
        assert!(from_text("10.0.0.0/33").is_err());
    }

    #[test]
    fn the_longest_zone_wins() {
        let name = |text: &str| Name::from_text(text).unwrap();
        let set = ZoneSet::new([name("org."), name("example.org."), name("net.")]);
        let mut query = Query::new();
        let from = Query::new();
        let mut zone_of = |text: &str| {
            query.make_subquery(&from, name(text).as_wire(), Rtype::A, false);
            set.find(&query).map(|(label, zone)| (label, zone.to_string()))
        };
        assert_eq!(zone_of("www.Example.org."), Some((1, "example.org.".into())));
        assert_eq!(zone_of("wwwexample.org."), Some((1, "org.".into())));
        assert_eq!(zone_of("example.com."), None);
        assert_eq!(zone_of("net."), Some((0, "net.".into())));
    }
}
