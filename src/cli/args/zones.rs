//! The arguments of `catena zone`.

use wire::{Name, Rtype};
use zone::check::{Check, Level, Rules};
use zone::digest::Algorithm;

use super::flags::{Wrong, did_you_mean, flags, format, unknown};

/// What to do with zones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ZoneCommand {
    /// Find mistakes.
    Check(ZoneCheck),
    /// List the checks.
    Checks,
    /// Compare two zones.
    Diff(ZoneDiff),
    /// Write a zone in canonical order.
    Format(ZoneFormat),
    /// List the zones of a running server.
    List(ZoneList),
}

/// Where a zone comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The master file at this path.
    File(String),
    /// A master file from stdin.
    Stdin,
}

/// `catena zone check`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ZoneCheck {
    pub(crate) source: Source,
    pub(crate) origin: Option<Name>,
    pub(crate) rules: Rules,
    pub(crate) json: bool,
}

/// `catena zone diff`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ZoneDiff {
    pub(crate) from: Source,
    pub(crate) to: Source,
    pub(crate) origin: Option<Name>,
    /// A difference in the serial only is none.
    pub(crate) ignore_serial: bool,
    /// Types that are not compared.
    pub(crate) ignore: Vec<Rtype>,
    pub(crate) json: bool,
}

/// `catena zone format`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ZoneFormat {
    pub(crate) source: Source,
    pub(crate) origin: Option<Name>,
    /// Write a ZONEMD record with the digest of the zone.
    pub(crate) zonemd: Option<Algorithm>,
    /// Only say whether the file is formatted.
    pub(crate) check: bool,
    pub(crate) json: bool,
}

/// `catena zone list`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ZoneList {
    /// `--server`.
    pub(crate) server: String,
    /// `--token-file`.
    pub(crate) token_file: Option<String>,
    /// The name at or below which zones are listed.
    pub(crate) suffix: Option<Name>,
    /// How many zones are listed at most.
    pub(crate) limit: Option<usize>,
    pub(crate) json: bool,
}

/// The usage.
pub(super) const USAGE: &str = "\
Usage of catena zone:
  check [FLAGS] FILE [ORIGIN]
    \tFind mistakes in a master file: exit 0 if there are only warnings, 1 if there are errors
  diff [FLAGS] FILE FILE [ORIGIN]
    \tCompare two zones, whatever the order of records and the case of names: exit 0 if they are
    \tequal, 1 if not. Lines with `-` are in the first one only, those with `+` in the second one
  format [FLAGS] FILE [ORIGIN]
    \tPrint a zone in canonical order and in columns. Comments are not kept, and included files are
    \tpart of it
  list [FLAGS] [ZONE]
    \tList the zones of a running server, those at and below ZONE if it is given: exit 0 if there are
    \tany, 1 if not
