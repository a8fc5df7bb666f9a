//! Log lines, written by a thread of their own: the data path never waits for a terminal or a disk.
//!
//! The buffer is bounded. Lines beyond the bound are dropped and counted.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use corefile::{Diagnostic, Record, Severity, Sources};

use crate::json;
pub use crate::level::Level;
use crate::metrics::{self, Counter, SHARED};

/// The bound of the buffer, in octets.
const MAX_BUFFERED: usize = 4 << 20;

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// Whether the writer holds a batch that is not written yet.
    writing: bool,
}

struct Buffer {
    pending: Mutex<Pending>,
    more: Condvar,
    empty: Condvar,
    dropped: Counter,
}

fn buffer() -> &'static Buffer {
    static BUFFER: OnceLock<Buffer> = OnceLock::new();
    static WRITER: AtomicBool = AtomicBool::new(false);
    let buffer = BUFFER.get_or_init(|| Buffer {
        pending: Mutex::default(),
        more: Condvar::new(),
        empty: Condvar::new(),
        dropped: metrics::counter(
            "catena_log_dropped_lines_total",
            "Log lines dropped because the output could not keep up.",
            &[],
            &[],
        ),
    });
    if !WRITER.swap(true, Ordering::SeqCst) {
        // Without the thread lines would pile up to the bound and be counted as dropped.
        let _ = std::thread::Builder::new().name("catena-log".into()).spawn(|| write_all(buffer));
    }
    buffer
}

fn write_all(buffer: &Buffer) {
    let mut batch = Vec::new();
    loop {
        let mut pending = buffer.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.writing = false;
        buffer.empty.notify_all();
        while pending.lines.is_empty() {
            pending = buffer.more.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut batch, &mut pending.lines);
        pending.writing = true;
        drop(pending);
        // A closed stdout must not end the server.
        let mut out: Box<dyn Write> = match TO_STDERR.load(Ordering::Relaxed) {
            true => Box::new(std::io::stderr()),
            false => Box::new(std::io::stdout()),
        };
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        batch.clear();
        batch.shrink_to(64 << 10);
    }
}

static TO_STDERR: AtomicBool = AtomicBool::new(false);

/// Writes to stderr from now on: stdout is for the output of a command.
pub fn to_stderr() {
    TO_STDERR.store(true, Ordering::Relaxed);
}

static DEBUG: AtomicBool = AtomicBool::new(false);
/// The lines that a test captures instead of printing them.
static CAPTURE: Mutex<Option<Vec<u8>>> = Mutex::new(None);
static CAPTURING: AtomicBool = AtomicBool::new(false);

/// Whether debug lines are written.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
}

/// Whether debug lines are written.
pub fn debug_enabled() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// Writes whole lines as they are, each with its line end.
pub fn raw(lines: &[u8]) {
    if CAPTURING.load(Ordering::Relaxed)
        && let Some(captured) = &mut *CAPTURE.lock().unwrap_or_else(PoisonError::into_inner)
    {
        captured.extend_from_slice(lines);
        return;
    }
    let buffer = buffer();
    let mut pending = buffer.pending.lock().unwrap_or_else(PoisonError::into_inner);
    if pending.lines.len() + lines.len() > MAX_BUFFERED {
        let count = lines.iter().filter(|&&byte| byte == b'\n').count();
        buffer.dropped.add(SHARED, count as u64);
        return;
    }
    let idle = pending.lines.is_empty();
    pending.lines.extend_from_slice(lines);
    drop(pending);
    if idle {
        buffer.more.notify_one();
    }
}

/// Writes one line, with its level in brackets before it; or an object, if lines are JSON.
pub fn line(level: Level, message: std::fmt::Arguments<'_>) {
    if level == Level::Debug && !debug_enabled() {
        return;
    }
    match object(level, message) {
        Some(object) => raw(&object),
        None => raw(format!("[{}] {message}\n", level.word()).as_bytes()),
    }
}

/// The clock of JSON lines; without one, lines are text.
static JSON: OnceLock<fn() -> u64> = OnceLock::new();

/// Writes JSON from now on; `unix` returns the seconds since 1970.
pub fn set_json(unix: fn() -> u64) {
    let _ = JSON.set(unix);
}

