//! TLS: whom we trust, who we are, and sessions with servers. One provider: ring.
//!
//! Names and times of certificates are checked by rustls. Files are read elsewhere: this is given
//! their bytes. What goes through a session it must never know.

mod anybody;
mod server;
mod words;

pub(crate) use words::told;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use anybody::Anybody;
pub use server::Server;

/// The largest file of certificates or of a key; what a system trusts has a quarter of that.
pub const MAX_PEM: u64 = 1 << 20;

/// Sessions that are remembered for one server and protocol.
const SESSIONS: usize = 32;

/// The authorities whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    /// Whether the operator named each of them: then one may be a server's own, see [`Verifier`].
    named: bool,
    /// Whether nobody has to be believed.
    blind: bool,
}

impl Trust {
    /// Those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`; perhaps none.
    pub fn system() -> Self {
        let certificates = rustls_native_certs::load_native_certs().certs;
        Self { certificates, named: false, blind: false }
    }

    /// Those of a PEM file. What is no certificate is passed over.
    ///
    /// # Errors
    /// There is none.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
        if RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err("it has no certificate in PEM form".to_owned());
        }
        Ok(Self { certificates, named: true, blind: false })
    }

    /// Nobody's.
    pub fn nobody() -> Self {
        Self { certificates: Vec::new(), named: false, blind: false }
    }

    /// Anybody's, and that of a certificate without authority: who listens on the way learns nothing,
    /// but who is at the other end may be anyone.
    pub fn anybody() -> Self {
        Self { blind: true, ..Self::nobody() }
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && !self.blind
    }
}

/// A certificate, those that vouch for it, and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From two PEM files, or one that has both.
    ///
    /// # Errors
    /// Either has not what it should; whether they belong together is seen later.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if chain.is_empty() {
            return Err("there is no certificate in PEM form".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the private key cannot be read: {error}"))?;
        Ok(Self { chain, key })
    }
}

/// How we are to servers. Sessions with all of them are remembered here, to be resumed.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// Of everything that it is made of.
    digest: [u8; 32],
}

impl Client {
    /// A client that believes `trust`, and shows `identity` where it is asked for one.
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
        add(&[u8::from(trust.named), u8::from(trust.blind)]);
        trust.certificates.iter().for_each(|one| add(one));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if trust.blind {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
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

    /// Sessions with a server that must be called `name`: a host name, or an address.
    ///
    /// # Errors
    /// `name` is neither.
    pub fn session(&self, name: &str) -> Result<Session, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        Ok(Session { client: self.clone(), name })
    }
}

/// What rustls checks, with one thing more that is believed: a server's certificate which is,
/// byte by byte, one that the operator named as trusted, though it says that it is an authority's.
/// `openssl req -x509` makes such ones, and Go, so CoreDNS, believes them.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(
        roots: RootCertStore,
        trusted: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { usual, trusted: trusted.to_vec() })
    }
}

/// Whether the mark of an authority is all that is wrong. It is looked for behind the dates, and
/// before the name. The type of the error is that of a crate that rustls does not show.
fn is_an_authoritys(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return false;
    };
    cause.to_string() == "CaUsedAsEndEntity"
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.usual.verify_server_cert(certificate, others, name, ocsp, now) {
            Err(error) if is_an_authoritys(&error) && self.trusted.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
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

    /// The same for what is called `protocol` (RFC 7301). What one says of itself to resume a session
    /// is for that protocol only.
    pub(crate) fn speaking(&self, protocol: &'static [u8]) -> Self {
        let mut config = (*self.client.config).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let client = Client { config: Arc::new(config), digest: self.client.digest };
        Self { client, name: self.name.clone() }
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.client.config
    }

    /// What the server must be called.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.name.to_str()
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
