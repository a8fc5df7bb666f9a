//! The waiting exchanges of one socket or connection: a small executor within its task.
//!
//! All exchanges whose answers arrived together continue in one turn, and their replies leave in one
//! write. With a runtime's task for each exchange every step would be queued and scheduled, and a reply
//! would leave as its task ended. `docs/decisions/020-one-executor.md` has the measurements.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use exchange::{BoxFuture, Exchange};
use futures_util::task::AtomicWaker;

use crate::listen::handler::Permit;

/// The end of a list.
const NONE: usize = usize::MAX;

/// An exchange that no longer waits.
pub(crate) struct Finished<T> {
    /// What `spawn` got for it.
    pub(crate) tag: T,
    /// Its permit.
    pub(crate) permit: Permit,
    /// The exchange, or the panic of its future.
    pub(crate) result: Result<Box<Exchange>, Box<dyn Any + Send>>,
}

/// Waiting exchanges, each with a tag of its owner.
pub(crate) struct Tasks<T> {
    entries: Vec<TaskSlot<T>>,
    free: Vec<usize>,
    /// Entries of woken tasks, the next one last.
    turn: Vec<usize>,
    queue: Arc<ReadyQueue>,
    /// Entries that stay allocated when no exchange waits.
    kept: usize,
}

/// Memory for one task. Its waker outlives the task: a late wake causes one spurious poll of the next
/// task in this entry.
struct TaskSlot<T> {
    task: Option<Task<T>>,
    shared: Arc<TaskWaker>,
    waker: Waker,
}

struct Task<T> {
    future: BoxFuture<'static, Box<Exchange>>,
    permit: Permit,
    tag: T,
}

struct TaskWaker {
    index: usize,
    /// The task is in the ready queue and was not polled since.
    queued: AtomicBool,
    /// The next entry in the ready queue.
    next: AtomicUsize,
    queue: Arc<ReadyQueue>,
}

/// Entries of woken tasks: a lock-free stack that its owner takes as a whole. Entries link to each other
/// by index.
struct ReadyQueue {
    newest: AtomicUsize,
    /// The task of the socket or connection.
    owner: AtomicWaker,
}

impl ReadyQueue {
    fn new() -> Arc<Self> {
        Arc::new(Self { newest: AtomicUsize::new(NONE), owner: AtomicWaker::new() })
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let queue = &self.queue;
        let mut newest = queue.newest.load(Ordering::Relaxed);
        loop {
            self.next.store(newest, Ordering::Relaxed);
            let pushed = queue.newest.compare_exchange_weak(
                newest,
                self.index,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match pushed {
                Ok(_) => break,
                Err(now) => newest = now,
            }
        }
        // The first wake of a turn wakes the owner; it is awake for all others.
        if newest == NONE {
            queue.owner.wake();
        }
    }
}

impl<T> Tasks<T> {
    /// No tasks; the memory of `kept` tasks is reused when all are finished.
    pub(crate) fn new(kept: usize) -> Self {
        let queue = ReadyQueue::new();
        Self { entries: Vec::new(), free: Vec::new(), turn: Vec::new(), queue, kept }
    }

    /// How many exchanges wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether no exchange waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.entries.len()
    }

    /// Polls an exchange once, and keeps it if it must wait.
    pub(crate) fn spawn(
        &mut self,
        permit: Permit,
        tag: T,
        future: BoxFuture<'static, Box<Exchange>>,
    ) -> Option<Finished<T>> {
        let index = self.free.pop().unwrap_or(self.entries.len());
        if index == self.entries.len() {
            let shared = Arc::new(TaskWaker {
                index,
                queued: AtomicBool::new(false),
                next: AtomicUsize::new(NONE),
                queue: Arc::clone(&self.queue),
            });
            let waker = Waker::from(Arc::clone(&shared));
            self.entries.push(TaskSlot { task: None, shared, waker });
        }
        self.entries[index].task = Some(Task { future, permit, tag });
        self.poll_task(index)
    }

