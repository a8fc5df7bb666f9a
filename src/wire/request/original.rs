//! The place of a saved message in the memory of all of them.

/// The start of a saved message, and the zone it was routed to.
#[derive(Clone, Copy)]
pub(super) struct Original {
    /// The index of its first octet among the saved ones.
    pub(super) start: usize,
    /// The label where the zone starts.
    pub(super) zone_at: u8,
}
