//! Flags as CoreDNS takes them (Go's syntax: one dash or two, `-flag value` or `-flag=value`) and
//! our own subcommands.

use std::process::ExitCode;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve.
    Run(RunOptions),
    /// Look at a Corefile without serving it.
    Check(CheckOptions),
    /// Ask a running server about its caches.
    Cache(CacheOptions),
    /// Tell the flags: `-help`, on stderr as Go programs do.
    Usage,
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
    /// `-conf`.
    pub(crate) conf: String,
    /// `--format json`.
    pub(crate) json: bool,
    /// `-dns.port`, `-p`.
    pub(crate) port: u16,
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
        let pairs = self.filter.iter().map(|(key, value)| format!("{key}={}", encoded(value)));
        format!("/cache/{action}?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

/// Text for a URL.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._*".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// Why the arguments cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A flag that is not known, or lacks its value: exit 2 and the usage.
    Flag(String),
    /// Mistakes of `catena cache`: exit 2 and its usage.
    Cache(String),
    /// Words that are no flags: exit 1.
    Extra(Vec<String>),
}

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
        "{USAGE}\nOf CoreDNS after 1.14:\n  -log-format string\n    \tFormat of the log, text or json (default \"text\")\n\nCommands:\n  check [-conf FILE] [-p PORT] [--format text|json]\n    \tLook for \
         mistakes in a Corefile: exit 0 if it can be served, 1 if not\n  help [PLUGIN]\n    \tShow \
         this text, or a plugin's manual\n  cache list|show|flush [--name NAME] [--suffix ZONE] [--type \
         TYPE]\n    \tWhat a running server has cached: `catena cache --help`\n"
    )
}

/// Understands the arguments.
pub(crate) fn parse(argv: &[String]) -> Result<Command, Wrong> {
    match argv.first().map(String::as_str) {
        Some("cache") => return parse_cache(&argv[1..]),
        Some("check") => return parse_check(&argv[1..]),
        Some("help") => return Ok(Command::Help(argv.get(1).cloned())),
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
            _ => return Err(unknown(name)),
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

fn parse_cache(argv: &[String]) -> Result<Command, Wrong> {
    let wrong = |problem: String| Wrong::Cache(problem);
    let action = match argv.first().map(String::as_str) {
        Some("list") => CacheAction::List,
        Some("show") => CacheAction::Show,
        Some("flush") => CacheAction::Flush,
        Some("-h" | "-help" | "--help") => return Err(wrong(String::new())),
        Some(other) => return Err(wrong(format!("`{other}` is nothing that can be done"))),
        None => return Err(wrong("say list, show or flush".to_owned())),
    };
    let mut cache = CacheOptions {
        action,
        filter: Vec::new(),
        server: "127.0.0.1:8953".to_owned(),
        token_file: None,
        json: false,
    };
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
            _ => return Err(unknown(name)),
        }
        Ok(())
    });
    let extra = extra.map_err(|problem| match problem {
        Wrong::Flag(problem) => Wrong::Cache(problem),
        other => other,
    })?;
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
    let mut check = CheckOptions { conf: "Corefile".to_owned(), json: false, port: 53 };
    let extra = flags(argv, |name, value| {
        match name {
            "conf" => check.conf = value.text(name)?,
            "dns.port" | "p" => check.port = port(name, &value.text(name)?)?,
            "format" => check.json = format(name, &value.text(name)?)?,
            _ => return Err(unknown(name)),
        }
        Ok(())
    })?;
    match extra.as_slice() {
        [] => {}
        [file] if check.conf == "Corefile" => check.conf.clone_from(file),
        _ => return Err(Wrong::Extra(extra)),
    }
    Ok(Command::Check(check))
}

/// A flag's value, still to be fetched: behind the `=`, or the next word.
struct Value<'a> {
    inline: Option<&'a str>,
    next: Option<&'a str>,
    took_next: &'a mut bool,
}

impl Value<'_> {
    fn text(self, name: &str) -> Result<String, Wrong> {
        *self.took_next = self.inline.is_none() && self.next.is_some();
        let value = self.inline.or(self.next).map(str::to_owned);
        value.ok_or_else(|| Wrong::Flag(format!("flag needs an argument: -{name}")))
    }

    fn truth(&self, name: &str) -> Result<bool, Wrong> {
        match self.inline {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Wrong::Flag(format!(
                "invalid boolean value \"{other}\" for -{name}: parse error"
            ))),
        }
    }
}

/// Hands each flag to `take`; returns the words behind the flags.
fn flags(
    argv: &[String],
    mut take: impl FnMut(&str, Value<'_>) -> Result<(), Wrong>,
) -> Result<Vec<String>, Wrong> {
    let mut at = 0;
    while let Some(word) = argv.get(at) {
        let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) else { break };
        at += 1;
        if flag == "-" {
            break;
        }
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let mut took_next = false;
        let next = argv.get(at).map(String::as_str);
        take(name, Value { inline, next, took_next: &mut took_next })?;
        at += usize::from(took_next);
    }
    Ok(argv[at..].to_vec())
}

