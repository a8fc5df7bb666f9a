//! What follows from every new version of a zone, whoever made it.

use std::sync::{Arc, Weak};

use chain::OwnZones;
use zone::live::Listener;
use zone::{Live, LiveSet};

use crate::folds;

/// Is told of new versions of the zones of one authority.
pub(crate) struct Follower {
    own_zones: Arc<OwnZones>,
}

impl Follower {
    /// Follows the zones of a set, those that come later too, as long as the value lives.
    pub(crate) fn follow(set: &LiveSet, own_zones: Arc<OwnZones>) -> Arc<Self> {
        let follower = Arc::new(Self { own_zones });
        let listener: Weak<dyn Listener> =
            Arc::downgrade(&(Arc::clone(&follower) as Arc<dyn Listener>));
        set.listen(&listener);
        follower
    }
}

impl Listener for Follower {
    fn changed(&self, zone: &Arc<Live>) {
        folds::offer(zone);
        // The version is published: cached replies with the data before it are outdated.
        self.own_zones.note_change();
    }
}