FILE is `-` for stdin. ORIGIN is the name of the zone; without it the owner of the SOA record, or the
name in `db.NAME` or `NAME.zone`.
Flags of all:
  --format string
    \tFormat of the output, text or json (default \"text\")
Flags of check:
  --checks
    \tList the checks by name
  --error NAMES, --warning NAMES, --off NAMES
    \tMake checks errors, make them warnings, or turn them off: names with commas between
  --strict
    \tTreat warnings as errors
  --limit N
    \tFindings of each check that are shown, up to 1000 (default 10); all are counted
Flags of diff:
  --ignore-serial
    \tSOA records that differ in the serial only are equal
  --ignore TYPES
    \tDo not compare records of these types, such as RRSIG,NSEC,DNSKEY
Flags of format:
  --zonemd sha384|sha512
    \tWrite the ZONEMD record of the zone (RFC 8976)
  --check
    \tPrint nothing: exit 0 if the file is formatted, 1 if not
Flags of list:
  --server ADDRESS
    \tAddress of the endpoint of the option `admin` of `file` or `auto` (default \"127.0.0.1:8953\")
  --token-file FILE
    \tFile that contains the token of the endpoint
  --limit N
    \tZones that are listed, up to 100000 (default 1000)
Exit 2 if the arguments are wrong, or a file cannot be read as a zone.
";

/// The flags.
const CHECK_FLAGS: [&str; 8] =
    ["format", "checks", "error", "warning", "off", "strict", "limit", "help"];
const DIFF_FLAGS: [&str; 4] = ["format", "ignore-serial", "ignore", "help"];
const FORMAT_FLAGS: [&str; 4] = ["format", "zonemd", "check", "help"];
const LIST_FLAGS: [&str; 5] = ["format", "server", "token-file", "limit", "help"];
/// The most findings of a check that are shown.
const MAX_SHOWN: usize = 1000;
/// The most zones that are listed.
const MAX_LISTED: usize = 100_000;

/// Understands what follows `zone`; `None` asks for the usage.
pub(super) fn parse(argv: &[String]) -> Result<Option<ZoneCommand>, Wrong> {
    const ACTIONS: [&str; 4] = ["check", "diff", "format", "list"];
    let rest = argv.get(1..).unwrap_or_default();
    let parsed = match argv.first().map(String::as_str) {
        Some("check") => check(rest),
        Some("diff") => diff(rest),
        Some("format") => formatted(rest),
        Some("list") => list(rest),
        Some("-h" | "-help" | "--help") => Ok(None),
        Some(other) => {
            let near = did_you_mean(corefile::nearest(other, ACTIONS), "");
            Err(wrong(format!("unknown action `{other}` of `catena zone`{near}")))
        }
        None => Err(wrong("missing action: expected check, diff, format or list".to_owned())),
    };
    parsed.map_err(|wrong| wrong.of_command(USAGE))
}

fn wrong(problem: String) -> Wrong {
    Wrong::Command(problem, USAGE)
}

fn check(argv: &[String]) -> Result<Option<ZoneCommand>, Wrong> {
    let mut rules = Rules::default();
    let (mut json, mut checks, mut strict, mut help) = (false, false, false, false);
    let words = words(argv, |name, value| {
        match name {
            "format" => json = format(name, &value.text(name)?)?,
            "checks" => checks = value.truth(name)?,
            "error" => set(&mut rules, &value.text(name)?, Level::Error)?,
            "warning" => set(&mut rules, &value.text(name)?, Level::Warning)?,
            "off" => set(&mut rules, &value.text(name)?, Level::Off)?,
            "strict" => strict = value.truth(name)?,
            "limit" => rules.shown = limit(&value.text(name)?, MAX_SHOWN)?,
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &CHECK_FLAGS)),
        }
        Ok(())
    })?;
    if help {
        return Ok(None);
    }
    if checks {
        return Ok(Some(ZoneCommand::Checks));
    }
    if strict {
        rules.make_errors();
    }
    let [source, origin @ ..] = words.as_slice() else {
        return Err(wrong("`zone check` needs a master file".to_owned()));
    };
    let (source, origin) = (Source::of(source), last(origin)?);
    Ok(Some(ZoneCommand::Check(ZoneCheck { source, origin, rules, json })))
}

fn diff(argv: &[String]) -> Result<Option<ZoneCommand>, Wrong> {
    let (mut json, mut help, mut ignore_serial) = (false, false, false);
    let mut ignore = Vec::new();
    let words = words(argv, |name, value| {
        match name {
            "format" => json = format(name, &value.text(name)?)?,
            "ignore-serial" => ignore_serial = value.truth(name)?,
            "ignore" => {
                for word in value.text(name)?.split(',') {
                    let rtype = Rtype::from_text(word);
                    let missing = || Wrong::Flag(format!("unknown type `{word}` of -ignore"));
                    ignore.push(rtype.ok_or_else(missing)?);
                }
            }
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &DIFF_FLAGS)),
        }
        Ok(())
    })?;
    if help {
        return Ok(None);
    }
    let [from, to, origin @ ..] = words.as_slice() else {
        return Err(wrong("`zone diff` needs two zones".to_owned()));
    };
    let (from, to, origin) = (Source::of(from), Source::of(to), last(origin)?);
    if from == Source::Stdin && to == Source::Stdin {
        return Err(wrong("only one of the two zones can come from stdin".to_owned()));
    }
    Ok(Some(ZoneCommand::Diff(ZoneDiff { from, to, origin, ignore_serial, ignore, json })))
}

