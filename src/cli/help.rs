//! What the program says about itself.

use std::process::ExitCode;

use chain::{Entry, Registry};

use super::args;
use super::output::{self, VERSION, complain};

/// `-help`.
pub(crate) fn usage() -> ExitCode {
    complain(args::usage().trim_end());
    ExitCode::SUCCESS
}

/// `catena help [TOPIC]`: a plugin or a command.
pub(crate) fn help(registry: Registry, topic: Option<&str>) -> ExitCode {
    let Some(topic) = topic else { return output::print(&args::usage(), ExitCode::SUCCESS) };
    match registry.iter().find(|entry| entry.name() == topic) {
        Some(Entry::Built(kind)) => output::print(kind.doc, ExitCode::SUCCESS),
        Some(Entry::Known(name)) => {
            complain(format_args!("plugin `{name}` of CoreDNS is not in this build"));
            ExitCode::FAILURE
        }
        None => match args::usage_of(topic) {
            Some(usage) => output::print(&usage, ExitCode::SUCCESS),
            None => {
                complain(unknown(topic, registry));
                ExitCode::FAILURE
            }
        },
    }
}

fn unknown(topic: &str, registry: Registry) -> String {
    let topics = registry.iter().map(Entry::name).chain(args::COMMANDS);
    match corefile::nearest(topic, topics) {
        Some(near) => format!("unknown plugin or command `{topic}`; did you mean `{near}`?"),
        None => format!("unknown plugin or command `{topic}`; `catena -plugins` lists the plugins"),
    }
}

/// `-plugins`: bare names, sorted, as CoreDNS lists them.
pub(crate) fn plugins(registry: Registry) -> ExitCode {
    let mut names: Vec<&str> =
        registry.iter().filter(|entry| entry.kind().is_some()).map(Entry::name).collect();
    names.sort_unstable();
    // CoreDNS lists `on` last: it comes from another package.
    names.sort_by_key(|name| *name == "on");
    output::print(&(names.join("\n") + "\n"), ExitCode::SUCCESS)
}

/// `-version`.
pub(crate) fn version() -> ExitCode {
    output::print(&format!("catena-{VERSION}\n{}\n", platform()), ExitCode::SUCCESS)
}

/// The last line of version and banner, in the words that images of containers have too.
pub(crate) fn platform() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    format!("{}/{processor}", std::env::consts::OS)
}