    /// Begins a turn with all woken tasks. From now on a wake also wakes the task of `context`.
    pub(crate) fn begin_turn(&mut self, context: &Context<'_>) {
        self.queue.owner.register(context.waker());
        let earlier = self.turn.len();
        let mut index = self.queue.newest.swap(NONE, Ordering::AcqRel);
        while let Some(entry) = self.entries.get(index) {
            self.turn.push(index);
            index = entry.shared.next.load(Ordering::Relaxed);
        }
        // Tasks of an earlier turn come first.
        self.turn.rotate_left(earlier);
    }

    /// Whether tasks of this turn were not polled yet.
    pub(crate) fn has_turn(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Polls the tasks of this turn, until one of them has finished.
    pub(crate) fn next_finished(&mut self) -> Option<Finished<T>> {
        while let Some(index) = self.turn.pop() {
            let finished = self.poll_task(index);
            if finished.is_some() {
                return finished;
            }
        }
        None
    }

    fn poll_task(&mut self, index: usize) -> Option<Finished<T>> {
        let entry = self.entries.get_mut(index)?;
        // Before the poll: a wake during it queues the task again. The swap makes visible what a waker
        // wrote that found the task queued.
        entry.shared.queued.swap(false, Ordering::AcqRel);
        let future = entry.task.as_mut()?.future.as_mut();
        let mut context = Context::from_waker(&entry.waker);
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(exchange)) => Ok(exchange),
            Err(panic) => Err(panic),
        };
        let Task { permit, tag, .. } = entry.task.take()?;
        self.free.push(index);
        if self.is_empty() && self.entries.len() > self.kept {
            // Late wakes go to the old queue.
            *self = Self::new(self.kept);
        }
        Some(Finished { tag, permit, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::{pending, poll_fn, ready};
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use crate::workers::{Limits, Workers};

    const KEPT: usize = 16;

    #[derive(Default)]
    struct Owner(AtomicUsize);

    impl Wake for Owner {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn permit() -> Permit {
        let workers = Workers::start(1, Limits::default()).unwrap();
        Permit::take(workers.worker(0)).unwrap()
    }

    type Future = BoxFuture<'static, Box<Exchange>>;

    /// Is ready after so many polls, each of which adds its waker to `wakers`.
    fn waits(polls: usize, wakers: &Arc<Mutex<Vec<Waker>>>) -> Future {
        let (mut left, wakers) = (polls, Arc::clone(wakers));
        Box::pin(poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(Box::default());
            }
            left -= 1;
            wakers.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        }))
    }

    fn spawn(tasks: &mut Tasks<usize>, tag: usize, future: Future) -> Option<Finished<usize>> {
        tasks.spawn(permit(), tag, future)
    }

    #[test]
    fn woken_tasks_continue_in_order_and_wake_their_owner_once() {
        let (owner, wakers) = (Arc::new(Owner::default()), Arc::default());
        let waker = Waker::from(Arc::clone(&owner));
        let context = Context::from_waker(&waker);
        let woken = || owner.0.swap(0, Ordering::Relaxed);
        let mut tasks = Tasks::new(KEPT);
        let finished = spawn(&mut tasks, 0, Box::pin(ready(Box::default())));
        assert!(finished.is_some_and(|finished| finished.result.is_ok()) && tasks.is_empty());
        for tag in 0..3 {
            assert!(spawn(&mut tasks, tag, waits(1, &wakers)).is_none());
        }
        assert!(spawn(&mut tasks, 3, Box::pin(pending())).is_none());
        tasks.begin_turn(&context);
        assert!(tasks.next_finished().is_none());
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        wakers.iter().chain(&wakers).for_each(Waker::wake_by_ref);
        assert_eq!(woken(), 1);
        tasks.begin_turn(&context);
        for tag in 0..3 {
            assert_eq!(tasks.next_finished().unwrap().tag, tag);
        }
        assert!(tasks.next_finished().is_none() && tasks.len() == 1);
        // A finished task is woken once more, and another one is in its entry.
        let others = Arc::default();
        assert!(spawn(&mut tasks, 4, waits(2, &others)).is_none());
        wakers.iter().for_each(Waker::wake_by_ref);
        tasks.begin_turn(&context);
        assert!(tasks.next_finished().is_none());
        assert_eq!((woken(), others.lock().unwrap().len()), (1, 2));
    }

