//! TLS to upstreams, and what is spoken over it: the files of `tls` are read here, once, at set-up.

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use net::client::{Method, Over, Resource};
use net::tls::{Client, Identity, Session, Trust};

use super::config::{Config, Tls};
use super::target::Found;
use super::to::{HTTPS_PORT, Scheme};

/// How we are over TLS, to all upstreams of one directive: what one says of itself to resume a
/// session is known to all.
pub(crate) struct Secure {
    /// `None`: no upstream is asked over TLS, and no `tls` says how.
    client: Option<Client>,
    /// Whether it trusts nobody.
    distrusts: bool,
    /// `tls_servername`.
    name: Option<String>,
}

impl Secure {
    /// Reads what `tls` names, else what the system has if an upstream needs it.
    ///
    /// Errors: a file cannot be read, or is not what it should be.
    pub(crate) fn new(config: &Config, setup: &Setup<'_>) -> Result<Self, Diagnostics> {
        let name = config.tls_servername.as_ref().map(|token| token.as_str().to_owned());
        let needed = config.to.iter().any(|to| to.tls.is_some());
        let span = config.to.first().map_or_else(Default::default, |to| to.token.span);
        let Read { client, distrusts } = client(&config.tls, needed, span, setup)?;
        Ok(Self { client, distrusts, name })
    }

    /// How to talk to an upstream that was found. Without a name its certificate must be for the
    /// address, as in CoreDNS; the host of a URL, and of QUIC, is a name.
    pub(crate) fn over(
        &self,
        found: &Found,
        method: Method,
        directive: &Directive,
    ) -> Result<Over, Diagnostic> {
        let Some(name) = &found.tls else { return Ok(Over::Tcp) };
        let host = found.host.clone().filter(|_| found.scheme != Scheme::Tls);
        let host = host.map(|host| host.trim_end_matches('.').to_owned());
        let name = name.clone().or_else(|| self.name.clone()).or(host);
        let name = name.unwrap_or_else(|| found.address.ip().to_string());
        self.speaking(&name, found, method).map_err(|why| {
            Diagnostic::error(directive.span, format!("cannot use TLS: {why}"))
                .label("with one of these upstreams")
        })
    }

    fn speaking(&self, name: &str, found: &Found, method: Method) -> Result<Over, String> {
        let client = self.client.as_ref().ok_or_else(|| "nothing is known of it".to_owned())?;
        let session: Session = client.session(name)?;
        // RFC 9110 section 4.2.2: the name that the certificate is for is that which is asked for.
        let authority = || match (name.contains(':'), found.address.port()) {
            (false, HTTPS_PORT) => name.to_owned(),
            (false, port) => format!("{name}:{port}"),
            (true, HTTPS_PORT) => format!("[{name}]"),
            (true, port) => format!("[{name}]:{port}"),
        };
        match &found.scheme {
            Scheme::Dns | Scheme::Tls => Ok(Over::Tls(session)),
            Scheme::Quic => Over::quic(&session),
            Scheme::Https(template) => {
                let resource = Resource::new(&authority(), template, method)?;
                Ok(Over::https(&session, resource))
            }
            Scheme::H3(template) => {
                Over::h3(&session, Resource::new(&authority(), template, method)?)
            }
        }
    }

    /// What is well-formed and cannot work, or does nothing.
    pub(crate) fn warning(&self, directive: &Directive, found: &[Found]) -> Option<Diagnostic> {
        if self.distrusts {
            return Some(distrust(directive));
        }
        if found.iter().any(|one| one.tls.is_some()) {
            return None;
        }
        let is_tls = |one: &&Directive| matches!(one.name.as_str(), "tls" | "tls_servername");
        let useless = directive.options().iter().find(is_tls)?;
        let name = useless.name.as_str();
        Some(
            Diagnostic::warning(useless.span, format!("`{name}` does nothing here"))
                .label("no upstream of this `forward` is asked over TLS")
                .help("write `tls://`, `https://`, `quic://` or `h3://` before the upstreams' addresses"),
        )
    }
}

/// TLS with nobody to trust.
pub(crate) fn distrust(directive: &Directive) -> Diagnostic {
    let warning = "this system has no certificates of authorities to trust";
    Diagnostic::warning(directive.span, warning)
        .label("no upstream over TLS can be believed")
        .help("install the package `ca-certificates`, or name a file with `tls CA`")
}

/// What `tls` makes of us.
pub(crate) struct Read {
    /// `None`: nothing asks for it.
    pub(crate) client: Option<Client>,
    /// Whether it trusts nobody.
    pub(crate) distrusts: bool,
}

/// Reads the files of `tls`, or what the system has if TLS is `needed`; `span` is whom it is needed
/// for.
///
/// Errors: a file cannot be read, or is not what it should be.
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
            .and_then(|bytes| Trust::from_pem(&bytes).map_err(|why| unfit(token, &why)))
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
            identity = made.map_err(|why| note(unfit(certificate, &why))).ok();
        }
    }
    let distrusts = needed && trust.as_ref().is_some_and(Trust::is_empty);
    let mut client = None;
    if let Some(trust) = trust.or_else(|| identity.is_some().then(Trust::nobody)) {
        match (Client::new(&trust, identity.as_ref()), &tls.identity) {
            (Ok(made), _) => client = Some(made),
            (Err(why), Some((certificate, _))) => note(unfit(certificate, &why)),
            (Err(why), None) => note(Diagnostic::error(span, format!("cannot use TLS: {why}"))),
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(Read { client, distrusts }) }
}

fn read(token: &Token, setup: &Setup<'_>) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(setup.path(token)).map_err(|error| {
        Diagnostic::error(token.span, format!("cannot read `{}`: {error}", token.as_str()))
            .label("expected a PEM file")
            .help("write `tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`")
    })
}

fn unfit(token: &Token, why: &str) -> Diagnostic {
    Diagnostic::error(token.span, format!("cannot use `{}`: {why}", token.as_str()))
        .label("of no use for TLS")
        .help("write `tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`, all of them PEM files")
}
