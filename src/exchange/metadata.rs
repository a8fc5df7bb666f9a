//! What plugins know about a query, by label. The meaning of a label is not known here.

use std::sync::OnceLock;

/// What is known about one query.
#[derive(Default)]
pub(crate) struct Metadata {
    values: Vec<(&'static str, String)>,
    offers: Vec<Offer>,
}

/// Values that are made when they are first read.
struct Offer {
    labels: &'static [&'static str],
    /// Makes the value of the label with this index.
    make: Box<dyn Fn(usize) -> Option<String> + Send + Sync>,
    made: Box<[OnceLock<Option<String>>]>,
}

impl Metadata {
    /// Keeps `value` under `label`; the last value wins.
    pub(crate) fn set(&mut self, label: &'static str, value: String) {
        self.values.retain(|(known, _)| *known != label);
        self.values.push((label, value));
    }

    /// Offers the values of `labels`, which `make` makes by index, at most once for each.
    pub(crate) fn offer(
        &mut self,
        labels: &'static [&'static str],
        make: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) {
        let made = labels.iter().map(|_| OnceLock::new()).collect();
        self.offers.push(Offer { labels, make: Box::new(make), made });
    }

    /// The value under `label`.
    pub(crate) fn get(&self, label: &str) -> Option<&str> {
        if let Some((_, value)) = self.values.iter().find(|(known, _)| *known == label) {
            return Some(value);
        }
        let find = |offer: &&Offer| offer.labels.contains(&label);
        let offer = self.offers.iter().rev().find(find)?;
        let index = offer.labels.iter().position(|known| *known == label)?;
        offer.made.get(index)?.get_or_init(|| (offer.make)(index)).as_deref()
    }
}
