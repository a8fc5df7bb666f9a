//! What commands print.
//!
//! A reader that goes away (`catena help cache | head`) is no mistake: the rest is not printed, and the
//! command ends without a word and with the exit code that it would have had. If the output cannot be
//! written for another reason, such as a full disk, the command says so and fails.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// The version that `-version` and the banner show.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Octets that are printed at once.
const PIECE: usize = 64 << 10;

/// Prints the whole of what a command was asked for; `code` is how it ends then.
pub(crate) fn print(text: &str, code: ExitCode) -> ExitCode {
    match write(&mut io::stdout().lock(), text) {
        Ok(()) => code,
        Err(error) => {
            complain(format_args!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what `print` writes, piece by piece: too much to hold it. Otherwise as [`print`].
pub(crate) fn stream(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ExitCode {
    let mut out = io::BufWriter::with_capacity(PIECE, io::stdout().lock());
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(format_args!("cannot write the output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Shows on the last line of a terminal how far something is.
pub(crate) fn progress(text: &str) {
    let _ = write(&mut io::stderr().lock(), &format!("\r\x1B[K{text}"));
}

/// Erases what [`progress`] showed.
pub(crate) fn erase() {
    progress("");
}

/// Prints a line, if anybody reads it: what the program does meanwhile does not depend on it.
pub(crate) fn say(line: &str) {
    let _ = write(&mut io::stdout().lock(), &format!("{line}\n"));
}

/// Says on stderr, on a line of its own, what is wrong.
pub(crate) fn complain(problem: impl Display) {
    let _ = write(&mut io::stderr().lock(), &format!("{problem}\n"));
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
