//! Folds of changed zones, one at a time in the process: each copies a zone, and two of them would take the
//! memory of two.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use zone::{Live, Zone};

/// How often at most the version before is looked at, until nobody else has it.
const LOOKS: u32 = 500;
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The folds of the process.
static FOLDS: Folds = Folds::new(Live::fold);

struct Folds {
    queue: Mutex<Queue>,
    /// Folds a zone, and returns the version before.
    fold: fn(&Live) -> Option<Arc<Zone>>,
}

struct Queue {
    /// The zones that wait for their fold, each once.
    waiting: VecDeque<Weak<Live>>,
    is_running: bool,
}

/// Folds the zone in the background if so much of it changed that this is worth its cost. Without a runtime
/// nothing happens: the zone folds itself once a quarter of its names has changed.
pub(crate) fn offer(zone: &Arc<Live>) {
    if zone.fold_due() {
        FOLDS.add(zone);
    }
}

impl Folds {
    const fn new(fold: fn(&Live) -> Option<Arc<Zone>>) -> Self {
        let queue = Queue { waiting: VecDeque::new(), is_running: false };
        Self { queue: Mutex::new(queue), fold }
    }

    fn add(&'static self, zone: &Arc<Live>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut queue = self.queue();
        let offered = Arc::downgrade(zone);
        if !queue.waiting.iter().any(|waiting| waiting.ptr_eq(&offered)) {
            queue.waiting.push_back(offered);
        }
        if !std::mem::replace(&mut queue.is_running, true) {
            drop(queue);
            runtime.spawn_blocking(|| self.run());
        }
    }

    /// Folds zones until none waits.
    fn run(&'static self) {
        let _panic = OnPanic(self);
        loop {
            let mut queue = self.queue();
            let Some(next) = queue.waiting.pop_front() else {
                queue.is_running = false;
                return;
            };
            drop(queue);
            if let Some(before) = next.upgrade().and_then(|zone| (self.fold)(&zone)) {
                release(before);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a fold that panics, those that wait have their turn. The zone that it was about stays as it is.
struct OnPanic(&'static Folds);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let folds = self.0;
        let mut queue = folds.queue();
        let runtime = Handle::try_current().ok().filter(|_| !queue.waiting.is_empty());
        queue.is_running = runtime.is_some();
        drop(queue);
        if let Some(runtime) = runtime {
            runtime.spawn_blocking(|| folds.run());
        }
    }
}

/// Drops a version once nobody else has it: to free a large zone takes milliseconds, which a worker must not
/// spend. A transfer may hold it for longer.
fn release(before: Arc<Zone>) {
    for _ in 0..LOOKS {
        if Arc::strong_count(&before) == 1 {
            break;
        }
        thread::park_timeout(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Class, Name, Rtype};
    use zone::{Builder, Changes, RecordRef};

    fn record<'a>(owner: &'a Name, rtype: Rtype, rdata: &'a [u8]) -> RecordRef<'a> {
        RecordRef { owner: owner.as_wire(), rtype, class: Class::IN, ttl: 60, rdata }
    }

    #[tokio::test]
    async fn a_zone_that_changed_much_is_folded_once_for_all_its_changes() {
        let apex = Name::from_text("example.").unwrap();
        let mut builder = Builder::new(&apex, 0);
        builder.add(record(&apex, Rtype::SOA, &[0; 22])).unwrap();
        for host in 0..2000u32 {
            let owner = Name::from_text(&format!("h{host}.example.")).unwrap();
            builder.add(record(&owner, Rtype::A, &host.to_be_bytes())).unwrap();
        }
        let live = Arc::new(Live::new(apex));
        live.replace(builder.finish().unwrap());
        for host in 0..250u32 {
            let owner = Name::from_text(&format!("n{host}.example.")).unwrap();
            let mut changes = Changes::new();
            changes.add(record(&owner, Rtype::A, &host.to_be_bytes()));
            live.change(changes).unwrap();
            offer(&live);
        }
        while live.fold_due() || FOLDS.queue().is_running {
            tokio::task::yield_now().await;
        }
        assert_eq!(live.zone_to_keep().unwrap().record_count(), 2251);
    }

    #[tokio::test]
    async fn a_fold_that_panics_does_not_end_the_others() {
        static FOLDED: Mutex<Vec<String>> = Mutex::new(Vec::new());
        static PANICS: Folds = Folds::new(|zone| {
            let name = zone.origin().to_string();
            let fails = name.starts_with("bad");
            FOLDED.lock().unwrap().push(name);
            assert!(!fails, "a fault of a fold");
            None
        });
        let lives = ["bad1.", "good1.", "bad2.", "good2.", "bad3."]
            .map(|name| Arc::new(Live::new(Name::from_text(name).unwrap())));
        // All wait before the first one begins, then one after the other.
        PANICS.queue().is_running = true;
        lives[..4].iter().for_each(|live| PANICS.add(live));
        PANICS.queue().is_running = false;
        PANICS.add(&lives[0]);
        let idle = || !PANICS.queue().is_running && PANICS.queue().waiting.is_empty();
        while !idle() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*FOLDED.lock().unwrap(), ["bad1.", "good1.", "bad2.", "good2."]);
        PANICS.add(&lives[4]);
        while !idle() {
            tokio::task::yield_now().await;
        }
        assert_eq!(FOLDED.lock().unwrap().last().map(String::as_str), Some("bad3."));
    }
}