    #[test]
    fn tasks_of_an_earlier_turn_come_first() {
        let context = &mut Context::from_waker(Waker::noop());
        let (first, second) = (Arc::default(), Arc::default());
        let mut tasks = Tasks::new(KEPT);
        for tag in 0..3 {
            assert!(spawn(&mut tasks, tag, waits(1, &first)).is_none());
        }
        for tag in 3..6 {
            assert!(spawn(&mut tasks, tag, waits(1, &second)).is_none());
        }
        for wakers in [first, second] {
            wakers.lock().unwrap().drain(..).for_each(Waker::wake);
            tasks.begin_turn(context);
        }
        for tag in 0..6 {
            assert_eq!(tasks.next_finished().unwrap().tag, tag);
        }
    }

    #[test]
    fn a_task_that_wakes_itself_is_polled_in_the_next_turn() {
        let context = &mut Context::from_waker(Waker::noop());
        let mut tasks = Tasks::new(KEPT);
        let mut polls = 0;
        let busy = poll_fn(move |context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(Box::default()) } else { Poll::Pending }
        });
        assert!(spawn(&mut tasks, 0, Box::pin(busy)).is_none());
        tasks.begin_turn(context);
        assert!(tasks.next_finished().is_none(), "one poll a turn");
        tasks.begin_turn(context);
        assert!(tasks.next_finished().is_some());
    }

    #[test]
    fn a_panic_ends_one_task_and_frees_its_entry() {
        let mut tasks = Tasks::new(KEPT);
        let panics = poll_fn(|_| -> Poll<Box<Exchange>> { panic!("as asked") });
        assert!(spawn(&mut tasks, 0, Box::pin(panics)).is_some_and(|done| done.result.is_err()));
        assert!(tasks.is_empty());
        let wakers = Arc::default();
        for tag in 0..=KEPT {
            assert!(spawn(&mut tasks, tag, waits(1, &wakers)).is_none());
        }
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        wakers.iter().for_each(Waker::wake_by_ref);
        tasks.begin_turn(&Context::from_waker(Waker::noop()));
        assert_eq!((0..=KEPT).filter_map(|_| tasks.next_finished()).count(), KEPT + 1);
        assert_eq!(tasks.entries.len(), 0, "a rush leaves no memory behind");
        // Wakers of the entries that are gone.
        assert!(spawn(&mut tasks, 0, Box::pin(pending())).is_none());
        wakers.iter().for_each(Waker::wake_by_ref);
        tasks.begin_turn(&Context::from_waker(Waker::noop()));
        assert!(tasks.next_finished().is_none() && tasks.len() == 1);
    }

    #[test]
    fn wakes_of_other_threads_are_not_lost() {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let context = Context::from_waker(&waker);
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let mut tasks = Tasks::new(KEPT);
        for tag in 0..64 {
            assert!(spawn(&mut tasks, tag, waits(200, &wakers)).is_none());
        }
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while Arc::strong_count(&wakers) > 1 {
                        let some = std::mem::take(&mut *wakers.lock().unwrap());
                        some.into_iter().for_each(Waker::wake);
                    }
                });
            }
            let (mut finished, start) = (0, Instant::now());
            while finished < 64 {
                assert!(start.elapsed() < Duration::from_secs(5), "{finished}");
                tasks.begin_turn(&context);
                let before = finished;
                while tasks.next_finished().is_some() {
                    finished += 1;
                }
                if finished == before {
                    std::thread::park_timeout(Duration::from_secs(5));
                }
            }
        });
        assert!(tasks.is_empty());
    }
}
