//! The arguments of `dnstap`.

use std::path::PathBuf;

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use net::stream::{Endpoint, Files, Verification};
use telemetry::format::Format;

use super::sink::{Mode, Target};

/// The most that may be asked for, as in CoreDNS.
const MAX_WRITE_BUFFER: usize = 1024;
const MAX_QUEUE: usize = 4096;

/// One directive.
pub(super) struct Config {
    pub(super) target: Target,
    /// Whole DNS messages go along.
    pub(super) full: bool,
    pub(super) identity: Vec<u8>,
    pub(super) version: Vec<u8>,
    pub(super) extra: Option<Format>,
}

/// Reads a directive. Warnings go to `warnings`.
pub(super) fn parse(
    directive: &Directive,
    has_metadata: bool,
    warnings: &mut Diagnostics,
) -> Result<Config, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut args = directive.args();
    let listens = args.peek().is_some_and(|first| first.as_str() == "listen");
    if listens {
        args.next();
    }
    let endpoint = args.required("SOCKET").and_then(endpoint);
    let full = match args.next() {
        Some(word) if word.as_str() != "full" => {
            errors.push(not_full(word));
            false
        }
        word => word.is_some(),
    };
    let write_buffer_at = args.peek();
    let write_buffer = number(args.next(), "write buffer", MAX_WRITE_BUFFER, &mut errors);
    let queue = number(args.next(), "queue", MAX_QUEUE, &mut errors);
    errors.extend(args.end().err());
    let options = options(directive, listens, has_metadata, warnings, &mut errors);
    let endpoint = match endpoint {
        Ok(endpoint) if !errors.has_errors() => endpoint,
        Ok(_) => return Err(errors),
        Err(error) => {
            errors.push(error);
            return Err(errors);
        }
    };
    let is_tls = matches!(endpoint, Endpoint::Tls(_));
    let socket = &directive.args[usize::from(listens)];
    if let Some(token) = options.skip_verify.filter(|_| !is_tls) {
        warnings.push(no_tls(token, "skipverify", socket));
    }
    if let (false, Some((token, _))) = (is_tls, &options.tls) {
        warnings.push(no_tls(token, "tls", socket));
    }
    let mode = if listens {
        if is_tls && options.tls.is_none() {
            warnings.push(
                Diagnostic::warning(socket.span, "no reader can connect to this listener")
                    .label("TLS needs a certificate and its key")
                    .help("add `tls CERT KEY` to the block of this directive"),
            );
        }
        if let Some(token) = write_buffer_at {
            warnings.push(
                Diagnostic::warning(token.span, "a listener has no write buffer")
                    .label("no effect")
                    .help("write `1` in its place"),
            );
        }
        let optional = options.skip_verify.is_some();
        Mode::Listen { files: options.tls.map(|(_, tls)| Files { optional, ..tls }) }
    } else {
        let blind = options.skip_verify.is_some();
        let verification = if blind { Verification::Insecure } else { Verification::System };
        Mode::Connect { verification, send_buffer: write_buffer << 20 }
    };
    Ok(Config {
        target: Target { endpoint, mode, queue },
        full,
        identity: options.identity.unwrap_or_else(|| net::host::own_name().into_bytes()),
        version: options
            .version
            .unwrap_or_else(|| concat!("catena-", env!("CARGO_PKG_VERSION")).into()),
        extra: options.extra,
    })
}

#[derive(Default)]
struct Options<'a> {
    identity: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
    extra: Option<Format>,
    skip_verify: Option<&'a Token>,
    tls: Option<(&'a Token, Files)>,
}

