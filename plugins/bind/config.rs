//! The arguments of `bind`.

use std::net::{IpAddr, SocketAddr};

use chain::settings::Bind;
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};

/// The longest name of an interface in Linux (IFNAMSIZ without the closing zero).
const MAX_INTERFACE: usize = 15;

/// One entry for each directive; the server listens on the union of their addresses.
pub(super) fn parse(uses: &[&Directive]) -> Result<Vec<Bind>, Diagnostics> {
    let mut errors = Diagnostics::default();
    let binds = uses.iter().map(|directive| one(directive, &mut errors)).collect();
    if errors.has_errors() { Err(errors) } else { Ok(binds) }
}

fn one(directive: &Directive, errors: &mut Diagnostics) -> Bind {
    let addresses = directive.args().remaining();
    if addresses.is_empty() {
        errors.push(
            Diagnostic::error(
                directive.name.span,
                "at least one address or interface name is expected",
            )
            .label("no address or interface follows this")
            .help("add addresses or interfaces, as in `bind 127.0.0.1 eth0`"),
        );
    }
    let mut bind = Bind { addresses: places(addresses, errors), except: Vec::new() };
    for option in directive.options() {
        if option.name.as_str() != "except" {
            errors.push(directive.unknown_option(option, &["except"]));
            continue;
        }
        let except = option.args().remaining();
        if except.is_empty() {
            errors.push(
                Diagnostic::error(
                    option.name.span,
                    "at least one address or interface must be given to `except`",
                )
                .label("no address or interface follows this")
                .help("add the addresses or interfaces to exclude, as in `except 127.0.0.1`"),
            );
        }
        bind.except.extend(places(except, errors));
        if let Err(error) = option.no_body() {
            errors.push(error);
        }
    }
    bind
}

fn places(tokens: &[Token], errors: &mut Diagnostics) -> Vec<(String, Span)> {
    for token in tokens {
        if let Err(help) = place(token.as_str()) {
            let message = format!("not a valid IP address or interface name: `{}`", token.as_str());
            errors.push(
                Diagnostic::error(token.span, message)
                    .label("expected an address such as `192.0.2.1` or an interface such as `eth0`")
                    .help(help),
            );
        }
    }
    tokens.iter().map(|token| (token.as_str().to_owned(), token.span)).collect()
}

/// Whether this may be an address or an interface; which interfaces there are the server knows.
///
/// Errors: the text to write instead.
fn place(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        let (ip, port) = (socket.ip(), socket.port());
        return Err(format!("write `{ip}` here, and the port after the zone, as in `.:{port}`"));
    }
    if let Some((address, _)) = text.split_once('/')
        && address.parse::<IpAddr>().is_ok()
    {
        return Err(format!("the server cannot listen on an address range; write `{address}`"));
    }
    let fits = !text.is_empty()
        && text.len() <= MAX_INTERFACE
        && !text.contains(|letter: char| letter == '/' || letter.is_whitespace())
        && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if fits {
        Ok(())
    } else {
        Err("`ip addr` lists the addresses and interfaces of this host".into())
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn places_are_addresses_and_plausible_interfaces() {
        for good in ["127.0.0.1", "::1", "2001:db8::1", "eth0", "eth0.100", "br-lan", "lo", "wg0"] {
            assert_eq!(place(good), Ok(()), "{good}");
        }
        let socket = place("127.0.0.1:53").unwrap_err();
        assert!(socket.contains("`.:53`"), "{socket}");
        assert!(place("10.0.0.1/8").unwrap_err().contains("`10.0.0.1`"));
        for bad in ["", "300.1.2.3", "a/b", "averylonginterfacename"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
