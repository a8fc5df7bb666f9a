//! What an operator wants to know of a zone beside its records.

use std::time::SystemTime;

/// Where a zone comes from and how current it is. Whoever keeps the zone current writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The source, in a few words: `file db.example.org`, `primary 192.0.2.1:53`. It stays the same as long
    /// as the zone is served: metrics have it as a label.
    pub source: String,
    /// When this version was published.
    pub changed: Option<SystemTime>,
    /// When the source last confirmed the version.
    pub checked: Option<SystemTime>,
    /// When the source is asked again.
    pub next_check: Option<SystemTime>,
    /// When the version expires if the source stays silent.
    pub expires: Option<SystemTime>,
    /// Bytes of the journal on disk, 0 without one.
    pub journal_bytes: u64,
    /// What keeps the zone from being renewed, if anything does.
    pub trouble: Option<String>,
}
