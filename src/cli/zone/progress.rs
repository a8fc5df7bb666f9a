//! Says on a terminal how far a command is, if it takes longer than a second.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A command that is done sooner says nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line changes at most.
const PACE: Duration = Duration::from_millis(200);

/// The line on the terminal.
pub(super) struct Progress {
    terminal: bool,
    began: Instant,
    last: Cell<Option<Instant>>,
    /// Octets to read, as far as they are known, and octets that were read.
    whole: Cell<u64>,
    read: Cell<u64>,
    what: RefCell<String>,
}

impl Progress {
    /// Starts to count the time.
    #[expect(clippy::disallowed_methods, reason = "a person waits in real time")]
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            terminal: io::stderr().is_terminal(),
            began: Instant::now(),
            last: Cell::new(None),
            whole: Cell::new(0),
            read: Cell::new(0),
            what: RefCell::default(),
        })
    }

    /// Begins to read a file of that size.
    pub(super) fn begin(&self, what: &str, size: u64) {
        self.whole.set(size);
        self.read.set(0);
        what.clone_into(&mut self.what.borrow_mut());
    }

    #[expect(clippy::disallowed_methods, reason = "a person waits in real time")]
    fn advance(&self, octets: u64) {
        self.read.set(self.read.get() + octets);
        if !self.terminal {
            return;
        }
        let now = Instant::now();
        let due = self.last.get().is_none_or(|last| now - last >= PACE) || octets == 0;
        if due && now - self.began >= PATIENCE {
            self.last.set(Some(now));
            let (read, whole) = (self.read.get(), self.whole.get());
            let what = self.what.borrow();
            let line = match octets {
                0 => format!("{what}: sorting"),
                _ if whole > 0 => format!("{what}: {} %", (read * 100 / whole).min(100)),
                _ => format!("{what}: {} MB", read / 1_000_000),
            };
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }

    /// Clears the line, before something else is printed.
    pub(super) fn end(&self) {
        if self.last.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A reader whose progress is shown.
pub(super) struct Watched<R> {
    pub(super) inner: R,
    pub(super) progress: Rc<Progress>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
