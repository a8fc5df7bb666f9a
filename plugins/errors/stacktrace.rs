//! Stack traces of panics, while a configuration asks for them.

use std::backtrace::Backtrace;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many serving blocks want them.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// Logs the stack of every panic until the configuration is replaced.
pub(super) async fn while_serving() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // The stack is gone when the server catches the panic: only a hook still sees it.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            before(info);
            if WANTED.load(Ordering::Relaxed) > 0 {
                let stack = Backtrace::force_capture();
                chain::error!("plugin/errors: stack of the panic `{info}`:\n{stack}");
            }
        }));
    });
    WANTED.fetch_add(1, Ordering::Relaxed);
    let _unwanted = OnDrop;
    std::future::pending::<()>().await;
}

struct OnDrop;

impl Drop for OnDrop {
    fn drop(&mut self) {
        WANTED.fetch_sub(1, Ordering::Relaxed);
    }
}