fn formatted(argv: &[String]) -> Result<Option<ZoneCommand>, Wrong> {
    let (mut json, mut help, mut check, mut zonemd) = (false, false, false, None);
    let words = words(argv, |name, value| {
        match name {
            "format" => json = format(name, &value.text(name)?)?,
            "check" => check = value.truth(name)?,
            "zonemd" => zonemd = Some(algorithm(&value.text(name)?)?),
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &FORMAT_FLAGS)),
        }
        Ok(())
    })?;
    if help {
        return Ok(None);
    }
    let [source, origin @ ..] = words.as_slice() else {
        return Err(wrong("`zone format` needs a master file".to_owned()));
    };
    if json && check {
        return Err(wrong("-check and -format json exclude each other".to_owned()));
    }
    let (source, origin) = (Source::of(source), last(origin)?);
    Ok(Some(ZoneCommand::Format(ZoneFormat { source, origin, zonemd, check, json })))
}

fn list(argv: &[String]) -> Result<Option<ZoneCommand>, Wrong> {
    let (mut json, mut help, mut most) = (false, false, None);
    let (mut server, mut token_file) = ("127.0.0.1:8953".to_owned(), None);
    let words = words(argv, |name, value| {
        match name {
            "format" => json = format(name, &value.text(name)?)?,
            "server" => server = value.text(name)?,
            "token-file" => token_file = Some(value.text(name)?),
            "limit" => most = Some(limit(&value.text(name)?, MAX_LISTED)?),
            "h" | "help" => help = true,
            _ => return Err(unknown(name, &LIST_FLAGS)),
        }
        Ok(())
    })?;
    if help {
        return Ok(None);
    }
    let suffix = last(&words)?;
    Ok(Some(ZoneCommand::List(ZoneList { server, token_file, suffix, limit: most, json })))
}

/// Takes the flags, which may stand anywhere; returns the words between them.
fn words(
    argv: &[String],
    mut take: impl FnMut(&str, super::flags::Value<'_>) -> Result<(), Wrong>,
) -> Result<Vec<String>, Wrong> {
    let mut words = Vec::new();
    let mut rest = argv.to_vec();
    loop {
        let is_end = |word: &String| word == "--" || word == "-";
        let ended = rest.first().is_some_and(is_end);
        rest = flags(&rest, &mut take)?;
        let mut left = rest.into_iter();
        let Some(word) = left.next() else { return Ok(words) };
        words.push(word);
        if ended && words.last().is_some_and(|word| word != "-") {
            words.extend(left);
            return Ok(words);
        }
        rest = left.collect();
    }
}

/// The origin, if it is there; nothing may follow it.
fn last(words: &[String]) -> Result<Option<Name>, Wrong> {
    match words {
        [] => Ok(None),
        [origin] => match Name::from_text(origin) {
            Ok(name) => Ok(Some(name)),
            Err(error) => Err(wrong(format!("`{origin}` is not the name of a zone: {error}"))),
        },
        [_, word, ..] => Err(wrong(format!("unexpected argument `{word}`"))),
    }
}

fn set(rules: &mut Rules, names: &str, level: Level) -> Result<(), Wrong> {
    for name in names.split(',') {
        let Some(check) = Check::named(name) else {
            let known = Check::ALL.iter().map(|check| check.name());
            let near = did_you_mean(corefile::nearest(name, known), "");
            let all = "`catena zone check --checks` lists them";
            return Err(Wrong::Flag(format!("unknown check `{name}`{near}\n{all}")));
        };
        if check.is_fixed() && level != Level::Error {
            let why = "the server does not load a zone with this mistake";
            return Err(Wrong::Flag(format!("check `{name}` is always an error: {why}")));
        }
        rules.set(check, level);
    }
    Ok(())
}

fn limit(text: &str, most: usize) -> Result<usize, Wrong> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        let expected = format!("expected a number from 1 to {most}");
        Wrong::Flag(format!("invalid value \"{text}\" for flag -limit: {expected}"))
    })
}

