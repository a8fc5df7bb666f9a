//! The client side of TLS: a configuration from certificates, and sessions with servers.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::go_text::told;
use super::insecure::InsecureVerifier;
use super::trust::{Identity, Trust};
use super::verifier::Verifier;

/// Sessions to resume that are kept for one server and protocol.
const SESSIONS: usize = 32;

/// The protocol of zone transfers (RFC 9103 section 7.2).
const TRANSFER_ALPN: &[u8] = b"dot";

/// A client configuration, with the sessions to resume with all servers.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// A digest of everything that it is made of.
    digest: [u8; 32],
}

impl Client {
    /// A client that trusts `trust`, and presents `identity` if a server requests it.
    ///
    /// # Errors
    /// Certificate and key do not belong together.
    pub fn new(trust: &Trust, identity: Option<&Identity>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trust.certificates.iter().cloned());
        let mut digest = Context::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            digest.update(&bytes.len().to_be_bytes());
            digest.update(bytes);
        };
        add(&[u8::from(trust.named), u8::from(trust.insecure)]);
        trust.certificates.iter().for_each(|one| add(one));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if trust.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(InsecureVerifier(provider)))
        } else if trust.named {
            let verifier = Verifier::new(roots, &trust.certificates, provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            builder.with_root_certificates(roots)
        };
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                add(b"identity");
                chain.iter().for_each(|one| add(one));
                add(key.secret_der());
                builder
                    .with_client_auth_cert(chain.clone(), key.clone_key())
                    .map_err(|error| error.to_string())?
            }
        };
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        Ok(Self { config: Arc::new(config), digest: bytes })
    }

    /// Sessions with a server whose certificate must have `name`: a host name, or an address.
    ///
    /// # Errors
    /// `name` is neither.
    pub fn session(&self, name: &str) -> Result<Session, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        Ok(Session { client: self.clone(), name })
    }
}

/// Whether a server can have this name: a host name, or an address.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<(), String> {
    ServerName::try_from(name).map(drop).map_err(|error| error.to_string())
}

/// How to begin a session with one server.
#[derive(Clone)]
pub struct Session {
    client: Client,
    name: ServerName<'static>,
}

impl Session {
    /// The client's side of a handshake.
    pub(crate) async fn handshake<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(Arc::clone(&self.client.config));
        connector.connect(self.name.clone(), stream).await.map_err(told)
    }

    /// The same session for an ALPN protocol (RFC 7301). Sessions to resume
    /// are kept for that protocol only.
    pub(crate) fn speaking(&self, protocol: &'static [u8]) -> Self {
        let mut config = (*self.client.config).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let client = Client { config: Arc::new(config), digest: self.client.digest };
        Self { client, name: self.name.clone() }
    }

    /// The same session for zone transfers.
    pub fn for_transfers(&self) -> TransferSession {
        TransferSession(self.speaking(TRANSFER_ALPN))
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.client.config
    }

    /// The name that the server's certificate must have.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.name.to_str()
    }
}

/// How to begin a session that transfers a zone (XoT, RFC 9103): with TLS 1.3 or not at all (section 7.1 there),
/// and with the protocol `dot` (section 7.2). A server that knows no ALPN, such as the NSD of Debian 12, chooses none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferSession(Session);

impl TransferSession {
    /// The client's side of a handshake.
    pub(crate) async fn handshake<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.0.handshake(stream).await?;
        let (_, session) = stream.get_ref();
        if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(io::Error::other("tls: the server offers no TLS 1.3 (RFC 9103)"));
        }
        Ok(stream)
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.client.digest == other.client.digest
    }
}

impl Eq for Session {}

/// Equal sessions look equal, others do not; keys are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name.to_str())?;
        self.client.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
