//! The TLS of a listener: configurations of rustls from the credentials of all server blocks on it.
//!
//! A configuration is made anew when credentials were replaced, at the next handshake.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::credentials::{Certificate, Credentials, Material, provider};
use super::tickets::Tickets;

/// Protocols above TLS (ALPN, RFC 7301). A client that names none is served as well.
pub(crate) type Protocols = &'static [&'static [u8]];

/// DNS over TLS (RFC 7858, and RFC 9103 section 7.2).
pub(crate) const DOT: Protocols = &[b"dot"];

/// DNS over HTTPS (RFC 8484 section 5.2).
pub(crate) const HTTP: Protocols = &[b"h2", b"http/1.1"];

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The TLS of a listener.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    credentials: Vec<Arc<Credentials>>,
    built: ArcSwapOption<Built>,
}

/// A configuration, and what it was made of.
struct Built {
    of: Vec<Arc<Material>>,
    protocols: Protocols,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// A listener with these credentials: that of each server block on it.
    ///
    /// # Errors
    /// There are none, or they demand different things of clients.
    pub fn new(credentials: Vec<Arc<Credentials>>) -> Result<Self, String> {
        let mut clients = credentials.iter().map(|one| one.material.load().clients.digest);
        let first = clients.next().ok_or("there is no certificate")?;
        if clients.any(|digest| digest != first) {
            return Err("they demand different certificates of clients".to_owned());
        }
        Ok(Self(Arc::new(Inner { credentials, built: ArcSwapOption::empty() })))
    }

    /// The server's side of a new session.
    pub(crate) fn session(
        &self,
        protocols: Protocols,
    ) -> Result<UnbufferedServerConnection, rustls::Error> {
        UnbufferedServerConnection::new(self.config(protocols)?)
    }

    /// The configuration for these protocols. A listener has one protocol, so one is kept.
    fn config(&self, protocols: Protocols) -> Result<Arc<ServerConfig>, rustls::Error> {
        let Inner { credentials, built } = &*self.0;
        let known = built.load();
        if let Some(known) = &*known
            && known.protocols == protocols
            && known.is_of(credentials)
        {
            return Ok(Arc::clone(&known.config));
        }
        let of: Vec<_> = credentials.iter().map(|one| one.material.load_full()).collect();
        let config = Arc::new(config(credentials, &of, protocols)?);
        built.store(Some(Arc::new(Built { of, protocols, config: Arc::clone(&config) })));
        Ok(config)
    }
}

impl Built {
    fn is_of(&self, credentials: &[Arc<Credentials>]) -> bool {
        let same =
            |(one, of): (&Arc<Credentials>, &Arc<Material>)| Arc::ptr_eq(&*one.material.load(), of);
        credentials.iter().zip(&self.of).all(same)
    }
}

fn config(
    credentials: &[Arc<Credentials>],
    of: &[Arc<Material>],
    protocols: Protocols,
) -> Result<ServerConfig, rustls::Error> {
    let none = || rustls::Error::General("there is no certificate".to_owned());
    let (first, material) = credentials.iter().zip(of).next().ok_or_else(none)?;
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let builder = match material.clients.verifier() {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let certificates = of.iter().flat_map(|one| one.certificates.iter().cloned()).collect();
    let mut config = builder.with_cert_resolver(Arc::new(Certificates(certificates)));
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    config.ticketer =
        Arc::new(Tickets { keys: Arc::clone(&first.tickets), context: material.clients.digest });
    // Tickets carry all of a session: none is kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Some(log) = credentials.iter().find_map(|one| one.key_log.clone()) {
        config.key_log = log;
    }
    Ok(config)
}

/// Chooses a certificate: of those with a key that the client can verify, the first that has the name
/// which the client asks for (SNI, RFC 6066 section 3), or the first.
#[derive(Debug)]
struct Certificates(Vec<Certificate>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let mut usable = self.0.iter().filter(|one| one.key.key.choose_scheme(schemes).is_some());
        if self.0.len() > 1
            && let Some(name) = hello.server_name().and_then(|name| ServerName::try_from(name).ok())
            && let Some(named) = usable.clone().find(|one| one.is_for(&name))
        {
            return Some(Arc::clone(&named.key));
        }
        usable.next().map(|first| Arc::clone(&first.key))
    }
}

impl PartialEq for Acceptor {
    /// Whether they have the same credentials, whatever those are at the moment.
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0.credentials, &other.0.credentials);
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl Eq for Acceptor {}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}