fn algorithm(text: &str) -> Result<Algorithm, Wrong> {
    match text {
        "sha384" => Ok(Algorithm::Sha384),
        "sha512" => Ok(Algorithm::Sha512),
        _ => {
            let expected = "expected sha384 or sha512";
            Err(Wrong::Flag(format!("invalid value \"{text}\" for flag -zonemd: {expected}")))
        }
    }
}

impl Source {
    fn of(word: &str) -> Self {
        if word == "-" { Self::Stdin } else { Self::File(word.to_owned()) }
    }

    /// What messages call it.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::File(path) => path,
            Self::Stdin => "<stdin>",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Option<ZoneCommand>, Wrong> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_stand_anywhere() {
        for line in [
            "check --off duplicate,no-ns -limit 5 F example.org --strict",
            "check F --limit=5 example.org --strict --off=duplicate,no-ns",
        ] {
            let Ok(Some(ZoneCommand::Check(check))) = parse_line(line) else { panic!("{line}") };
            assert_eq!(check.source, Source::File("F".to_owned()));
            assert_eq!(check.origin, Name::from_text("example.org.").ok());
            assert_eq!(check.rules.shown, 5);
            assert_eq!(check.rules.level(Check::Duplicate), Level::Off);
            assert_eq!(check.rules.level(Check::TtlDiffers), Level::Error);
        }
        let Ok(Some(ZoneCommand::Diff(diff))) = parse_line("diff A --ignore RRSIG,type65280 -")
        else {
            panic!("diff");
        };
        assert_eq!((diff.from, diff.to), (Source::File("A".to_owned()), Source::Stdin));
        assert_eq!(diff.ignore, [Rtype::RRSIG, Rtype(65280)]);
        let Ok(Some(ZoneCommand::Format(format))) = parse_line("format --zonemd sha512 -- --odd")
        else {
            panic!("format");
        };
        assert_eq!(format.source, Source::File("--odd".to_owned()));
        assert_eq!(format.zonemd, Some(Algorithm::Sha512));
        let Ok(Some(ZoneCommand::List(list))) = parse_line("list org --server [::1]:9 --limit 7")
        else {
            panic!("list");
        };
        assert_eq!((list.server.as_str(), list.limit, list.json), ("[::1]:9", Some(7), false));
        assert_eq!(list.suffix, Name::from_text("org.").ok());
        assert!(matches!(parse_line("check --checks"), Ok(Some(ZoneCommand::Checks))));
    }

    #[test]
    fn mistakes_and_help() {
        for line in [
            "",
            "chekc F",
            "check",
            "check F a..b",
            "check F example.org more",
            "check --off nonsense F",
            "check --off no-soa F",
            "check --limit 0 F",
            "diff A",
            "diff - -",
            "diff --ignore NONSENSE A B",
            "format",
            "format --zonemd md5 F",
            "format --check --format json F",
            "format --nonsense F",
            "list org net",
            "list a..b",
            "list --limit 0",
        ] {
            assert!(matches!(parse_line(line), Err(Wrong::Command(..))), "{line}");
        }
        for line in ["--help", "check -h", "diff A --help", "format --help", "list -h"] {
            assert!(matches!(parse_line(line), Ok(None)), "{line}");
        }
        for flag in CHECK_FLAGS.iter().chain(&DIFF_FLAGS).chain(&FORMAT_FLAGS).chain(&LIST_FLAGS) {
            assert!(*flag == "help" || USAGE.contains(&format!("--{flag}")), "{flag}");
        }
    }
}