fn options<'a>(
    directive: &'a Directive,
    listens: bool,
    has_metadata: bool,
    warnings: &mut Diagnostics,
    errors: &mut Diagnostics,
) -> Options<'a> {
    let mut read = Options::default();
    for option in directive.options() {
        let mut args = option.args();
        let mut text =
            |what: &str| args.required(what).map(|token| token.as_str().as_bytes().to_vec());
        let outcome = match option.name.as_str() {
            "identity" => text("IDENTITY").map(|text| read.identity = Some(text)),
            "version" => text("VERSION").map(|text| read.version = Some(text)),
            "extra" => args.required("EXTRA").map(|token| {
                let format = Format::parse(token.as_str());
                warnings.extend(format.warnings("dnstap", token, has_metadata));
                read.extra = (!token.as_str().is_empty()).then_some(format);
            }),
            "skipverify" => {
                read.skip_verify = Some(&option.name);
                Ok(())
            }
            "tls" if listens => files(&mut args).map(|tls| read.tls = Some((&option.name, tls))),
            "tls" => Err(Diagnostic::error(option.name.span, "`tls` applies only to listeners")
                .label("this directive connects to the reader")
                .help("write `tls://` before the address of SOCKET, and remove this option")),
            _ => {
                let known = ["identity", "version", "extra", "skipverify", "tls"];
                errors.push(directive.unknown_option(option, &known));
                continue;
            }
        };
        let outcome = outcome.and_then(|()| match option.name.as_str() {
            "tls" => Ok(()),
            _ => args.end(),
        });
        errors.extend(outcome.and_then(|()| option.no_body()).err());
    }
    read
}

fn files(args: &mut corefile::Args<'_>) -> Result<Files, Diagnostic> {
    let mut path = |what| args.required(what).map(|token| PathBuf::from(token.as_str()));
    let (certificate, key) = (path("CERT")?, path("KEY")?);
    let authorities = args.next().map(|token| PathBuf::from(token.as_str()));
    args.end()?;
    Ok(Files { certificate, key, authorities, optional: false })
}

/// A path, or a URL of `unix`, `tcp` or `tls`.
fn endpoint(token: &Token) -> Result<Endpoint, Diagnostic> {
    let text = token.as_str();
    let wrong = |label: &str| {
        Diagnostic::error(token.span, format!("`{text}` is not a socket address"))
            .label(label)
            .help("write a path, `tcp://HOST:PORT` or `tls://HOST:PORT`")
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("unix", text));
    if rest.is_empty() {
        return Err(wrong("the path or the host is missing"));
    }
    match scheme {
        "unix" => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "tcp" | "tls" => {
            // A path behind the host of a URL is ignored, as in CoreDNS.
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let named =
                if host.starts_with(':') { format!("localhost{host}") } else { host.into() };
            net::host::check_with_port(&named).map_err(|problem| wrong(&problem))?;
            let host = host.to_owned();
            Ok(if scheme == "tcp" { Endpoint::Tcp(host) } else { Endpoint::Tls(host) })
        }
        _ => Err(wrong("expected `unix`, `tcp` or `tls` before `://`")),
    }
}

fn number(token: Option<&Token>, what: &str, most: usize, errors: &mut Diagnostics) -> usize {
    let Some(token) = token else { return 1 };
    match token.as_str().parse() {
        Ok(number) if (1..=most).contains(&number) => number,
        _ => {
            let title = format!("`{}` is not a valid size of the {what}", token.as_str());
            errors.push(
                Diagnostic::error(token.span, title)
                    .label(format!("expected a whole number from 1 to {most}"))
                    .help("the write buffer is in MiB, the queue in multiples of 10,000 messages"),
            );
            1
        }
    }
}

fn not_full(word: &Token) -> Diagnostic {
    Diagnostic::error(word.span, format!("`dnstap` takes no argument `{}` here", word.as_str()))
        .label("expected `full`")
        .help("write `dnstap SOCKET full [WRITEBUFFER] [QUEUE]`")
}

fn no_tls(token: &Token, option: &str, socket: &Token) -> Diagnostic {
    Diagnostic::warning(token.span, format!("`{option}` has no effect here"))
        .label(format!("`{}` is not a TLS socket", socket.as_str()))
        .help("write `tls://` before the address, or remove the option")
}
