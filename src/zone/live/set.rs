//! The zones that one plugin serves, which may come and go.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};
use wire::{Name, SuffixMap, Zoned};

use super::serving::{Listener, Live};

/// Zones that serve, found by name. Readers take no lock.
pub struct LiveSet {
    zones: ArcSwap<SuffixMap<Arc<Live>>>,
    writer: Mutex<Vec<Weak<dyn Listener>>>,
}

impl LiveSet {
    /// These zones. Of two with the same name, the first is found.
    pub fn new(zones: Vec<Arc<Live>>) -> Self {
        Self { zones: ArcSwap::from_pointee(SuffixMap::new(zones)), writer: Mutex::default() }
    }

    /// The zones now.
    #[inline]
    pub fn zones(&self) -> Guard<Arc<SuffixMap<Arc<Live>>>> {
        self.zones.load()
    }

    /// The zone with exactly this name.
    pub fn get(&self, origin: &Name) -> Option<Arc<Live>> {
        self.all().into_iter().find(|zone| zone.zone_name() == origin)
    }

    /// All zones.
    pub fn all(&self) -> Vec<Arc<Live>> {
        self.zones.load().values().to_vec()
    }

    /// Replaces the zones. Listeners are told of those that are new.
    pub fn set(&self, zones: Vec<Arc<Live>>) {
        let mut listeners = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        let before = self.all();
        let known: HashSet<*const Live> = before.iter().map(Arc::as_ptr).collect();
        let is_new = |zone: &&Arc<Live>| !known.contains(&Arc::as_ptr(zone));
        let new: Vec<Arc<Live>> = zones.iter().filter(is_new).cloned().collect();
        self.zones.store(Arc::new(SuffixMap::new(zones)));
        for zone in &new {
            for listener in listeners.iter() {
                zone.listen(Weak::clone(listener));
            }
        }
        let told: Vec<Arc<dyn Listener>> = listeners.iter().filter_map(Weak::upgrade).collect();
        drop(listeners);
        for listener in told {
            new.iter().for_each(|zone| listener.changed(zone));
            listener.set_changed();
        }
    }

    /// Tells this listener of every new version of every zone, those included that come later, and when zones
    /// come and go.
    pub fn listen(&self, listener: &Weak<dyn Listener>) {
        let mut listeners = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for zone in self.zones.load().values() {
            zone.listen(Weak::clone(listener));
        }
        listeners.push(Weak::clone(listener));
    }
}
