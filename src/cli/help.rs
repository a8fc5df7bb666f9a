//! What the program tells about itself.
#![expect(clippy::print_stdout, reason = "telling is what these commands are for")]

use std::process::ExitCode;

use chain::{Entry, Registry};

use super::{VERSION, args};

/// `-help`.
pub(crate) fn usage() -> ExitCode {
    eprint!("{}", args::usage());
    ExitCode::SUCCESS
}

/// `catena help [PLUGIN]`.
pub(crate) fn help(registry: Registry, topic: Option<&str>) -> ExitCode {
    let Some(topic) = topic else {
        print!("{}", args::usage());
        return ExitCode::SUCCESS;
    };
    match registry.iter().find(|entry| entry.name() == topic) {
        Some(Entry::Built(kind)) => {
            print!("{}", kind.doc);
            ExitCode::SUCCESS
        }
        Some(Entry::Known(name)) => {
            eprintln!("`{name}` is known to CoreDNS, not in this build");
            ExitCode::FAILURE
        }
        None => {
            let near = corefile::nearest(topic, registry.iter().map(Entry::name));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            eprintln!("no plugin is called `{topic}`{hint}");
            ExitCode::FAILURE
        }
    }
}

/// `-plugins`: bare names, sorted, as CoreDNS lists them.
pub(crate) fn plugins(registry: Registry) -> ExitCode {
    let mut names: Vec<&str> =
        registry.iter().filter(|entry| matches!(entry, Entry::Built(_))).map(Entry::name).collect();
    names.sort_unstable();
    // CoreDNS lists `on` last: it comes from another package.
    names.sort_by_key(|name| *name == "on");
    for name in names {
        println!("{name}");
    }
    ExitCode::SUCCESS
}

/// `-version`.
pub(crate) fn version() -> ExitCode {
    println!("catena-{VERSION}");
    println!("{}", platform());
    ExitCode::SUCCESS
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
