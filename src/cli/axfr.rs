//! `catena axfr`: a zone as a server sends it, or what has changed of it.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use corefile::counted;
use net::client::Network;
use net::tls::{self, TransferSession};
use serde_json::json;
use transfer::{Client, Limits, Outcome, Peer, Received, Tally};
use tsig::Key;
use wire::Name;
use zone::Soa;
use zone::{Changes, Listing, RecordList, RecordRef, text};

use super::args::{AxfrOptions, TlsOptions};
use super::json;
use super::output::{self, complain};

/// The port of DNS.
const PORT: u16 = 53;
/// The port of DNS over TLS (RFC 9103 section 7.3).
const TLS_PORT: u16 = 853;
/// The largest file with a key.
const MAX_KEY_FILE: u64 = 64 << 10;
/// How often progress is shown, after this long.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Transfers a zone and prints it: exit 0 if it came, 1 if not.
pub(crate) fn axfr(options: &AxfrOptions) -> ExitCode {
    match fetch(options) {
        Ok((client, zone, received)) => {
            warn_of_left_out(&received.tally);
            output::stream(|out| {
                print(out, options.json, &zone, client.peer().address, &received.outcome)
            })
        }
        Err(problem) => {
            complain(problem);
            ExitCode::FAILURE
        }
    }
}

/// A problem with what to do about it on a line below, as in a configuration.
fn with_help(problem: impl std::fmt::Display, help: Option<&str>) -> String {
    match help {
        Some(help) => format!("{problem}\n  = help: {help}"),
        None => problem.to_string(),
    }
}

fn fetch(options: &AxfrOptions) -> Result<(Client, Name, Received), String> {
    let zone = Name::from_text(&options.zone)
        .map_err(|error| format!("`{}` is no name of a zone: {error}", options.zone))?;
    let (host, port) = host_and_port(&options.server)?;
    let session = options.tls.as_ref().map(|tls| session(tls, host)).transpose()?;
    let key = key(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let port = port.unwrap_or_else(|| if session.is_some() { TLS_PORT } else { PORT });
    let mut limits = Limits::default();
    limits.records = options.max_records.unwrap_or(limits.records);
    if let Some(seconds) = options.timeout {
        limits.total = Duration::from_secs(seconds.into());
    }
    let ours = options.ixfr.map(version);
    let fetched = runtime.block_on(async {
        let address = resolve(host, port, options.source).await?;
        let peer = Peer { address, source: options.source, session, key };
        let client = Client::new(Network::Os, peer, limits);
        let received = async {
            match &ours {
                Some(ours) => client.ixfr(&zone, ours, 0).await,
                None => client.axfr(&zone, None, 0).await,
            }
        };
        let received = shown_on_a_terminal(&client, received).await;
        let received = received.map_err(|error| with_help(&error, error.help()))?;
        Ok::<_, String>((client, received))
    });
    let (client, received) = fetched?;
    Ok((client, zone, received))
}

/// The host and the port of `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or an address.
fn host_and_port(server: &str) -> Result<(&str, Option<u16>), String> {
    let wrong =
        || format!("`@{server}` is no server: expected @HOST, @HOST:PORT or @[ADDRESS]:PORT");
    let port = |text: &str| text.parse().map_err(|_| wrong());
    if let Some(inside) = server.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or_else(wrong)?;
        return match rest.strip_prefix(':') {
            Some(rest) => Ok((host, Some(port(rest)?))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(wrong()),
        };
    }
    match server.split_once(':') {
        // An IPv6 address without brackets.
        Some((_, rest)) if rest.contains(':') => Ok((server, None)),
        Some((host, rest)) if !host.is_empty() => Ok((host, Some(port(rest)?))),
        Some(_) => Err(wrong()),
        None => Ok((server, None)),
    }
}

/// The first address of the host, of the family of `source`.
async fn resolve(
    host: &str,
    port: u16,
    source: Option<std::net::IpAddr>,
) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| format!("cannot find the server `{host}`: {error}"))?;
    found
        .into_iter()
        .find(|address| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4()))
        .ok_or_else(|| format!("the server `{host}` has no address that can be asked from there"))
}

fn session(options: &TlsOptions, host: &str) -> Result<TransferSession, String> {
    let trust = match &options.authorities {
        _ if options.insecure => tls::Trust::insecure(),
        None => tls::Trust::system(),
        Some(path) => files::read(path.as_ref(), tls::MAX_PEM)
            .map_err(|error| error.to_string())
            .and_then(|pem| tls::Trust::from_pem(&pem))
            .map_err(|error| format!("cannot read the authorities in {path}: {error}"))?,
    };
    let client = tls::Client::new(&trust, None)?;
    let name = options.name.as_deref().unwrap_or(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let session = client.session(name);
    let session = session.map_err(|error| format!("`{name}` is no name of a server: {error}"))?;
    Ok(session.for_transfers())
}

fn key(options: &AxfrOptions) -> Result<Option<Arc<Key>>, String> {
    if let Some(text) = &options.key {
        let key = Key::from_text(text)
            .map_err(|error| with_help(format!("-y: {error}"), Some("`tsig-keygen` makes keys")))?;
        return Ok(Some(Arc::new(key)));
    }
    let Some(path) = &options.key_file else { return Ok(None) };
    let about = |problem: String| format!("cannot use the key in {path}: {problem}");
    let text = match files::read_pipe(path.as_ref(), MAX_KEY_FILE) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => files::read_text(path.as_ref(), MAX_KEY_FILE),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| about(error.to_string()))?;
    let keys = tsig::parse_key_file(&text).map_err(|error| about(error.to_string()))?;
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(Some(Arc::new(key))),
        (None, _) => Err(about("it has none".to_owned())),
        (Some(_), Some(_)) => {
            Err(about("it has several: leave one of them in a file of its own".to_owned()))
        }
    }
}

