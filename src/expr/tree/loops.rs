//! The names of the functions that evaluate an argument for each element of an array.

/// Which function it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopKind {
    All,
    None,
    Any,
    One,
    Filter,
    Map,
    Count,
    Sum,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    SortBy,
    Reduce,
}

/// Their names.
pub(crate) const NAMES: [(&str, LoopKind); 15] = [
    ("all", LoopKind::All),
    ("none", LoopKind::None),
    ("any", LoopKind::Any),
    ("one", LoopKind::One),
    ("filter", LoopKind::Filter),
    ("map", LoopKind::Map),
    ("count", LoopKind::Count),
    ("sum", LoopKind::Sum),
    ("find", LoopKind::Find),
    ("findIndex", LoopKind::FindIndex),
    ("findLast", LoopKind::FindLast),
    ("findLastIndex", LoopKind::FindLastIndex),
    ("groupBy", LoopKind::GroupBy),
    ("sortBy", LoopKind::SortBy),
    ("reduce", LoopKind::Reduce),
];

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<LoopKind> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

impl LoopKind {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether the predicate must be `bool`.
    pub(crate) fn asks(self) -> bool {
        !matches!(self, Self::Map | Self::Sum | Self::GroupBy | Self::SortBy | Self::Reduce)
    }
}
