//! The options of `https`.

use chain::settings::HttpOptions;
use corefile::{Cidr, Diagnostic, Diagnostics, Directive, Token};

/// The options, as `catena help https` lists them.
const OPTIONS: &[&str] = &["max_connections", "max_streams", "path", "trusted_proxies"];
/// Streams of a connection at most.
const MOST_STREAMS: u32 = 1000;
/// Paths of a listener at most.
const MOST_PATHS: usize = 16;

/// Reads the directive.
///
/// # Errors
/// All mistakes in it.
pub(super) fn parse(directive: &Directive) -> Result<HttpOptions, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut options = HttpOptions::default();
    problems.extend(directive.args().end().err());
    for line in directive.options() {
        problems.extend(option(directive, line, &mut options).err());
    }
    if problems.has_errors() { Err(problems) } else { Ok(options) }
}

fn option(
    directive: &Directive,
    line: &Directive,
    options: &mut HttpOptions,
) -> Result<(), Diagnostic> {
    line.no_body()?;
    let mut args = line.args();
    match line.name.as_str() {
        "max_connections" => {
            let most = args.value("a number of connections")?;
            once(line, options.max_connections.replace(most).is_some())?;
        }
        "max_streams" => {
            let token = args.required("a number of streams")?;
            let most: u32 = token.parse("a number of streams")?;
            if !(1..=MOST_STREAMS).contains(&most) {
                return Err(Diagnostic::error(token.span, format!("`{most}` is out of range"))
                    .label(format!("a number from 1 to {MOST_STREAMS} is expected"))
                    .help("clients ask many questions at once over few connections"));
            }
            once(line, options.max_streams.replace(most).is_some())?;
        }
        "path" => {
            args.required("a path")?;
            for token in &line.args {
                options.paths.push(path(token)?);
            }
            if options.paths.len() > MOST_PATHS {
                return Err(Diagnostic::error(line.span, "there are too many paths")
                    .label(format!("at most {MOST_PATHS} are possible"))
                    .help("remove some of them"));
            }
            return Ok(());
        }
        "trusted_proxies" => {
            args.required("an address or a network")?;
            for token in &line.args {
                options.proxies.push(network(token)?);
            }
            return Ok(());
        }
        _ => return Err(directive.unknown_option(line, OPTIONS)),
    }
    args.end()
}

fn once(line: &Directive, again: bool) -> Result<(), Diagnostic> {
    if !again {
        return Ok(());
    }
    let name = line.name.as_str();
    Err(Diagnostic::error(line.name.span, format!("`{name}` is set twice"))
        .label("a second time here")
        .help("remove one of the two"))
}

/// A path as clients send it.
fn path(token: &Token) -> Result<String, Diagnostic> {
    let text = token.as_str();
    let is_path = text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#{}\"<>\\^`|".contains(&byte));
    if is_path {
        return Ok(text.to_owned());
    }
    Err(Diagnostic::error(token.span, format!("`{text}` is not a path"))
        .label("expected a path such as `/dns-query`")
        .help("write it as clients send it: without host, parameters and `{?dns}`"))
}

fn network(token: &Token) -> Result<(std::net::IpAddr, u8), Diagnostic> {
    if let Ok(ip) = token.as_str().parse::<std::net::IpAddr>() {
        return Ok((ip, if ip.is_ipv4() { 32 } else { 128 }));
    }
    let Cidr { addr, prefix } = token.parse("an address or a network")?;
    Ok((addr, prefix))
}