/// Whether lines are JSON.
#[inline]
pub fn is_json() -> bool {
    JSON.get().is_some()
}

/// Writes one line about a diagnostic: `before`, then the words of CoreDNS if the diagnostic has some,
/// else place, message and help. In JSON these are members, too.
pub fn finding(before: &str, finding: &Diagnostic, sources: &Sources) {
    let (level, text, record) = in_words(before, finding, sources);
    match object_about(level, &text, Some(&record)) {
        Some(object) => raw(&object),
        None => raw(format!("[{}] {text}\n", level.word()).as_bytes()),
    }
}

/// A diagnostic as a line of JSON, if lines are JSON.
pub fn finding_object(finding: &Diagnostic, sources: &Sources) -> Option<Vec<u8>> {
    let (level, text, record) = in_words("", finding, sources);
    object_about(level, &text, Some(&record))
}

fn in_words(before: &str, finding: &Diagnostic, sources: &Sources) -> (Level, String, Record) {
    let finding = &finding.without_secrets(sources);
    let record = Record::new(finding, sources);
    let level = match finding.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
    };
    let text = match &finding.logged {
        Some(words) => format!("{before}{words}"),
        None => format!("{before}{record}"),
    };
    (level, text, record)
}

/// The message as a JSON line, if lines are JSON. The name of the plugin is a member of its own.
pub fn object(level: Level, message: std::fmt::Arguments<'_>) -> Option<Vec<u8>> {
    object_about(level, &message.to_string(), None)
}

/// The message as a JSON line with the members of a diagnostic.
fn object_about(level: Level, text: &str, about: Option<&Record>) -> Option<Vec<u8>> {
    let unix = JSON.get()?();
    let spoken = text.strip_prefix("plugin/").and_then(|rest| rest.split_once(": "));
    let (plugin, said) = match spoken {
        Some((plugin, said)) => (Some(plugin), said),
        None => (None, text),
    };
    let mut line = Vec::with_capacity(text.len() + 96);
    json::start(&mut line, unix, level, said);
    if let Some(plugin) = plugin {
        line.extend_from_slice(b",\"plugin\":");
        json::string(&mut line, plugin);
    }
    if let Some(record) = about {
        members(&mut line, record);
    }
    line.extend_from_slice(b"}\n");
    Some(line)
}

/// The members of a diagnostic. Absent ones are left out.
fn members(line: &mut Vec<u8>, record: &Record) {
    if let Some((file, at_line, column)) = &record.place {
        line.extend_from_slice(b",\"file\":");
        json::string(line, file);
        let _ = write!(line, ",\"line\":{at_line},\"column\":{column}");
    }
    line.extend_from_slice(b",\"message\":");
    json::string(line, &record.message);
    if let Some(help) = &record.help {
        line.extend_from_slice(b",\"help\":");
        json::string(line, help);
    }
}

/// Waits, at most a second, until everything is written: before the process ends.
pub fn flush() {
    let buffer = buffer();
    let pending = buffer.pending.lock().unwrap_or_else(PoisonError::into_inner);
    let second = std::time::Duration::from_secs(1);
    let busy = |pending: &mut Pending| pending.writing || !pending.lines.is_empty();
    drop(buffer.empty.wait_timeout_while(pending, second, busy));
}

/// Collects lines instead of writing them, for tests; returns what was collected before.
pub fn capture(on: bool) -> Vec<u8> {
    let mut captured = CAPTURE.lock().unwrap_or_else(PoisonError::into_inner);
    CAPTURING.store(on, Ordering::Relaxed);
    std::mem::replace(&mut *captured, on.then(Vec::new)).unwrap_or_default()
}

/// Logs at level INFO.
#[macro_export]
macro_rules! info { ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Info, format_args!($($arg)*)) }; }
/// Logs at level WARNING.
#[macro_export]
macro_rules! warning { ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Warning, format_args!($($arg)*)) }; }
/// Logs at level ERROR.
#[macro_export]
macro_rules! error { ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Error, format_args!($($arg)*)) }; }
/// Logs at level DEBUG, which is written only with the `debug` directive.
#[macro_export]
macro_rules! debug { ($($arg:tt)*) => { $crate::log::line($crate::log::Level::Debug, format_args!($($arg)*)) }; }
