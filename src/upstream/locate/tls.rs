//! TLS to upstreams, and the protocols over it. The files of `tls` are read here, once, at setup.

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use net::client::{Method, Over, Resource};
use net::tls::{Client, Identity, MAX_PEM, Session, Trust};

use super::endpoint::Endpoint;
use crate::config::{HTTPS_PORT, Scheme, Tls, UpstreamConfig};

/// The TLS clients of one directive. All upstreams with the same files share one, and with it the
/// sessions to resume.
#[derive(Default)]
pub(crate) struct TlsClients {
    clients: Vec<(Tls, Read)>,
}

/// How connections to an upstream are made, whatever its address.
pub(crate) struct Dialer {
    /// `None`: plain text.
    client: Option<Client>,
    /// `tls_servername`.
    name: Option<String>,
    method: Method,
}

impl TlsClients {
    /// Reads the files of each `tls`, or the system's CAs if an upstream needs them.
    ///
    /// Errors: a file cannot be read, or has not the right content.
    pub(crate) fn new(places: &[UpstreamConfig], setup: &Setup<'_>) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut clients: Vec<(Tls, Read)> = Vec::new();
        for (at, place) in places.iter().enumerate() {
            let alike = |one: &UpstreamConfig| one.options.tls == place.options.tls;
            if places[..at].iter().any(alike) {
                continue;
            }
            let needed = places[at..].iter().any(|one| alike(one) && one.spec.tls.is_some());
            match client(&place.options.tls, needed, place.spec.token.span, setup) {
                Ok(read) => clients.push((place.options.tls.clone(), read)),
                Err(more) => problems.extend(more),
            }
        }
        if problems.has_errors() { Err(problems) } else { Ok(Self { clients }) }
    }

    /// The dialer for the upstream of `place`.
    pub(crate) fn dialer(&self, place: &UpstreamConfig) -> Dialer {
        let options = &place.options;
        let read = self.clients.iter().find(|(tls, _)| *tls == options.tls);
        Dialer {
            client: read.and_then(|(_, read)| read.client.clone()),
            name: options.tls_servername.as_ref().map(|token| token.as_str().to_owned()),
            method: options.doh_method,
        }
    }

    /// A warning about options that cannot work, or have no effect.
    pub(crate) fn warning(
        &self,
        directive: &Directive,
        places: &[UpstreamConfig],
    ) -> Option<Diagnostic> {
        if self.clients.iter().any(|(_, read)| read.distrusts) {
            return Some(distrust(directive));
        }
        if places.iter().any(|one| one.spec.tls.is_some()) {
            return None;
        }
        let is_tls = |one: &&Directive| matches!(one.name.as_str(), "tls" | "tls_servername");
        let useless = directive.options().iter().find(is_tls)?;
        let (name, plugin) = (useless.name.as_str(), directive.name.as_str());
        Some(
            Diagnostic::warning(useless.span, format!("`{name}` has no effect here"))
                .label(format!("no upstream of this `{plugin}` uses TLS"))
                .help("write `tls://`, `https://`, `quic://` or `h3://` before the upstreams' addresses"),
        )
    }
}

impl Dialer {
    /// The protocol and session for an endpoint. Without a name its certificate must be for the
    /// address, as in CoreDNS; the host of a URL, and of QUIC, is a name.
    ///
    /// Errors: no certificate can be for such a name.
    pub(crate) fn over(&self, found: &Endpoint) -> Result<Over, String> {
        let Some(name) = &found.tls else { return Ok(Over::Tcp) };
        let host = found.host.clone().filter(|_| found.scheme != Scheme::Tls);
        let host = host.map(|host| host.trim_end_matches('.').to_owned());
        let name = name.clone().or_else(|| self.name.clone()).or(host);
        let name = name.unwrap_or_else(|| found.address.ip().to_string());
        let client = self
            .client
            .as_ref()
            .ok_or_else(|| "there is no TLS configuration for it".to_owned())?;
        let session: Session = client.session(&name)?;
        // RFC 9110 section 4.2.2: the certificate's name is the name in the request.
        let authority = || match (name.contains(':'), found.address.port()) {
            (false, HTTPS_PORT) => name.clone(),
            (false, port) => format!("{name}:{port}"),
            (true, HTTPS_PORT) => format!("[{name}]"),
            (true, port) => format!("[{name}]:{port}"),
        };
        match &found.scheme {
            Scheme::Dns | Scheme::Tls => Ok(Over::Tls(session)),
            Scheme::Quic => Over::quic(&session),
            Scheme::Https(template) => {
                let resource = Resource::new(&authority(), template, self.method)?;
                Ok(Over::https(&session, resource))
            }
            Scheme::H3(template) => {
                Over::h3(&session, Resource::new(&authority(), template, self.method)?)
            }
        }
    }
}

/// A warning that no CA is trusted.
pub(crate) fn distrust(directive: &Directive) -> Diagnostic {
    let warning = "this system has no trusted CA certificates";
    Diagnostic::warning(directive.span, warning)
        .label("no certificate of an upstream can be verified")
        .help("install the package `ca-certificates`, or name a file with `tls CA`")
}

/// A TLS client, read from files.
pub(crate) struct Read {
    /// `None`: no upstream needs it.
    pub(crate) client: Option<Client>,
    /// Whether it trusts no CA.
    pub(crate) distrusts: bool,
}

/// Reads the files of `tls`, or the system's CAs if TLS is `needed`; `span` is the upstream that needs
/// it.
///
/// Errors: a file cannot be read, or has not the right content.
pub(crate) fn client(
    tls: &Tls,
    needed: bool,
    span: Span,
    setup: &Setup<'_>,
) -> Result<Read, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut note = |problem: Diagnostic| problems.push(problem);
    let trust = match &tls.ca {
        Some(token) => read(token, setup)
            .and_then(|bytes| Trust::from_pem(&bytes).map_err(|why| invalid_reply(token, &why)))
            .map_err(&mut note)
            .ok(),
        None if needed => Some(Trust::system()),
        None => None,
    };
    let mut identity = None;
    if let Some((certificate, key)) = &tls.identity {
        let certificates = read(certificate, setup).map_err(&mut note);
        let secret = read(key, setup).map_err(&mut note);
        if let (Ok(certificates), Ok(secret)) = (certificates, secret) {
            let made = Identity::from_pem(&certificates, &secret);
            identity = made.map_err(|why| note(invalid_reply(certificate, &why))).ok();
        }
    }
    let distrusts = needed && trust.as_ref().is_some_and(Trust::is_empty);
    let mut client = None;
    if let Some(trust) = trust.or_else(|| identity.is_some().then(Trust::none)) {
        match (Client::new(&trust, identity.as_ref()), &tls.identity) {
            (Ok(made), _) => client = Some(made),
            (Err(why), Some((certificate, _))) => note(invalid_reply(certificate, &why)),
            (Err(why), None) => note(Diagnostic::error(span, format!("cannot use TLS: {why}"))),
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(Read { client, distrusts }) }
}

fn read(token: &Token, setup: &Setup<'_>) -> Result<Vec<u8>, Diagnostic> {
    files::read(&setup.path(token), MAX_PEM).map_err(|error| {
        Diagnostic::error(token.span, format!("cannot read `{}`: {error}", token.as_str()))
            .label("expected a PEM file")
            .help("write `tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`")
    })
}

fn invalid_reply(token: &Token, why: &str) -> Diagnostic {
    Diagnostic::error(token.span, format!("cannot use `{}`: {why}", token.as_str()))
        .label("not usable for TLS")
        .help("write `tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`, all of them PEM files")
}
