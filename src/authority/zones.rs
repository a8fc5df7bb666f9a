//! The zones of one link of a chain: fixed with the configuration, or coming and going.

use std::sync::Arc;

use wire::SuffixMap;
use zone::{Live, LiveSet};

/// Zones by name.
pub trait Zones: Send + Sync + 'static {
    /// Reads the zones as they are now.
    fn with<R>(&self, read: impl FnOnce(&SuffixMap<Arc<Live>>) -> R) -> R;
}

/// Zones that are those of the configuration. A single one is found without following a pointer.
pub struct Fixed(pub(crate) SuffixMap<Arc<Live>>);

impl Zones for Fixed {
    #[inline]
    fn with<R>(&self, read: impl FnOnce(&SuffixMap<Arc<Live>>) -> R) -> R {
        read(&self.0)
    }
}

/// Zones that come and go while the configuration serves. To read them is one load of a pointer.
pub struct Changing(pub(crate) Arc<LiveSet>);

impl Zones for Changing {
    #[inline]
    fn with<R>(&self, read: impl FnOnce(&SuffixMap<Arc<Live>>) -> R) -> R {
        read(&self.0.zones())
    }
}
