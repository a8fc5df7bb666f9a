//! Single servers, for plugins that speak to them without a group: those that transfer zones.

use std::net::SocketAddr;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use net::tls::Client;

use crate::config::{Scheme, Target, Tls, read_spec};
use crate::locate::resolv::{no_interface, scoped};
use crate::locate::tls;

/// A server as it is written: its address, and the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address and port.
    pub address: SocketAddr,
    /// `Some`: over TLS, with the name behind `%` that its certificate must have.
    pub tls: Option<Option<String>>,
}

impl Server {
    /// Reads an address for `plugin`: plain, or behind `dns://` or `tls://`.
    ///
    /// # Errors
    /// It is no address, or behind another protocol.
    pub fn read(
        token: &Token,
        plugin: &str,
        warnings: &mut Diagnostics,
    ) -> Result<Self, Diagnostic> {
        let text = token.as_str();
        let spec = read_spec(token, plugin)?;
        if !matches!(spec.scheme, Scheme::Dns | Scheme::Tls) {
            let word = spec.scheme.word();
            return Err(Diagnostic::error(
                token.span,
                format!("`{plugin}` does not speak `{word}`"),
            )
            .label("zones are transferred over TCP or TLS")
            .help("write the address alone, or `tls://` before it"));
        }
        let Target::Address(address, zone) = spec.target else {
            return Err(Diagnostic::error(
                token.span,
                format!("must specify an IP address: `{text}`"),
            )
            .label("expected an address")
            .help("write for example `192.0.2.1`, `[2001:db8::1]:5353` or `tls://192.0.2.1`"));
        };
        let (address, unknown) = scoped(address, zone.as_deref());
        warnings.extend(unknown.map(|problem| no_interface(token, problem)));
        Ok(Self { address, tls: spec.tls })
    }
}

/// The client for servers over TLS, with the files of `tls`, or the CAs of the system.
///
/// # Errors
/// A file cannot be read, or has not the right content.
pub fn tls_client(
    files: &Tls,
    directive: &Directive,
    setup: &mut Setup<'_>,
) -> Result<Client, Diagnostics> {
    let read = tls::client(files, true, directive.span, setup)?;
    if read.distrusts {
        setup.warn(tls::distrust(directive));
    }
    read.client.ok_or_else(|| {
        Diagnostic::error(directive.span, "there is no TLS configuration for it").into()
    })
}
