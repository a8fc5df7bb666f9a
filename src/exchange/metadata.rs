//! What plugins know about a query, by label. It never knows what a label means.

use std::sync::OnceLock;

use crate::query::Query;

/// What is known about one query.
#[derive(Default)]
pub(crate) struct Metadata {
    values: Vec<(&'static str, String)>,
    offers: Vec<Offer>,
}

/// Values that are made when somebody asks for them.
struct Offer {
    labels: &'static [&'static str],
    /// Makes the value of the label with this index.
    make: Box<dyn Fn(usize) -> Option<String> + Send + Sync>,
    made: Box<[OnceLock<Option<String>>]>,
}

impl Query {
    /// Starts to collect metadata for this query; without this, values are not kept.
    pub fn collect_metadata(&mut self) {
        self.state.metadata.get_or_insert_default();
    }

    /// Lets go of what was collected.
    pub fn forget_metadata(&mut self) {
        self.state.metadata = None;
    }

    /// Keeps `value` under `label` (`plugin/name`) if metadata is collected; the last value wins.
    pub fn set_metadata(&mut self, label: &'static str, value: impl FnOnce() -> String) {
        if let Some(all) = &mut self.state.metadata {
            all.values.retain(|(known, _)| *known != label);
            all.values.push((label, value()));
        }
    }

    /// Offers the values of `labels` if metadata is collected. `make` is called with the index of a
    /// label, at most once for each, when its value is asked for; it takes with it what it needs to
    /// know of the query.
    pub fn offer_metadata(
        &mut self,
        labels: &'static [&'static str],
        make: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) {
        if let Some(all) = &mut self.state.metadata {
            let made = labels.iter().map(|_| OnceLock::new()).collect();
            all.offers.push(Offer { labels, make: Box::new(make), made });
        }
    }

    /// The value under `label`.
    pub fn metadata(&self, label: &str) -> Option<&str> {
        let all = self.state.metadata.as_ref()?;
        if let Some((_, value)) = all.values.iter().find(|(known, _)| *known == label) {
            return Some(value);
        }
        let find = |offer: &&Offer| offer.labels.contains(&label);
        let offer = all.offers.iter().rev().find(find)?;
        let index = offer.labels.iter().position(|known| *known == label)?;
        offer.made.get(index)?.get_or_init(|| (offer.make)(index)).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_last_value_wins() {
        let mut query = Query::new();
        query.set_metadata("test/a", || unreachable!("nothing is collected"));
        query.offer_metadata(&["test/b"], |_| unreachable!("nothing is collected"));
        assert_eq!((query.metadata("test/a"), query.metadata("test/b")), (None, None));
        query.collect_metadata();
        for value in ["one", "two"] {
            query.set_metadata("test/a", || value.to_owned());
            query.offer_metadata(&["test/b"], move |_| Some(value.to_owned()));
        }
        assert_eq!(query.metadata("test/a"), Some("two"));
        assert_eq!(query.metadata("test/b"), Some("two"));
        query.forget_metadata();
        assert_eq!(query.metadata("test/a"), None);
    }

    #[test]
    fn offers_are_taken_up_once_and_only_if_asked_for() {
        let made = Arc::new(AtomicUsize::new(0));
        let mut query = Query::new();
        query.collect_metadata();
        let count = Arc::clone(&made);
        query.offer_metadata(&["test/none", "test/one"], move |index| {
            count.fetch_add(1, Ordering::Relaxed);
            (index == 1).then(|| "1".to_owned())
        });
        assert_eq!(query.metadata("test/other"), None);
        assert_eq!(made.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            assert_eq!(query.metadata("test/one"), Some("1"));
            assert_eq!(query.metadata("test/none"), None);
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }
}
