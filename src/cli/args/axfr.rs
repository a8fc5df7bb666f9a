//! The arguments of `catena axfr`.

use std::net::IpAddr;

use super::flags::{Value, Wrong, flags, format, unknown};

/// `catena axfr`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AxfrOptions {
    /// The server, without the `@`: a host and perhaps a port.
    pub(crate) server: String,
    /// The name of the zone.
    pub(crate) zone: String,
    /// `-y`: a key as `[ALGORITHM:]NAME:SECRET`.
    pub(crate) key: Option<String>,
    /// `-k`: a file with a key.
    pub(crate) key_file: Option<String>,
    /// `--tls`, or one of its options.
    pub(crate) tls: Option<TlsOptions>,
    /// `--ixfr`: the serial of the version to see the changes since.
    pub(crate) ixfr: Option<u32>,
    /// `--source`.
    pub(crate) source: Option<IpAddr>,
    /// `--max-records`.
    pub(crate) max_records: Option<u64>,
    /// `--timeout`, in seconds.
    pub(crate) timeout: Option<u32>,
    /// `--format json`.
    pub(crate) json: bool,
}

/// How the server is verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// `--tls-name`: the name in the server's certificate; `None`: the host that is asked.
    pub(crate) name: Option<String>,
    /// `--tls-ca`: a file with the trusted authorities; `None`: those of the system.
    pub(crate) authorities: Option<String>,
    /// `--tls-insecure`.
    pub(crate) insecure: bool,
}

/// The flags of `axfr`.
pub(super) const AXFR_FLAGS: [&str; 12] = [
    "y",
    "k",
    "tls",
    "tls-name",
    "tls-ca",
    "tls-insecure",
    "ixfr",
    "source",
    "max-records",
    "timeout",
    "format",
    "help",
];

