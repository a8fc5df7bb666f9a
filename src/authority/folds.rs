//! Folds of changed zones, one at a time in the process: each copies a zone, and two of them would take the
//! memory of two.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use zone::{Live, Zone};

/// How often at most the version before is looked at, until nobody else has it.
const LOOKS: u32 = 500;
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The zones that wait for their fold, each once.
static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: VecDeque::new(), is_running: false });

struct Queue {
    waiting: VecDeque<Weak<Live>>,
    is_running: bool,
}

/// Folds the zone in the background if so much of it changed that this is worth its cost. Without a runtime
/// nothing happens: the zone folds itself once a quarter of its names has changed.
pub(crate) fn offer(zone: &Arc<Live>) {
    if !zone.fold_due() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let mut queue = queue();
    let offered = Arc::downgrade(zone);
    if !queue.waiting.iter().any(|waiting| waiting.ptr_eq(&offered)) {
        queue.waiting.push_back(offered);
    }
    if !std::mem::replace(&mut queue.is_running, true) {
        drop(queue);
        runtime.spawn_blocking(run);
    }
}

/// Folds zones until none waits.
fn run() {
    loop {
        let mut queue = queue();
        let Some(next) = queue.waiting.pop_front() else {
            queue.is_running = false;
            return;
        };
        drop(queue);
        if let Some(before) = next.upgrade().and_then(|zone| zone.fold()) {
            release(before);
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

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
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
        while live.fold_due() || queue().is_running {
            tokio::task::yield_now().await;
        }
        assert_eq!(live.zone_to_keep().unwrap().record_count(), 2251);
    }
}
