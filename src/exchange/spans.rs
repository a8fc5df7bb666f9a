//! What happened to a query that is traced, and when: a tree of spans, kept with the query.
//!
//! Only a plugin that traces puts one in, so other queries pay for an empty field. Times and the
//! numbers that make it unique are arguments.

use wire::Moment;

/// Where a span stands: the trace, and the span that others become children of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace; never zero.
    pub trace: u128,
    /// The span.
    pub span: u64,
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Unique in the trace; never zero.
    pub id: u64,
    /// The span that this one is a part of; zero if it is a part of none.
    pub parent: u64,
    /// Which work it is.
    pub name: &'static str,
    /// The beginning.
    pub start: Moment,
    /// The end; the beginning until it is known.
    pub end: Moment,
    /// What else there is to tell.
    pub tags: Vec<(&'static str, String)>,
    /// Who opened it.
    place: usize,
}

/// The spans of one query, in the order in which they began.
#[derive(Debug)]
pub struct Spans {
    trace: u128,
    parent: u64,
    seed: u64,
    all: Vec<Span>,
    open: Vec<usize>,
}

impl Spans {
    /// None yet. `seed` is random: span ids come from it, so one seed is for one query.
    pub fn new(within: SpanContext, seed: u64) -> Self {
        let room = 16;
        Self {
            trace: within.trace,
            parent: within.span,
            seed,
            all: Vec::with_capacity(room),
            open: Vec::with_capacity(room),
        }
    }

    /// The innermost open span, which what happens now is a part of.
    pub fn context(&self) -> SpanContext {
        let span = self.open.last().map_or(self.parent, |&at| self.all[at].id);
        SpanContext { trace: self.trace, span }
    }

    /// Opens a span inside the innermost open one. `place` tells it from other open ones.
    pub fn begin(&mut self, place: usize, name: &'static str, now: Moment) {
        let parent = self.context().span;
        let id = mix(self.seed.wrapping_add(self.all.len() as u64));
        self.begin_as(id, parent, place, name, now);
    }

    /// Opens the first span, which has an id that was chosen for it.
    pub fn begin_root(&mut self, id: u64, place: usize, name: &'static str, now: Moment) {
        self.begin_as(id, self.parent, place, name, now);
    }

    fn begin_as(&mut self, id: u64, parent: u64, place: usize, name: &'static str, now: Moment) {
        self.open.push(self.all.len());
        self.all.push(Span { id, parent, name, start: now, end: now, tags: Vec::new(), place });
    }

    /// Notes something about the innermost open span.
    pub fn tag(&mut self, key: &'static str, value: String) {
        if let Some(&at) = self.open.last() {
            self.all[at].tags.push((key, value));
        }
    }

    /// Closes the innermost span that `place` opened, and those inside it that nobody closed
    /// because what they waited for was cut off.
    pub fn end(&mut self, place: usize, now: Moment) {
        let Some(depth) = self.open.iter().rposition(|&at| self.all[at].place == place) else {
            return;
        };
        for at in self.open.drain(depth..) {
            self.all[at].end = now;
        }
    }

    /// Closes what is still open, and hands all of them over with the trace they belong to.
    pub fn finish(mut self, now: Moment) -> (u128, Vec<Span>) {
        for at in self.open.drain(..) {
            self.all[at].end = now;
        }
        (self.trace, self.all)
    }
}

/// A bijection that spreads numbers that follow each other (splitmix64); never zero.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: SpanContext = SpanContext { trace: 7, span: 9 };

    #[test]
    fn spans_nest() {
        let mut spans = Spans::new(WITHIN, 1);
        spans.begin_root(5, 0, "root", Moment(1));
        spans.begin(1, "outer", Moment(2));
        spans.begin(2, "inner", Moment(3));
        spans.tag("key", "value".into());
        let inner = spans.context();
        spans.end(2, Moment(4));
        spans.begin(2, "inner", Moment(5));
        spans.begin(3, "cut off", Moment(6));
        spans.end(1, Moment(7));
        spans.end(1, Moment(8));
        let (trace, all) = spans.finish(Moment(9));
        assert_eq!(trace, 7);
        let seen: Vec<_> = all.iter().map(|it| (it.name, it.start.0, it.end.0)).collect();
        assert_eq!(
            seen,
            [("root", 1, 9), ("outer", 2, 7), ("inner", 3, 4), ("inner", 5, 7), ("cut off", 6, 7)]
        );
        let parents: Vec<u64> = all.iter().map(|it| it.parent).collect();
        assert_eq!(parents, [9, 5, all[1].id, all[1].id, all[3].id]);
        assert_eq!(inner, SpanContext { trace: 7, span: all[2].id });
        assert_eq!(all[2].tags, [("key", "value".to_owned())]);
    }
}
