//! Flags as CoreDNS takes them (Go's syntax: one dash or two, `-flag value` or `-flag=value`) and
//! our own subcommands.

mod axfr;
mod flags;
mod zones;

use std::path::Path;
use std::process::ExitCode;

use chain::{Entry, Registry};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::output::complain;
use flags::{did_you_mean, flags, format, port, unknown};

pub(crate) use axfr::{AxfrOptions, TlsOptions};
pub(crate) use flags::Wrong;
pub(crate) use zones::{Source, ZoneCheck, ZoneCommand, ZoneDiff, ZoneFormat, ZoneList};

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve.
    Run(RunOptions),
    /// Look at a Corefile without serving it.
    Check(CheckOptions),
    /// Check, compare or format zones.
    Zone(ZoneCommand),
    /// Ask a running server about its caches.
    Cache(CacheOptions),
    /// Transfer a zone from a server and print it.
    Axfr(AxfrOptions),
    /// Tell the flags: `-help`, on stderr as Go programs do.
    Usage,
    /// Tell the arguments of one command: `catena check --help`.
    UsageOf(&'static str),
    /// Explain the program, or one plugin.
    Help(Option<String>),
    /// List the plugins.
    Plugins,
    /// Tell the version.
    Version,
}

/// How to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunOptions {
    /// `-conf`; `None` means `Corefile` if there is one.
    pub(crate) conf: Option<String>,
    /// `-dns.port`, `-p`.
    pub(crate) port: u16,
    /// `-pidfile`.
    pub(crate) pidfile: Option<String>,
    /// `-quiet`.
    pub(crate) quiet: bool,
    /// `-log-format json`.
    pub(crate) json: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { conf: None, port: 53, pidfile: None, quiet: false, json: false }
    }
}

/// What to check.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CheckOptions {
    /// `-conf`, or the word behind the flags.
    pub(crate) conf: String,
    /// `--format json`.
    pub(crate) json: bool,
    /// `-dns.port`, `-p`.
    pub(crate) port: u16,
    /// `--strict`: warnings are errors.
    pub(crate) strict: bool,
}

/// What to do with what a server has cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheAction {
    /// Name the entries.
    List,
    /// The same with their records.
    Show,
    /// Forget them.
    Flush,
}

/// `catena cache`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CacheOptions {
    /// `list`, `show` or `flush`.
    pub(crate) action: CacheAction,
    /// `name`, `suffix`, `type`, `limit` and `all`, as given.
    pub(crate) filter: Vec<(&'static str, String)>,
    /// `--server`.
    pub(crate) server: String,
    /// `--token-file`.
    pub(crate) token_file: Option<String>,
    /// `--json`.
    pub(crate) json: bool,
}

