//! Arguments and what they mean.

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
        Ok(Command::Run(RunOptions { quiet: true, pidfile: Some("x".into()), ..run(None, 53) }))
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
        assert!(matches!(parse_line(wrong), Err(Wrong::Command(..))), "{wrong}");
    }
}

#[test]
fn help_is_a_flag_of_every_command() {
    let check = Ok(Command::UsageOf(CHECK_USAGE));
    let cache = Ok(Command::UsageOf(CACHE_USAGE));
    for line in ["check --help", "check -h", "check -conf X -help Y"] {
        assert_eq!(parse_line(line), check, "{line}");
    }
    for line in ["cache --help", "cache list -h"] {
        assert_eq!(parse_line(line), cache, "{line}");
    }
    assert_eq!(parse_line("help --help"), Ok(Command::Help(None)));
    assert_eq!(parse_line("help check"), Ok(Command::Help(Some("check".into()))));
    assert_eq!(parse_line("help a b"), Err(Wrong::Extra(vec!["b".into()])));
    for (flags, usage) in [(&CHECK_FLAGS[..], CHECK_USAGE), (&CACHE_FLAGS[..], CACHE_USAGE)] {
        for flag in flags.iter().filter(|flag| **flag != "help") {
            let (one, two) = (format!("  -{flag} "), format!("--{flag}"));
            let alone = usage.contains(&format!("  -{flag}\n"));
            let told = alone || usage.contains(&one) || usage.contains(&two);
            assert!(told || *flag == "p", "{flag} is not in the usage");
        }
    }
}

#[test]
fn what_is_near_is_suggested() {
    let told = |line: &str| match parse_line(line) {
        Err(Wrong::Flag(problem) | Wrong::Command(problem, _)) => problem,
        other => panic!("{line}: {other:?}"),
    };
    assert!(told("-cnof X").ends_with("; did you mean `-conf`?"));
    assert!(told("check --fromat json").ends_with("; did you mean `-format`?"));
    assert!(told("cache flsh").ends_with("; did you mean `flush`?"));
    assert!(told("cache list --sufix x").ends_with("; did you mean `-suffix`?"));
}

#[test]
fn check_takes_a_file_and_a_format() {
    let check = |conf: &str, json| {
        let conf = conf.to_owned();
        Ok(Command::Check(CheckOptions { conf, json, port: 53, strict: false }))
    };
    assert_eq!(parse_line("check"), check("Corefile", false));
    assert_eq!(parse_line("check -conf X --format json"), check("X", true));
    assert_eq!(parse_line("check X"), check("X", false));
    assert!(parse_line("check --format xml").is_err());
    assert!(matches!(parse_line("check X Y"), Err(Wrong::Command(..))));
    let strict = |line: &str| match parse_line(line) {
        Ok(Command::Check(options)) => options.strict,
        other => panic!("{line}: {other:?}"),
    };
    assert!(strict("check --strict X") && !strict("check --strict=false X"));
}
