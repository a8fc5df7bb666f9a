//! What plugins note with a query: metadata by label, and the spans of a trace.

use crate::query::Query;
use crate::spans::Spans;

impl Query {
    /// Starts to collect metadata for this query; without this, values are not kept.
    pub fn collect_metadata(&mut self) {
        self.state.metadata.get_or_insert_default();
    }

    /// Drops the metadata that was collected.
    pub fn forget_metadata(&mut self) {
        self.state.metadata = None;
    }

    /// Keeps `value` under `label` (`plugin/name`) if metadata is collected; the last value wins.
    pub fn set_metadata(&mut self, label: &'static str, value: impl FnOnce() -> String) {
        if let Some(all) = &mut self.state.metadata {
            all.set(label, value());
        }
    }

    /// Offers the values of `labels` if metadata is collected. `make` is called with the index of a
    /// label, at most once for each, when its value is first read. It owns what it needs of the query.
    pub fn offer_metadata(
        &mut self,
        labels: &'static [&'static str],
        make: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) {
        if let Some(all) = &mut self.state.metadata {
            all.offer(labels, make);
        }
    }

    /// The value under `label`.
    pub fn metadata(&self, label: &str) -> Option<&str> {
        self.state.metadata.as_ref()?.get(label)
    }

    /// The spans of this query, if it is traced.
    #[inline]
    pub fn spans(&mut self) -> Option<&mut Spans> {
        self.state.spans.as_deref_mut()
    }

    /// Traces this query from here on.
    pub fn trace(&mut self, spans: Spans) {
        self.state.spans = Some(Box::new(spans));
    }

    /// Whether somebody traces this query.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.state.spans.is_some()
    }

    /// Ends the trace.
    pub fn take_spans(&mut self) -> Option<Box<Spans>> {
        self.state.spans.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::spans::SpanContext;

    const WITHIN: SpanContext = SpanContext { trace: 7, span: 9 };

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

    #[test]
    fn a_lookup_of_our_own_is_a_part_of_what_asks() {
        let mut outer = Query::new();
        outer.receive(&crate::query::tests::question("a.", wire::Rtype::A)).unwrap();
        let mut inner = Query::new();
        inner.make_subquery(&outer, b"\0", wire::Rtype::A, false);
        assert_eq!(inner.state.within, None);
        outer.trace(Spans::new(WITHIN, 1));
        inner.make_subquery(&outer, b"\0", wire::Rtype::A, false);
        assert_eq!((inner.state.within, inner.is_traced()), (Some(WITHIN), false));
        outer.receive(&crate::query::tests::question("a.", wire::Rtype::A)).unwrap();
        assert!(!outer.is_traced(), "the next query in its place is another");
    }
}
