//! The feed: its zones, and what is said of their names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::name::NameBuf;
use wire::{Name, SuffixMap, Zoned};
use zone::{Live, LiveSet};

use crate::disputed::Disputed;
use crate::origin::{Origin, with_serial};
use crate::owners::{OwnerHash, Owners, Source};
use crate::packed::{self, Dictionary, Packer};
use crate::report::{Limits, Usage};

/// Names that a program feeds. Queries read its zones without a lock; those who feed it take turns.
pub struct Feed {
    zones: Arc<LiveSet>,
    limits: Limits,
    hash: OwnerHash,
    state: Mutex<State>,
}

/// What those who feed share.
pub(crate) struct State {
    pub(crate) dictionary: Dictionary,
    pub(crate) packer: Packer,
    pub(crate) owners: Owners,
    pub(crate) listings: Vec<Listing>,
    pub(crate) disputed: Disputed,
    pub(crate) zones: Vec<FedZone>,
    pub(crate) by_name: SuffixMap<Numbered>,
    pub(crate) limits: Limits,
    /// Names and records that are answered.
    pub(crate) names: usize,
    pub(crate) records: usize,
    /// Whether the zones have a version.
    pub(crate) loaded: bool,
    /// Octets of memory of the zones when they were published.
    pub(crate) zone_bytes: usize,
    /// What they would take without versions that lie over others, about.
    pub(crate) flat_bytes: usize,
}

/// The last relist of a source.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) generation: u64,
    /// The mark of owners that it saw.
    pub(crate) mark: u8,
}

/// One zone of the feed.
pub(crate) struct FedZone {
    pub(crate) live: Arc<Live>,
    pub(crate) origin: Origin,
    /// TTL and RDATA of the SOA record that an owner states.
    pub(crate) stated: Option<(u32, Vec<u8>)>,
    /// The serial of the current version.
    pub(crate) serial: Option<u32>,
    /// Octets of memory of the version that was published last.
    pub(crate) memory: usize,
}

impl FedZone {
    /// TTL and RDATA of the SOA record of a version.
    pub(crate) fn soa(&self, serial: u32) -> (u32, Vec<u8>) {
        let (ttl, rdata) = self.stated.as_ref().unwrap_or(&self.origin.soa);
        (*ttl, with_serial(rdata, serial))
    }
}

/// The number of a zone, by its name.
pub(crate) struct Numbered {
    pub(crate) name: Name,
    pub(crate) number: usize,
}

impl Zoned for Numbered {
    fn zone_name(&self) -> &Name {
        &self.name
    }
}

impl Feed {
    /// A feed of these zones, which have no version until the first batch is committed. Of two with the
    /// same name, the first counts.
    pub fn new(origins: Vec<Origin>, limits: Limits) -> Self {
        let mut zones: Vec<FedZone> = Vec::with_capacity(origins.len());
        for origin in origins {
            if !zones.iter().any(|zone| zone.origin.name == origin.name) {
                let live = Arc::new(Live::new(origin.name.clone()));
                zones.push(FedZone { live, origin, stated: None, serial: None, memory: 0 });
            }
        }
        let number =
            |(number, zone): (usize, &FedZone)| Numbered { name: zone.origin.name.clone(), number };
        let by_name = SuffixMap::new(zones.iter().enumerate().map(number).collect());
        let hash = OwnerHash::default();
        let state = State {
            dictionary: Dictionary::default(),
            packer: Packer::default(),
            owners: Owners::with_hash(hash.clone()),
            listings: Vec::new(),
            disputed: Disputed::default(),
            by_name,
            limits,
            names: 0,
            records: 0,
            loaded: false,
            zone_bytes: 0,
            flat_bytes: 0,
            zones,
        };
        let lives = state.zones.iter().map(|zone| Arc::clone(&zone.live)).collect();
        let zones = Arc::new(LiveSet::new(lives));
        Self { zones, limits, hash, state: Mutex::new(state) }
    }

    /// The zones, for who answers from them.
    pub fn zones(&self) -> &Arc<LiveSet> {
        &self.zones
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A new source. A feed has at most 256; the last one is returned from then on.
    pub fn source(&self) -> Source {
        let mut state = self.state();
        let number = state.listings.len().min(usize::from(u8::MAX));
        if number == state.listings.len() {
            state.listings.push(Listing::default());
        }
        Source(number as u8)
    }

    /// How much the feed holds.
    pub fn usage(&self) -> Usage {
        let state = self.state();
        let memory = |zone: &FedZone| zone.live.zone().as_ref().map_or(0, |zone| zone.memory());
        Usage {
            owners: state.owners.len(),
            names: state.names,
            records: state.records,
            left_out: state.disputed.left_out(),
            feed_bytes: state.memory(),
            zone_bytes: state.zones.iter().map(memory).sum(),
        }
    }

    /// Ends the service of all zones, as when what they hold is too old. The next batch starts it again,
    /// with all that is said by then.
    pub fn withdraw(&self) {
        let mut state = self.state();
        state.loaded = false;
        state.zones.iter().for_each(|zone| zone.live.withdraw());
    }

    /// The owners that state records of this name (wire form, any case), with their keys. Looks through
    /// all owners: for people who look for a mistake, not for programs.
    pub fn owners_of(&self, name: &[u8]) -> Vec<(Source, Vec<u8>)> {
        let state = self.state();
        let mut found = NameBuf::new();
        let mut says = |groups: &[u8]| {
            packed::groups(groups).any(|at| {
                packed::read_name(&state.dictionary.suffixes, groups, at, &mut found);
                wire::name::eq(found.as_wire(), name)
            })
        };
        let owners = state.owners.iter().filter(|(_, owner)| says(owner.groups));
        owners.map(|(_, owner)| (owner.source, owner.key.to_vec())).collect()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hash(&self) -> &OwnerHash {
        &self.hash
    }
}

impl State {
    /// Octets of memory without the zones.
    pub(crate) fn memory(&self) -> usize {
        self.owners.memory() + self.dictionary.suffixes.memory() + self.disputed.memory()
    }
}