/// An SOA record of a version of which the serial is known: servers look at nothing else.
fn version(serial: u32) -> Soa {
    let root = Name::root;
    Soa {
        mname: root(),
        rname: root(),
        serial,
        refresh: 0,
        retry: 0,
        expire: 0,
        minimum: 0,
        ttl: 0,
    }
}

/// Shows how far a transfer is, if it takes long and somebody is there to see it.
async fn shown_on_a_terminal<T>(client: &Client, transfer: impl Future<Output = T>) -> T {
    let progress = client.progress();
    let shows = io::stderr().is_terminal();
    let mut transfer = std::pin::pin!(transfer);
    let mut next = tokio::time::interval_at(tokio::time::Instant::now() + SHOWN_AFTER, SHOWN_EVERY);
    let mut shown = false;
    loop {
        tokio::select! {
            done = &mut transfer => {
                if shown {
                    output::erase();
                }
                return done;
            }
            _ = next.tick(), if shows => {
                shown = true;
                let Tally { records, received, .. } = progress.tally();
                let records = counted(records, "record", "records");
                output::progress(&format!("{records}, {:.1} MB", received as f64 / 1e6));
            }
        }
    }
}

fn warn_of_left_out(tally: &Tally) {
    if let Some(first) = &tally.first_left_out {
        let records = counted(tally.left_out, "record", "records");
        complain(format_args!(
            "warning: {records} outside the zone left out, the first at `{first}`"
        ));
    }
}

fn print(
    out: &mut dyn Write,
    json: bool,
    name: &Name,
    server: SocketAddr,
    outcome: &Outcome,
) -> io::Result<()> {
    match outcome {
        Outcome::Zone(zone) if json => {
            let head = json!({ "zone": name.to_string(), "server": server.to_string() });
            json_open(out, &head, &[("serial", zone.serial())])?;
            let listing = Listing::of(zone);
            json_records(out, "records", listing.records().map(|listed| listed.record))?;
            writeln!(out, "}}")
        }
        Outcome::Zone(zone) => text::write_zone(&Listing::of(zone), zone.apex(), out),
        Outcome::Current(soa) if json => {
            let current = json!({ "zone": name.to_string(), "server": server.to_string(),
                "serial": soa.serial, "changes": [] });
            writeln!(out, "{current}")
        }
        Outcome::Current(soa) => writeln!(out, "; no newer version than serial {}", soa.serial),
        Outcome::Changes(all) if json => {
            let head = json!({ "zone": name.to_string(), "server": server.to_string() });
            let serial = all.last().and_then(Changes::to_serial).unwrap_or_default();
            json_open(out, &head, &[("serial", serial)])?;
            write!(out, ",\"changes\":[")?;
            for (at, one) in all.iter().enumerate() {
                let (from, to) = serials(one);
                write!(out, "{}{{\"from\":{from},\"to\":{to}", if at == 0 { "" } else { "," })?;
                json_records(out, "removed", one.removed().iter())?;
                json_records(out, "added", one.added().iter())?;
                write!(out, "}}")?;
            }
            writeln!(out, "]}}")
        }
        Outcome::Changes(all) => all.iter().try_for_each(|one| {
            let (from, to) = serials(one);
            writeln!(out, "; from serial {from} to {to}")?;
            lines(out, '-', one.removed())?;
            lines(out, '+', one.added())
        }),
    }
}

fn serials(changes: &Changes) -> (u32, u32) {
    (changes.from_serial().unwrap_or_default(), changes.to_serial().unwrap_or_default())
}

fn lines(out: &mut dyn Write, sign: char, records: &RecordList) -> io::Result<()> {
    records.iter().try_for_each(|record| writeln!(out, "{sign} {}", text::record_line(record)))
}

/// The start of an object, its fields and some numbers, left open.
fn json_open(
    out: &mut dyn Write,
    head: &serde_json::Value,
    numbers: &[(&str, u32)],
) -> io::Result<()> {
    let head = head.to_string();
    write!(out, "{}", head.strip_suffix('}').unwrap_or(&head))?;
    numbers.iter().try_for_each(|(key, number)| write!(out, ",\"{key}\":{number}"))
}

/// A further field of an object: an array of records, a line each.
fn json_records<'a>(
    out: &mut dyn Write,
    key: &str,
    records: impl Iterator<Item = RecordRef<'a>>,
) -> io::Result<()> {
    write!(out, ",\"{key}\":[")?;
    let mut first = true;
    for record in records {
        write!(out, "{}\n{}", if first { "" } else { "," }, json::record(record))?;
        first = false;
    }
    write!(out, "{}]", if first { "" } else { "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_host_and_perhaps_a_port() {
        for (server, expected) in [
            ("ns.example.org", Ok(("ns.example.org", None))),
            ("ns.example.org:5353", Ok(("ns.example.org", Some(5353)))),
            ("192.0.2.1:5353", Ok(("192.0.2.1", Some(5353)))),
            ("2001:db8::1", Ok(("2001:db8::1", None))),
            ("[2001:db8::1]", Ok(("2001:db8::1", None))),
            ("[2001:db8::1]:853", Ok(("2001:db8::1", Some(853)))),
            ("ns.example.org:", Err(())),
            (":53", Err(())),
            ("[::1", Err(())),
            ("[::1]53", Err(())),
            ("a:70000", Err(())),
        ] {
            assert_eq!(host_and_port(server).map_err(drop), expected, "{server}");
        }
    }
}