impl CacheOptions {
    /// What to ask the server for.
    pub(crate) fn path(&self) -> String {
        let action = match self.action {
            CacheAction::List => "list",
            CacheAction::Show => "show",
            CacheAction::Flush => "flush",
        };
        let pairs = self
            .filter
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, PLAIN)));
        format!("/cache/{action}?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

/// Octets that stand for themselves in a URL of ours.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// The commands, which stand before all flags.
pub(crate) const COMMANDS: [&str; 5] = ["check", "help", "cache", "zone", "axfr"];
/// The flags of the server.
const FLAGS: [&str; 9] =
    ["conf", "dns.port", "p", "pidfile", "log-format", "quiet", "plugins", "version", "help"];
/// The flags of `check`.
const CHECK_FLAGS: [&str; 6] = ["conf", "dns.port", "p", "format", "strict", "help"];
/// The flags of `cache`.
const CACHE_FLAGS: [&str; 9] =
    ["name", "suffix", "type", "limit", "all", "server", "token-file", "json", "help"];

const USAGE: &str = "\
Usage of catena:
  -conf string
    \tCorefile to load (default \"Corefile\")
  -dns.port string
    \tDefault port (default \"53\")
  -p string
    \tDefault port (default \"53\")
  -pidfile string
    \tPath to write pid file
  -plugins
    \tList installed plugins
  -quiet
    \tQuiet mode (no initialization output)
  -version
    \tShow version
";

const CHECK_USAGE: &str = "\
Usage of catena check:
  check [FLAGS] [FILE]
    \tCheck a Corefile, and the files that it names, without serving it
  -conf string
    \tCorefile to check, or stdin (default \"Corefile\")
  -dns.port string, -p string
    \tDefault port (default \"53\")
  -format string
    \tFormat of the findings, text or json (default \"text\")
  -strict
    \tTreat warnings as errors
Exit 0 if the Corefile can be served, 1 if not, 2 if the arguments are wrong.
";

const CACHE_USAGE: &str = "\
Usage of catena cache:
  list [--name NAME] [--suffix ZONE] [--type TYPE] [--limit N]
  show (--name NAME | --suffix ZONE) [--type TYPE] [--limit N]
  flush (--name NAME | --suffix ZONE | --type TYPE | --all)
Flags of all three:
  --server ADDRESS
    \tAddress of the endpoint of `cache { admin }` (default \"127.0.0.1:8953\")
  --token-file FILE
    \tFile that contains the token of the endpoint
  --json
    \tPrint the answer of the server as JSON
";

/// The usage, and what CoreDNS does not have.
pub(crate) fn usage() -> String {
    format!(
        "{USAGE}
Also in CoreDNS after 1.14:
  -log-format string
    \tFormat of the log, text or json (default \"text\")

Commands:
  check [-conf FILE] [-p PORT] [--format text|json] [--strict]
    \tCheck a Corefile without serving it: exit 0 if it can be served, 1 if not
  zone check|diff|format FILE...
    \tCheck, compare or format master files: `catena zone --help`
  zone list [ZONE]
    \tList the zones of a running server
  help [PLUGIN|COMMAND]
    \tPrint this text, the manual of a plugin, or the usage of a command
  cache list|show|flush [--name NAME] [--suffix ZONE] [--type TYPE]
    \tList, show or flush the cache of a running server: `catena cache --help`
  axfr @SERVER[:PORT] ZONE [-y KEY] [--tls] [--ixfr SERIAL] [--format text|json]
    \tTransfer a zone from a server and print it: `catena axfr --help`
"
    )
}

/// The usage of a command, if there is one of this name.
pub(crate) fn usage_of(command: &str) -> Option<String> {
    match command {
        "check" => Some(CHECK_USAGE.to_owned()),
        "cache" => Some(CACHE_USAGE.to_owned()),
        "zone" => Some(zones::USAGE.to_owned()),
        "axfr" => Some(axfr::AXFR_USAGE.to_owned()),
        "help" => Some(usage()),
        _ => None,
    }
}

/// Understands the arguments.
pub(crate) fn parse(argv: &[String]) -> Result<Command, Wrong> {
    match argv.first().map(String::as_str) {
        Some("axfr") => {
            let options = axfr::parse(&argv[1..])?;
            return Ok(options.map_or(Command::UsageOf(axfr::AXFR_USAGE), Command::Axfr));
        }
        Some("cache") => return parse_cache(&argv[1..]),
        Some("check") => return parse_check(&argv[1..]),
        Some("help") => return parse_help(&argv[1..]),
        Some("zone") => {
            let parsed = zones::parse(&argv[1..])?;
            return Ok(parsed.map_or(Command::UsageOf(zones::USAGE), Command::Zone));
        }
        _ => {}
    }
    let mut run = RunOptions::default();
    let (mut usage, mut version, mut plugins) = (false, false, false);
    let extra = flags(argv, |name, value| {
        match name {
            "conf" => run.conf = Some(value.text(name)?),
            "dns.port" | "p" => run.port = port(name, &value.text(name)?)?,
            "pidfile" => run.pidfile = Some(value.text(name)?),
            "log-format" => run.json = format(name, &value.text(name)?)?,
            "quiet" => run.quiet = value.truth(name)?,
            "plugins" => plugins = value.truth(name)?,
            "version" => version = value.truth(name)?,
            "h" | "help" => usage = true,
            _ => return Err(unknown(name, &FLAGS)),
        }
        Ok(())
    })?;
    Ok(match () {
        () if usage => Command::Usage,
        () if !extra.is_empty() => return Err(Wrong::Extra(extra)),
        () if version => Command::Version,
        () if plugins => Command::Plugins,
        () => Command::Run(run),
    })
}

fn parse_help(argv: &[String]) -> Result<Command, Wrong> {
    match argv {
        [] => Ok(Command::Help(None)),
        [topic] if matches!(topic.as_str(), "-h" | "-help" | "--help") => Ok(Command::Help(None)),
        [topic] => Ok(Command::Help(Some(topic.clone()))),
        [_, extra @ ..] => Err(Wrong::Extra(extra.to_vec())),
    }
}

fn parse_cache(argv: &[String]) -> Result<Command, Wrong> {
    const ACTIONS: [&str; 3] = ["list", "show", "flush"];
    let wrong = |problem: String| Wrong::Command(problem, CACHE_USAGE);
    let action = match argv.first().map(String::as_str) {
        Some("list") => CacheAction::List,
        Some("show") => CacheAction::Show,
        Some("flush") => CacheAction::Flush,
        Some("-h" | "-help" | "--help") => return Ok(Command::UsageOf(CACHE_USAGE)),
        Some(other) => {
            let near = did_you_mean(corefile::nearest(other, ACTIONS), "");
            return Err(wrong(format!("unknown action `{other}` of `catena cache`{near}")));
        }
        None => return Err(wrong("missing action: expected list, show or flush".to_owned())),
    };
    let mut cache = CacheOptions {
        action,
        filter: Vec::new(),
        server: "127.0.0.1:8953".to_owned(),
        token_file: None,
        json: false,
    };
    let mut help = false;
    let extra = flags(&argv[1..], |name, value| {
        const FILTERS: [&str; 4] = ["name", "suffix", "type", "limit"];
        if let Some(known) = FILTERS.into_iter().find(|known| *known == name) {
            let text = value.text(name)?;
            cache.filter.push((known, text));
            return Ok(());
        }
        match name {
            "all" if value.truth(name)? => cache.filter.push(("all", String::new())),
            "all" => {}
            "server" => cache.server = value.text(name)?,
            "token-file" => cache.token_file = Some(value.text(name)?),
            "json" => cache.json = value.truth(name)?,
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &CACHE_FLAGS)),
        }
        Ok(())
    });
    let extra = extra.map_err(|wrong| wrong.of_command(CACHE_USAGE))?;
    if help {
        return Ok(Command::UsageOf(CACHE_USAGE));
    }
    if let Some(word) = extra.first() {
        return Err(wrong(format!(
            "unexpected argument `{word}`: give a name with --name or --suffix"
        )));
    }
    let says = |keys: &[&str]| cache.filter.iter().any(|(key, _)| keys.contains(key));
    match action {
        CacheAction::Show if !says(&["name", "suffix"]) => {
            Err(wrong("`show` needs --name or --suffix".to_owned()))
        }
        CacheAction::Flush if !says(&["name", "suffix", "type", "all"]) => {
            Err(wrong("`flush` needs --name, --suffix, --type or --all".to_owned()))
        }
        _ => Ok(Command::Cache(cache)),
    }
}

fn parse_check(argv: &[String]) -> Result<Command, Wrong> {
    let mut check =
        CheckOptions { conf: "Corefile".to_owned(), json: false, port: 53, strict: false };
    let mut help = false;
    let extra = flags(argv, |name, value| {
        match name {
            "conf" => check.conf = value.text(name)?,
            "dns.port" | "p" => check.port = port(name, &value.text(name)?)?,
            "format" => check.json = format(name, &value.text(name)?)?,
            "strict" => check.strict = value.truth(name)?,
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &CHECK_FLAGS)),
        }
        Ok(())
    });
    let extra = extra.map_err(|wrong| wrong.of_command(CHECK_USAGE))?;
    match extra.as_slice() {
        _ if help => return Ok(Command::UsageOf(CHECK_USAGE)),
        [] => {}
        [file] if check.conf == "Corefile" => check.conf.clone_from(file),
        [word, ..] => {
            let problem = format!(
                "unexpected argument `{word}`: `check` takes one Corefile, after its flags"
            );
            return Err(Wrong::Command(problem, CHECK_USAGE));
        }
    }
    Ok(Command::Check(check))
}

/// Prints why the arguments are refused, as Go's flag package does.
pub(crate) fn refuse(registry: Registry, wrong: &Wrong) -> ExitCode {
    match wrong {
        Wrong::Flag(problem) => {
            complain(format_args!("{problem}\n{}", USAGE.trim_end()));
            ExitCode::from(2)
        }
        Wrong::Command(problem, usage) => {
            complain(format_args!("{problem}\n{}", usage.trim_end()));
            ExitCode::from(2)
        }
        Wrong::Extra(words) => {
            let hint = words.first().and_then(|word| meant(registry, word));
            let hint = hint.map_or_else(String::new, |hint| format!("\n{hint}"));
            complain(format_args!("extra command line arguments: [{}]{hint}", words.join(" ")));
            ExitCode::from(1)
        }
    }
}

/// The suggestion for `word` where a command or nothing is expected.
fn meant(registry: Registry, word: &str) -> Option<String> {
    let plugins = || registry.iter().map(Entry::name);
    if Path::new(word).is_file() {
        return Some(format!("to serve this Corefile, write `catena -conf {word}`"));
    }
    if let Some(near) = corefile::nearest(word, COMMANDS) {
        return Some(format!("did you mean `catena {near}`?"));
    }
    if let Some(near) = corefile::nearest(word, FLAGS) {
        return Some(format!("did you mean `catena -{near}`?"));
    }
    corefile::nearest(word, plugins()).map(|near| format!("did you mean `catena help {near}`?"))
}

#[cfg(test)]
mod tests;
