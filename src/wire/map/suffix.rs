//! From a name to the value of the longest zone that it is in.

use super::HashIndex;
use crate::prefetch::fetch;
use crate::{Name, NameBuf, Request, hash, name};

/// A value that belongs to one zone.
pub trait Zoned {
    /// The zone, in lower case.
    fn zone_name(&self) -> &Name;
}

impl Zoned for Name {
    fn zone_name(&self) -> &Name {
        self
    }
}

impl<T: Zoned> Zoned for std::sync::Arc<T> {
    fn zone_name(&self) -> &Name {
        (**self).zone_name()
    }
}

/// Values by zone. A single value is stored inline, so finding it follows no pointer.
#[derive(Clone, Debug)]
pub struct SuffixMap<T>(Shape<T>);

#[derive(Clone, Debug)]
enum Shape<T> {
    One { hash: u64, labels: u8, value: T },
    Many(Box<SuffixTable<T>>),
}

/// Values by zone, in a table by the hash of their zones.
#[derive(Clone, Debug)]
pub struct SuffixTable<T> {
    values: Box<[T]>,
    /// Indexes into `values`.
    index: HashIndex,
    /// Bit `n` is set if a zone has `n` labels: other depths need no lookup.
    depths: u128,
}

/// Depths that are prefetched: a name is seldom in more zones than that.
const MOST_DEPTHS: u32 = 3;

impl<T> Default for SuffixMap<T> {
    fn default() -> Self {
        Self(Shape::Many(Box::default()))
    }
}

impl<T> SuffixMap<T> {
    /// The values, in the order they were given.
    pub fn values(&self) -> &[T] {
        match &self.0 {
            Shape::One { value, .. } => std::slice::from_ref(value),
            Shape::Many(table) => table.values(),
        }
    }

    /// Whether there is no value.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Shape::Many(table) if table.values.is_empty())
    }

    /// The value, if there is just one.
    #[inline]
    pub fn only(&self) -> Option<&T> {
        match &self.0 {
            Shape::One { value, .. } => Some(value),
            Shape::Many(_) => None,
        }
    }
}

impl<T: Zoned> SuffixMap<T> {
    /// A map of these values. Of several with the same zone, the first is found.
    pub fn new(mut values: Vec<T>) -> Self {
        match values.pop() {
            Some(value) if values.is_empty() => {
                let zone = value.zone_name().as_wire();
                let (hash, labels) = (hash::name(zone), name::label_count(zone) as u8);
                Self(Shape::One { hash, labels, value })
            }
            last => {
                values.extend(last);
                Self(Shape::Many(Box::new(SuffixTable::new(values))))
            }
        }
    }

    /// The value of the longest zone that the query's name is in, and the label where the zone starts.
    #[inline]
    pub fn find(&self, query: &Request) -> Option<(&T, usize)> {
        match &self.0 {
            Shape::One { hash, labels, value } => {
                let label = query.labels().checked_sub(usize::from(*labels))?;
                let matches = query.suffix_hash(label) == *hash
                    && query.suffix(label) == value.zone_name().as_wire();
                matches.then_some((value, label))
            }
            Shape::Many(table) => table.find(query),
        }
    }

    /// The value of the longest zone that `name` (wire form, any case) is in.
    pub fn find_name(&self, name: &[u8]) -> Option<&T> {
        match &self.0 {
            Shape::One { value, .. } => {
                name::is_under(name, value.zone_name().as_wire()).then_some(value)
            }
            Shape::Many(table) => table.find_name(name),
        }
    }
}

impl<T> Default for SuffixTable<T> {
    fn default() -> Self {
        Self { values: Box::default(), index: HashIndex::default(), depths: 0 }
    }
}

