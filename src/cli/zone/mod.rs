//! `catena zone`: checks, compares and formats master files, and lists the zones of a running server.

mod check;
mod diff;
mod format;
mod json;
mod list;
mod progress;
mod source;

use std::process::ExitCode;

use super::args::ZoneCommand;
use super::output;

/// How a command ends that cannot do what it was asked for.
const TROUBLE: u8 = 2;

/// Runs the command.
pub(crate) fn zone(command: &ZoneCommand) -> ExitCode {
    let ended = match command {
        ZoneCommand::Check(options) => check::check(options),
        ZoneCommand::Checks => Ok(check::list()),
        ZoneCommand::Diff(options) => diff::diff(options),
        ZoneCommand::Format(options) => format::format(options),
        ZoneCommand::List(options) => Ok(list::list(options)),
    };
    ended.unwrap_or_else(|problem| {
        output::complain(problem);
        ExitCode::from(TROUBLE)
    })
}
