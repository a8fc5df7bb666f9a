//! Waiting queries, and which of them can continue.
//!
//! The socket's own task polls them. A task for each query would be queued, woken and dequeued at
//! every step, and its answer would wait to be sent. Here all queries that can continue at the same
//! time do so in one turn, and their answers leave in one system call.

use std::any::Any;
use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use exchange::{BoxFuture, Exchange};

use crate::handler::Permit;

/// Places that are kept when nobody waits; more were needed in a rush only.
const KEPT: usize = 1024;

/// What a query that waited came to: its slot, or what its handler panicked with.
pub(super) type Done = Result<Box<Exchange>, Box<dyn Any + Send>>;

/// The queries of one socket that wait.
#[derive(Default)]
pub(super) struct Waiting {
    places: Vec<Place>,
    free: Vec<usize>,
    bells: Arc<Bells>,
    /// Whose turn it is.
    turn: VecDeque<usize>,
}

/// Where one query waits. Its bell is that of all who wait here, one after the other: who left may
/// ring it once more, and whoever is there then looks in vain.
struct Place {
    guest: Option<Guest>,
    bell: Arc<Bell>,
    waker: Waker,
}

struct Guest {
    rest: BoxFuture<'static, Box<Exchange>>,
    _permit: Permit,
}

/// Wakes the one in its place.
struct Bell {
    place: usize,
    /// It was rung, and nobody looked yet.
    rung: AtomicBool,
    bells: Arc<Bells>,
}

#[derive(Default)]
struct Bells(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    places: VecDeque<usize>,
    /// The socket's.
    task: Option<Waker>,
}

impl Bells {
    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut rung = self.bells.rung();
        rung.places.push_back(self.place);
        // Who is not the first of a turn finds the task awake.
        let task = if rung.places.len() == 1 { rung.task.clone() } else { None };
        drop(rung);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Waiting {
    /// Goes on with a query as far as it goes at once; if it has to wait, it gets a place.
    pub(super) fn enter(
        &mut self,
        permit: Permit,
        rest: BoxFuture<'static, Box<Exchange>>,
    ) -> Option<Done> {
        let at = self.free.pop().unwrap_or(self.places.len());
        if at == self.places.len() {
            let bells = Arc::clone(&self.bells);
            let bell = Arc::new(Bell { place: at, rung: AtomicBool::new(false), bells });
            let waker = Waker::from(Arc::clone(&bell));
            self.places.push(Place { guest: None, bell, waker });
        }
        self.places[at].guest = Some(Guest { rest, _permit: permit });
        self.go_on(at)
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Gives a turn to all who may go on. The task is woken when more may.
    pub(super) fn look(&mut self, context: &Context<'_>) {
        let mut rung = self.bells.rung();
        match &mut rung.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        if self.turn.is_empty() {
            mem::swap(&mut self.turn, &mut rung.places);
        } else {
            self.turn.append(&mut rung.places);
        }
    }

    /// Goes on with those whose turn it is, until one of them is done.
    pub(super) fn next(&mut self) -> Option<Done> {
        while let Some(at) = self.turn.pop_front() {
            let done = self.go_on(at);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    fn go_on(&mut self, at: usize) -> Option<Done> {
        let place = self.places.get_mut(at)?;
        // Before it looks: whoever rings from now on means the next time.
        place.bell.rung.store(false, Ordering::Release);
        let rest = place.guest.as_mut()?.rest.as_mut();
        let mut context = Context::from_waker(&place.waker);
        let done = match catch_unwind(AssertUnwindSafe(|| rest.poll(&mut context))) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(slot)) => Ok(slot),
            Err(panic) => Err(panic),
        };
        place.guest = None;
        self.free.push(at);
        if self.is_empty() && self.places.len() > KEPT {
            self.places = Vec::new();
            self.free = Vec::new();
        }
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::{pending, poll_fn, ready};
    use std::sync::atomic::AtomicUsize;

    use crate::workers::{Limits, Workers};

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn permit() -> Permit {
        let workers = Workers::start(1, Limits::default()).unwrap();
        Permit::take(workers.worker(0)).unwrap()
    }

    /// Waits until it was looked at so often, each time ringing before `wakers` gets its waker.
    fn waits(looks: usize, wakers: &Arc<Mutex<Vec<Waker>>>) -> BoxFuture<'static, Box<Exchange>> {
        let (mut left, wakers) = (looks, Arc::clone(wakers));
        Box::pin(poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(Box::default());
            }
            left -= 1;
            wakers.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        }))
    }

    #[test]
    fn who_is_woken_goes_on_and_the_task_is_woken_once() {
        let (task, wakers) = (Arc::new(Task::default()), Arc::default());
        let waker = Waker::from(Arc::clone(&task));
        let context = Context::from_waker(&waker);
        let woken = || task.0.swap(0, Ordering::Relaxed);
        let mut waiting = Waiting::default();
        assert!(
            waiting
                .enter(permit(), Box::pin(ready(Box::default())))
                .is_some_and(|done| done.is_ok())
        );
        assert!(waiting.is_empty());
        for _ in 0..3 {
            assert!(waiting.enter(permit(), waits(1, &wakers)).is_none());
        }
        assert!(waiting.enter(permit(), Box::pin(pending())).is_none());
        waiting.look(&context);
        assert!(waiting.next().is_none());
        let wakers = mem::take(&mut *wakers.lock().unwrap());
        wakers.iter().chain(&wakers).for_each(Waker::wake_by_ref);
        assert_eq!(woken(), 1);
        waiting.look(&context);
        for _ in 0..3 {
            assert!(waiting.next().is_some_and(|done| done.is_ok()));
        }
        assert!(waiting.next().is_none() && !waiting.is_empty());
        // Those who left ring once more, and somebody else is in their place.
        let others = Arc::default();
        assert!(waiting.enter(permit(), waits(2, &others)).is_none());
        wakers.iter().for_each(Waker::wake_by_ref);
        waiting.look(&context);
        assert!(waiting.next().is_none());
        assert_eq!((woken(), others.lock().unwrap().len()), (1, 2));
    }

    #[test]
    fn who_rings_for_itself_gets_the_next_turn() {
        let context = &mut Context::from_waker(Waker::noop());
        let mut waiting = Waiting::default();
        let mut looks = 0;
        let busy = poll_fn(move |context| {
            looks += 1;
            context.waker().wake_by_ref();
            if looks == 3 { Poll::Ready(Box::default()) } else { Poll::Pending }
        });
        assert!(waiting.enter(permit(), Box::pin(busy)).is_none());
        waiting.look(context);
        assert!(waiting.next().is_none(), "one look a turn");
        waiting.look(context);
        assert!(waiting.next().is_some());
    }

    #[test]
    fn a_panic_is_told_and_the_place_is_free() {
        let mut waiting = Waiting::default();
        let panics = poll_fn(|_| -> Poll<Box<Exchange>> { panic!("as asked") });
        assert!(waiting.enter(permit(), Box::pin(panics)).is_some_and(|done| done.is_err()));
        assert!(waiting.is_empty());
        for _ in 0..KEPT + 1 {
            assert!(waiting.enter(permit(), Box::pin(pending())).is_none());
        }
        assert_eq!(waiting.places.len(), KEPT + 1);
    }
}
