//! `catena check`: every mistake of a Corefile, without serving it.

use std::process::ExitCode;

use chain::{Kept, Registry};
use corefile::{Diagnostic, Diagnostics, Severity, Sources, counted};

use super::args::CheckOptions;
use super::output::{self, complain};
use super::run;
use crate::server::{self, ListenerIds, Options};

/// Checks a Corefile and prints the diagnostics: exit 0 if it is valid, perhaps with warnings, and 1 if not.
pub(crate) fn check(registry: Registry, check: &CheckOptions) -> ExitCode {
    telemetry::log::to_stderr();
    let source = match run::read_source(Some(&check.conf)) {
        Ok(source) => source,
        Err(unread) => {
            let problem = Diagnostic::general(format!("cannot read {}", unread.what()))
                .help("name a Corefile, as in `catena check Corefile`");
            return tell(check, problem.into(), &Sources::default());
        }
    };
    // Plugins may ask names or read files while they are set up, and expect a runtime to be there.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        complain("cannot start the runtime");
        return ExitCode::FAILURE;
    };
    let _entered = runtime.enter();
    let (memory, unused_limit) = run::memory();
    let options = Options { registry, port: check.port, workers: 1, memory, watcher: None };
    let mut ids = ListenerIds::default();
    let (corefile, result) =
        server::prepare(&source, &corefile::OsLoader, &options, Kept::default(), &mut ids, None);
    let mut findings = match result {
        Ok((_, warnings)) => warnings,
        Err(mistakes) => mistakes,
    };
    server::lint(&corefile, registry, &mut findings);
    findings.extend(
        unused_limit.map(|problem| Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::general(problem)
        }),
    );
    let code = tell(check, findings, &corefile.sources);
    telemetry::log::flush();
    code
}

/// Prints the findings; the exit code is the verdict.
fn tell(check: &CheckOptions, mut findings: Diagnostics, sources: &Sources) -> ExitCode {
    if check.strict {
        findings.make_errors();
    }
    let verdict = if findings.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let text = if check.json {
        corefile::render_json(&findings, sources) + "\n"
    } else {
        let (errors, warnings) = findings.count();
        let errors = counted(errors as u64, "error", "errors");
        let warnings = counted(warnings as u64, "warning", "warnings");
        let shown = corefile::render(&findings, sources);
        format!("{shown}{}: {errors}, {warnings}\n", check.conf)
    };
    output::print(&text, verdict)
}
