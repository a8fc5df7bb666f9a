//! `catena check`: every mistake of a Corefile, without serving it.
#![expect(clippy::print_stdout, reason = "the findings are what was asked for")]

use std::process::ExitCode;

use chain::{Kept, Registry};

use super::args::CheckOptions;
use super::run;
use crate::server::{self, Options, SiteNumbers};

/// Checks and tells: exit 0 if the Corefile can be served (there may be warnings), 1 if not.
pub(crate) fn check(registry: Registry, check: &CheckOptions) -> ExitCode {
    chain::log::to_stderr();
    let source = match run::read_source(Some(&check.conf)) {
        Ok(source) => source,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    // Plugins may ask names or read files while they are set up, and expect a runtime to be there.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        eprintln!("cannot start a runtime");
        return ExitCode::FAILURE;
    };
    let _entered = runtime.enter();
    let options =
        Options { registry, port: check.port, workers: 1, memory: run::memory(), watcher: None };
    let mut numbers = SiteNumbers::default();
    let (corefile, result) = server::prepare(
        &source,
        &corefile::OsLoader,
        &options,
        Kept::default(),
        &mut numbers,
        None,
    );
    let (mut findings, ok) = match result {
        Ok((_, warnings)) => (warnings, true),
        Err(mistakes) => (mistakes, false),
    };
    server::lint(&corefile, registry, &mut findings);
    if check.json {
        println!("{}", corefile::render_json(&findings, &corefile.sources));
    } else {
        print!("{}", corefile::render(&findings, &corefile.sources));
        let errors = findings.0.iter().filter(|f| f.severity == corefile::Severity::Error).count();
        let warnings = findings.0.len() - errors;
        println!("{}: {errors} errors, {warnings} warnings", check.conf);
    }
    chain::log::flush();
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
