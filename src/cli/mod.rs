//! The command line: parses the arguments and runs the command.

mod admin;
mod args;
mod axfr;
mod cache;
mod check;
mod help;
mod json;
mod output;
mod run;
mod zone;

use std::process::ExitCode;

use chain::Registry;

use args::Command;

/// Runs the program with these plugins; the whole of an outside build's `main`.
pub fn main(registry: Registry) -> ExitCode {
    if !registry.mistakes().is_empty() {
        registry.mistakes().iter().for_each(output::complain);
        return ExitCode::FAILURE;
    }
    let argv: Vec<String> = std::env::args().skip(1).collect();
    match args::parse(&argv) {
        Ok(Command::Run(options)) => run::run(registry, &options),
        Ok(Command::Axfr(options)) => axfr::axfr(&options),
        Ok(Command::Cache(options)) => cache::cache(&options),
        Ok(Command::Zone(command)) => zone::zone(&command),
        Ok(Command::Check(options)) => check::check(registry, &options),
        Ok(Command::Usage) => help::usage(),
        Ok(Command::UsageOf(usage)) => output::print(usage, ExitCode::SUCCESS),
        Ok(Command::Help(topic)) => help::help(registry, topic.as_deref()),
        Ok(Command::Plugins) => help::plugins(registry),
        Ok(Command::Version) => help::version(),
        Err(wrong) => args::refuse(registry, &wrong),
    }
}