pub(super) const AXFR_USAGE: &str = "\
Usage of catena axfr:
  axfr @SERVER[:PORT] ZONE [FLAGS]
    \tTransfer a zone from a server and print it as a master file
  -y [ALGORITHM:]NAME:SECRET
    \tSign with this key (TSIG); the algorithm is hmac-sha256 unless named
  -k FILE
    \tSign with the key in this file, as tsig-keygen writes it
  --tls
    \tTransfer over TLS (XoT), port 853
  --tls-name NAME
    \tName in the server's certificate (default the host of SERVER)
  --tls-ca FILE
    \tFile of the trusted authorities (default those of the system)
  --tls-insecure
    \tAccept any certificate
  --ixfr SERIAL
    \tPrint what has changed since the version with this serial
  --source ADDRESS
    \tAddress to ask from
  --max-records N
    \tGive up beyond so many records (default 200000000)
  --timeout SECONDS
    \tGive up after so many seconds (default 7200)
  --format FORMAT
    \tFormat of the output, text or json (default \"text\")
Exit 0 if the zone was transferred, 1 if not, 2 if the arguments are wrong.
";

/// Understands the words behind `axfr`; `None`: its usage is asked for.
pub(super) fn parse(argv: &[String]) -> Result<Option<AxfrOptions>, Wrong> {
    let wrong = |problem: String| Wrong::Command(problem, AXFR_USAGE);
    let mut axfr = AxfrOptions {
        server: String::new(),
        zone: String::new(),
        key: None,
        key_file: None,
        tls: None,
        ixfr: None,
        source: None,
        max_records: None,
        timeout: None,
        json: false,
    };
    let (mut help, mut words) = (false, Vec::new());
    // As for `dig`, flags may follow the words.
    let mut rest = argv.to_vec();
    loop {
        let left = flags(&rest, |name, value| take(&mut axfr, &mut help, name, value));
        let left = left.map_err(|wrong| wrong.of_command(AXFR_USAGE))?;
        let Some((word, after)) = left.split_first() else { break };
        words.push(word.clone());
        rest = after.to_vec();
    }
    if help {
        return Ok(None);
    }
    if words.iter().all(|word| !word.starts_with('@')) {
        let which = match words.as_slice() {
            [server, zone] => format!(": write `axfr @{server} {zone}`"),
            _ => ": expected `axfr @SERVER ZONE`".to_owned(),
        };
        return Err(wrong(format!("no argument names the server by an `@`{which}")));
    }
    for word in words {
        match word.strip_prefix('@') {
            Some(server) if axfr.server.is_empty() => axfr.server = server.to_owned(),
            None if axfr.zone.is_empty() => axfr.zone = word,
            // A key in the wrong place is not repeated on a terminal.
            _ if word.contains(':') && !word.starts_with('@') => {
                return Err(wrong("unexpected argument: a key follows `-y`".to_owned()));
            }
            _ => return Err(wrong(format!("unexpected argument `{word}`"))),
        }
    }
    match () {
        () if axfr.server.is_empty() => Err(wrong("missing server behind the `@`".to_owned())),
        () if axfr.zone.is_empty() => Err(wrong("missing zone: expected its name".to_owned())),
        () if axfr.key.is_some() && axfr.key_file.is_some() => {
            Err(wrong("-y and -k name two keys: a request has one".to_owned()))
        }
        () => Ok(Some(axfr)),
    }
}

fn take(
    axfr: &mut AxfrOptions,
    help: &mut bool,
    name: &str,
    value: Value<'_>,
) -> Result<(), Wrong> {
    match name {
        "y" => axfr.key = Some(value.text(name)?),
        "k" => axfr.key_file = Some(value.text(name)?),
        "tls" => {
            if value.truth(name)? {
                axfr.tls.get_or_insert_default();
            }
        }
        "tls-name" => axfr.tls.get_or_insert_default().name = Some(value.text(name)?),
        "tls-ca" => axfr.tls.get_or_insert_default().authorities = Some(value.text(name)?),
        "tls-insecure" => {
            if value.truth(name)? {
                axfr.tls.get_or_insert_default().insecure = true;
            }
        }
        "ixfr" => axfr.ixfr = Some(number(name, &value.text(name)?, "a serial number")?),
        "source" => axfr.source = Some(number(name, &value.text(name)?, "an IP address")?),
        "max-records" => {
            axfr.max_records = Some(number(name, &value.text(name)?, "a number of records")?);
        }
        "timeout" => {
            axfr.timeout = Some(number(name, &value.text(name)?, "a number of seconds")?);
        }
        "format" => axfr.json = format(name, &value.text(name)?)?,
        "h" | "help" => *help = true,
        _ => return Err(unknown(name, &AXFR_FLAGS)),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, text: &str, what: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| {
        Wrong::Flag(format!("invalid value \"{text}\" for flag -{name}: expected {what}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<AxfrOptions>, Wrong> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_and_flags_come_in_any_order() {
        for line in [
            "@192.0.2.1:5353 example.org -y k.:c2VjcmV0 --ixfr 7",
            "-y k.:c2VjcmV0 --ixfr=7 example.org @192.0.2.1:5353",
            "@192.0.2.1:5353 -y k.:c2VjcmV0 example.org -ixfr 7",
        ] {
            let options = of(line).unwrap().unwrap();
            assert_eq!(
                (options.server.as_str(), options.zone.as_str()),
                ("192.0.2.1:5353", "example.org")
            );
            assert_eq!((options.key.as_deref(), options.ixfr), (Some("k.:c2VjcmV0"), Some(7)));
        }
        let tls = of("@ns.example. example.org --tls-ca ca.pem").unwrap().unwrap().tls.unwrap();
        assert_eq!((tls.authorities.as_deref(), tls.insecure), (Some("ca.pem"), false));
        assert_eq!(of("@ns.example. example.org --tls=false").unwrap().unwrap().tls, None);
        assert_eq!(of("--help"), Ok(None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        for (line, told) in [
            ("", "no argument names the server by an `@`: expected `axfr @SERVER ZONE`"),
            ("@a", "missing zone"),
            ("@ example.org", "missing server behind the `@`"),
            ("example.org", "no argument names the server by an `@`: expected `axfr @SERVER ZONE`"),
            ("ns.example.org example.org", "by an `@`: write `axfr @ns.example.org example.org`"),
            ("@a example.org more", "unexpected argument `more`"),
            ("@a example.org k.:c2VjcmV0", "unexpected argument: a key follows `-y`"),
            ("@a @b example.org", "unexpected argument `@b`"),
            ("@a b -y x -k y", "two keys"),
            ("@a b --ixfr -1", "expected a serial number"),
            ("@a b --source here", "expected an IP address"),
            ("@a b --format xml", "expected text or json"),
            ("@a b --tls-nam x", "did you mean `-tls-name`?"),
        ] {
            let Err(Wrong::Command(problem, _)) = of(line) else { panic!("{line}") };
            assert!(problem.contains(told), "{line}: {problem}");
        }
        for flag in AXFR_FLAGS.iter().filter(|flag| **flag != "help") {
            let told = AXFR_USAGE.contains(&format!("  -{flag} "))
                || AXFR_USAGE.contains(&format!("  --{flag} "))
                || AXFR_USAGE.contains(&format!("  --{flag}\n"));
            assert!(told, "{flag} is not in the usage");
        }
    }
}
