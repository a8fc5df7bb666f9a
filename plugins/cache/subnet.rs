//! Answers that are meant for some clients only (RFC 7871).
//!
//! With the option `ecs` such an answer is kept under the network that it is meant for, and a client
//! gets that of the smallest network it is in. Without it such an answer is not kept.

use std::sync::atomic::{AtomicU64, Ordering};

use chain::{Query, Reply};
use wire::edns::{ClientSubnet, Subnet, option};
use wire::{Family, Moment, Rcode};

use super::Cache;
use super::config::Half;
use super::entry::{Content, Entry, Facts, Key};
use super::store::Found;

/// The networks that upstreams told apart so far, by how many bits they have.
#[derive(Default)]
pub(super) struct Lengths {
    v4: AtomicU64,
    v6: [AtomicU64; 2],
}

impl Lengths {
    fn word(&self, subnet: &Subnet) -> Option<(&AtomicU64, u64)> {
        // A network has a bit at least, so 128 of them fit into two words.
        let at = usize::from(subnet.bits.checked_sub(1)?);
        match subnet.family {
            Family::V4 => Some((&self.v4, 1 << (at % 64))),
            Family::V6 => Some((&self.v6[at / 64 % 2], 1 << (at % 64))),
        }
    }

    pub(super) fn note(&self, subnet: &Subnet) {
        if let Some((word, bit)) = self.word(subnet) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// The networks around `source` that there may be answers for, the smallest first.
    fn around(&self, source: Subnet) -> impl Iterator<Item = Subnet> {
        let words: [u64; 2] = match source.family {
            Family::V4 => [self.v4.load(Ordering::Relaxed), 0],
            Family::V6 => [0, 1].map(|at: usize| self.v6[at].load(Ordering::Relaxed)),
        };
        let all = u128::from(words[0]) | u128::from(words[1]) << 64;
        (1..=source.bits)
            .rev()
            .filter(move |bits| all >> (bits - 1) & 1 == 1)
            .map(move |bits| source.wider(bits))
    }
}

/// The network that the client, or a plugin before this one, told.
pub(super) fn source(query: &Query) -> Option<ClientSubnet> {
    query.edns()?;
    ClientSubnet::find(query.options()).filter(|asked| !asked.source.is_all())
}

/// The network that a reply is meant for; `None` if it is for all. "If the SCOPE PREFIX-LENGTH is longer
/// than the SOURCE PREFIX-LENGTH" no more is known of the client than the latter (RFC 7871 section
/// 7.3.1).
pub(super) fn meant_for(query: &Query, reply: &Reply) -> Option<Subnet> {
    let asked = source(query)?;
    let told = ClientSubnet::find(reply.opt.options())?;
    // An answer about another network is taken for one that is for nobody else than who asked.
    let scope = if told.source == asked.source { told.scope } else { asked.source.bits };
    (scope > 0).then(|| asked.source.wider(scope.min(asked.source.bits)))
}

impl Cache {
    /// What answers the query: with `ecs` the answer for the smallest network, the freshest first.
    #[inline]
    pub(super) fn find(&self, query: &Query) -> Found {
        if self.config.ecs.is_some()
            && let Some(asked) = source(query)
        {
            return self.find_for(query, asked.source);
        }
        self.store.find(&Key::of(query), query.now, &self.config)
    }

    fn find_for(&self, query: &Query, source: Subnet) -> Found {
        let mut best = Found::Nothing;
        for subnet in self.store.lengths.around(source) {
            match self.store.find(&Key::of(query).within(subnet), query.now, &self.config) {
                Found::Nothing => {}
                found @ Found::Stale(..) => {
                    if matches!(best, Found::Nothing) {
                        best = found;
                    }
                }
                found @ Found::Fresh(..) => return found,
            }
        }
        match self.store.find(&Key::of(query), query.now, &self.config) {
            // An answer to who told no network may be meant for ours.
            Found::Fresh(_, entry) | Found::Stale(_, entry) if !entry.facts().for_all => best,
            Found::Stale(..) if !matches!(best, Found::Nothing) => best,
            Found::Nothing => best,
            found => found,
        }
    }

    /// The key that an answer meant for `subnet` is kept under; `None` if there are too many already.
    pub(super) fn key_for<'a>(&self, query: &'a Query, subnet: Option<Subnet>) -> Option<Key<'a>> {
        let key = Key::of(query);
        let Some(subnet) = subnet else { return Some(key) };
        let most = self.config.ecs?;
        let own = key.within(subnet);
        let known = [Half::Success, Half::Denial]
            .iter()
            .any(|&half| self.store.half(half).peek(&own).is_some());
        if !known && !self.count_scope(&key, most, query.now) {
            self.counts(query).scopes_refused.inc(query.worker);
            return None;
        }
        self.store.lengths.note(&subnet);
        Some(own)
    }

    /// Counts one network more for a question; whether there may be so many. The count is an entry of
    /// its own, and begins anew when that has expired.
    fn count_scope(&self, key: &Key<'_>, most: u32, now: Moment) -> bool {
        let half = self.store.half(Half::Success);
        let key = key.counting();
        if let Some(count) = half.get(&key).filter(|count| count.ttl(now) > 0) {
            return count.count() < most;
        }
        let facts = Facts { rcode: Rcode::NOERROR, ..Facts::default() };
        let content = Content::empty(self.config.success.max_ttl, facts);
        if let Some(count) = Entry::new(&key, Some(half), now, content) {
            count.count();
            half.insert(count);
        }
        most > 0
    }

    /// Tells the client for whom the answer is, if it told its network itself.
    #[inline]
    pub(super) fn tell_scope(&self, subnet: Option<Subnet>, query: &Query, reply: &mut Reply) {
        if self.config.ecs.is_some() && query.asides() == 0 {
            tell(subnet, query, reply);
        }
    }
}

/// "If the EDNS Client Subnet option was received in a query, the response has one" (RFC 7871 section
/// 7.2.1).
fn tell(subnet: Option<Subnet>, query: &Query, reply: &mut Reply) {
    if let Some(asked) = ClientSubnet::find(query.options()) {
        let told = ClientSubnet { scope: subnet.map_or(0, |subnet| subnet.bits), ..asked };
        let mut room = [0; 20];
        let len = told.write(&mut room);
        reply.opt.push(option::CLIENT_SUBNET, &room[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(octets: [u8; 4], bits: u8) -> Subnet {
        let used = &octets[..usize::from(bits).div_ceil(8)];
        let data = [&[0, 1, bits, 0], used].concat();
        ClientSubnet::read(&data).unwrap().source
    }

    #[test]
    fn networks_around_a_client_the_smallest_first() {
        let lengths = Lengths::default();
        let client = subnet([192, 0, 2, 0], 24);
        assert_eq!(lengths.around(client).count(), 0);
        for bits in [16, 20, 24, 32] {
            lengths.note(&subnet([10, 0, 0, 0], bits));
        }
        let around: Vec<u8> = lengths.around(client).map(|subnet| subnet.bits).collect();
        assert_eq!(around, [24, 20, 16]);
        assert!(lengths.around(client).all(|subnet| subnet.covers(&client)));
        let six =
            ClientSubnet::read(&[0, 2, 128, 0, 32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let six = six.unwrap().source;
        for bits in [48, 64, 65, 128] {
            lengths.note(&six.wider(bits));
        }
        let around: Vec<u8> = lengths.around(six).map(|subnet| subnet.bits).collect();
        assert_eq!(around, [128, 65, 64, 48]);
    }
}
