//! Panics of plugins are caught and logged once, with their place in the source.
//!
//! When a panic has been caught, its stack is gone. Only the hook sees it, and stores it for the
//! thread's [`catch`]. A panic that nothing here catches is printed as usual.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

thread_local! {
    /// Whether what this thread runs is inside [`catch`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the latest panic inside [`catch`] came from.
    static LATEST: RefCell<Option<Origin>> = const { RefCell::new(None) };
}

struct Origin {
    place: String,
    stack: Backtrace,
}

/// A panic that was caught.
pub(crate) struct Panic {
    /// What [`panic::resume_unwind`] takes.
    pub(crate) payload: Box<dyn Any + Send>,
    origin: Option<Origin>,
}

impl Panic {
    /// Logs it in CoreDNS's words and where it happened, with the stack if that is wanted.
    #[cold]
    pub(crate) fn tell(&self, with_stack: bool) {
        let text = self.text();
        match &self.origin {
            Some(Origin { place, stack }) if with_stack => {
                telemetry::error!("Recovered from panic in server: {text} at {place}\n{stack}");
            }
            Some(Origin { place, .. }) => {
                telemetry::error!("Recovered from panic in server: {text} at {place}");
            }
            None => telemetry::error!("Recovered from panic in server: {text}"),
        }
    }

    fn text(&self) -> &str {
        let payload = &*self.payload;
        payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("unknown cause")
    }
}

/// Makes the hook keep the origin of panics that are caught here, once for the process.
pub(crate) fn install() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                return before(info);
            }
            let place = info.location().map_or_else(String::new, ToString::to_string);
            // Names are looked up only when the stack is shown.
            let origin = Origin { place, stack: Backtrace::force_capture() };
            LATEST.set(Some(origin));
        }));
    });
}

/// Runs `work`; a panic in it is the error.
#[inline]
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    result.map_err(|payload| Panic { payload, origin: LATEST.take() })
}

/// A future whose panic is its error.
pub(crate) struct Catch<'a, F>(pub(crate) Pin<&'a mut F>);

impl<F: Future> Future for Catch<'_, F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.0.as_mut();
        match catch(|| future.poll(context)) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