fn port(name: &str, text: &str) -> Result<u16, Wrong> {
    text.parse().map_err(|_| {
        Wrong::Flag(format!("invalid value \"{text}\" for flag -{name}: expected a port number"))
    })
}

/// Whether the format is JSON.
fn format(name: &str, text: &str) -> Result<bool, Wrong> {
    match text {
        "json" => Ok(true),
        "text" => Ok(false),
        other => Err(Wrong::Flag(format!(
            "invalid value \"{other}\" for flag -{name}: expected text or json"
        ))),
    }
}

fn unknown(name: &str) -> Wrong {
    Wrong::Flag(format!("flag provided but not defined: -{name}"))
}

/// Prints why the arguments are refused, as Go's flag package does.
pub(crate) fn refuse(wrong: &Wrong) -> ExitCode {
    match wrong {
        Wrong::Flag(problem) => {
            eprint!("{problem}\n{USAGE}");
            ExitCode::from(2)
        }
        Wrong::Cache(problem) if problem.is_empty() => {
            eprint!("{CACHE_USAGE}");
            ExitCode::SUCCESS
        }
        Wrong::Cache(problem) => {
            eprint!("{problem}\n{CACHE_USAGE}");
            ExitCode::from(2)
        }
        Wrong::Extra(words) => {
            eprintln!("extra command line arguments: [{}]", words.join(" "));
            ExitCode::from(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, Wrong> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn run(conf: Option<&str>, port: u16) -> RunOptions {
        RunOptions { conf: conf.map(str::to_owned), port, ..RunOptions::default() }
    }

    #[test]
    fn flags_take_one_dash_or_two_and_values_either_way() {
        assert_eq!(parse_line(""), Ok(Command::Run(run(None, 53))));
        assert_eq!(parse_line("-conf F -dns.port 1053"), Ok(Command::Run(run(Some("F"), 1053))));
        assert_eq!(parse_line("--conf=F --p=99"), Ok(Command::Run(run(Some("F"), 99))));
        assert_eq!(
            parse_line("-quiet -pidfile x"),
            Ok(Command::Run(RunOptions {
                quiet: true,
                pidfile: Some("x".into()),
                ..run(None, 53)
            }))
        );
        let json = |json| Ok(Command::Run(RunOptions { json, ..run(None, 53) }));
        assert_eq!(parse_line("-log-format=json"), json(true));
        assert_eq!(parse_line("-log-format text"), json(false));
        assert!(parse_line("-log-format xml").is_err());
        assert_eq!(parse_line("-version"), Ok(Command::Version));
        assert_eq!(parse_line("-plugins"), Ok(Command::Plugins));
        assert_eq!(parse_line("-plugins -version"), Ok(Command::Version));
        assert_eq!(parse_line("-version -help"), Ok(Command::Usage));
        assert_eq!(parse_line("-version=false"), Ok(Command::Run(run(None, 53))));
    }

    #[test]
    fn mistakes_are_told_in_gos_words() {
        let flag = |text: &str| Err(Wrong::Flag(text.to_owned()));
        assert_eq!(parse_line("-nosuchflag"), flag("flag provided but not defined: -nosuchflag"));
        assert_eq!(parse_line("-conf"), flag("flag needs an argument: -conf"));
        assert_eq!(parse_line("extra"), Err(Wrong::Extra(vec!["extra".into()])));
        assert!(parse_line("-p x").is_err());
        assert!(parse_line("-quiet=maybe").is_err());
    }

    #[test]
    fn cache_says_what_to_do_with_what() {
        let path = |line: &str| match parse_line(line) {
            Ok(Command::Cache(options)) => (options.path(), options.server),
            other => panic!("{line}: {other:?}"),
        };
        let usual = "127.0.0.1:8953".to_owned();
        assert_eq!(path("cache list"), ("/cache/list?".to_owned(), usual.clone()));
        assert_eq!(
            path("cache show --name a\\.b.example. -type=A"),
            ("/cache/show?name=a%5C.b.example.&type=A".to_owned(), usual.clone())
        );
        assert_eq!(
            path("cache flush --all --server [::1]:9"),
            ("/cache/flush?all=".to_owned(), "[::1]:9".to_owned())
        );
        for wrong in [
            "cache",
            "cache drop",
            "cache flush",
            "cache show --type A",
            "cache list www",
            "cache list --nam x",
            "cache list --name",
            "cache flush --all=false",
        ] {
            assert!(matches!(parse_line(wrong), Err(Wrong::Cache(_))), "{wrong}");
        }
    }

    #[test]
    fn check_takes_a_file_and_a_format() {
        let check = |conf: &str, json| {
            Ok(Command::Check(CheckOptions { conf: conf.to_owned(), json, port: 53 }))
        };
        assert_eq!(parse_line("check"), check("Corefile", false));
        assert_eq!(parse_line("check -conf X --format json"), check("X", true));
        assert_eq!(parse_line("check X"), check("X", false));
        assert!(parse_line("check --format xml").is_err());
    }
}