impl<T> SuffixTable<T> {
    /// The values, in the order they were given.
    #[inline]
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: Zoned> SuffixTable<T> {
    /// A table of these values. Of several with the same zone, the first is found.
    pub fn new(values: Vec<T>) -> Self {
        let mut index = HashIndex::with_capacity(values.len());
        let mut depths = 0;
        for (number, value) in values.iter().enumerate() {
            let zone = value.zone_name().as_wire();
            let hash = hash::name(zone);
            let same = |other: u32| values[other as usize].zone_name().as_wire() == zone;
            if index.find(hash, same).is_none() {
                index.insert(hash, number as u32);
                depths |= 1u128 << name::label_count(zone);
            }
        }
        Self { values: values.into(), index, depths }
    }

    /// The value of the longest zone that the query's name is in, and the label where the zone starts.
    #[inline]
    pub fn find(&self, query: &Request) -> Option<(&T, usize)> {
        (0..=query.labels()).find_map(|label| Some((self.at(query, label)?, label)))
    }

    /// The value whose zone is the query's name from this label on.
    #[inline]
    pub fn at(&self, query: &Request, label: usize) -> Option<&T> {
        if self.depths >> (query.labels() - label) & 1 == 0 {
            return None;
        }
        self.get(query.suffix_hash(label), query.suffix(label))
    }

    /// The value of the longest zone that `name` (wire form, any case) is in.
    pub fn find_name(&self, name: &[u8]) -> Option<&T> {
        let mut folded = NameBuf::new();
        folded.set_folded(name);
        let folded = folded.as_wire();
        let mut starts = [0; 128];
        let mut labels = 0;
        for (at, _) in name::label_starts(folded) {
            starts[labels] = at;
            labels += 1;
        }
        let mut hash = hash::root();
        let mut longest = if self.depths & 1 == 1 { self.get(hash, &[0]) } else { None };
        for (depth, &at) in (1..).zip(starts[..labels].iter().rev()) {
            let end = at + 1 + usize::from(folded[at]);
            hash = hash::child(hash, &folded[at + 1..end]);
            if self.depths >> depth & 1 == 1 {
                longest = self.get(hash, &folded[at..]).or(longest);
            }
        }
        longest
    }

    /// Starts to fetch what [`SuffixTable::find`] will read: the index (stage 0), then the values that
    /// it points to (stage 1).
    #[inline]
    pub fn prefetch(&self, query: &Request, stage: u8) {
        let labels = query.labels();
        let mut depths = self.depths & (u128::MAX >> (127 - labels));
        for _ in 0..MOST_DEPTHS.min(depths.count_ones()) {
            let depth = 127 - depths.leading_zeros();
            depths &= !(1 << depth);
            let hash = query.suffix_hash(labels - depth as usize);
            if stage == 0 {
                self.index.prefetch(hash);
            } else if let Some(number) = self.index.first(hash) {
                fetch(&self.values[number as usize]);
            }
        }
    }

    #[inline]
    fn get(&self, hash: u64, zone: &[u8]) -> Option<&T> {
        let matches = |number: u32| self.values[number as usize].zone_name().as_wire() == zone;
        self.index.find(hash, matches).map(|number| &self.values[number as usize])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Rtype;

    fn query(name: &Name) -> Request {
        let mut query = Request::new();
        query.ask(name.as_wire(), Rtype::A, false);
        query
    }

    /// Names of few labels, which are often below each other.
    fn names(most: usize) -> impl Strategy<Value = Vec<Name>> {
        let label = prop_oneof![Just("a"), Just("B"), Just("long-label-of-a-name")];
        let text = prop::collection::vec(label, 0..5).prop_map(|labels| labels.join(".") + ".");
        prop::collection::vec(text.prop_map(|text| Name::from_text(&text).unwrap()), 0..most)
    }

    proptest! {
        #[test]
        fn finds_the_longest_zone(zones in names(9), asked in names(9)) {
            let zones: Vec<Name> = zones.iter().map(Name::to_lower).collect();
            let mut model = HashMap::new();
            for (number, zone) in zones.iter().enumerate() {
                model.entry(zone.clone()).or_insert(number);
            }
            let (map, table) = (SuffixMap::new(zones.clone()), SuffixTable::new(zones.clone()));
            prop_assert_eq!(map.is_empty(), zones.is_empty());
            prop_assert_eq!(map.values(), zones.as_slice());
            for name in asked.iter().chain(&zones) {
                let query = query(name);
                let mut expected = None;
                let mut next = Some(name.clone());
                while let Some(suffix) = next {
                    if let Some(&number) = model.get(&suffix) {
                        let at = suffix.labels().count();
                        expected = Some((&zones[number], name.labels().count() - at));
                        break;
                    }
                    next = suffix.parent();
                }
                prop_assert_eq!(map.find(&query), expected);
                prop_assert_eq!(table.find(&query), expected);
                prop_assert_eq!(map.find_name(name.as_wire()), expected.map(|(zone, _)| zone));
                table.prefetch(&query, 0);
                table.prefetch(&query, 1);
            }
        }
    }

    #[test]
    fn of_equal_zones_the_first_is_found() {
        struct Numbered(Name, u8);
        impl Zoned for Numbered {
            fn zone_name(&self) -> &Name {
                &self.0
            }
        }
        let zone = Name::from_text("example.").unwrap();
        let table = SuffixTable::new(vec![Numbered(zone.clone(), 1), Numbered(zone.clone(), 2)]);
        assert_eq!(table.find(&query(&zone)).map(|(found, _)| found.1), Some(1));
        assert_eq!(table.values().len(), 2);
    }
}
