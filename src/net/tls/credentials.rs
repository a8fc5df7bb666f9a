//! What a listener identifies itself with, and what it demands of clients. It can be replaced while the
//! listener serves.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{Context, SHA256};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Error, KeyLog, RootCertStore};

use super::any_client::AnyClient;
use super::tickets::TicketKeys;
use super::trust::{Identity, Trust};
use super::validity;

/// A certificate with its chain and key, which belong together.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    not_after: u64,
}

impl Certificate {
    /// The certificate of `identity`.
    ///
    /// # Errors
    /// The key is of a kind that cannot sign, or is not the certificate's.
    pub fn new(identity: &Identity) -> Result<Self, String> {
        let Identity { chain, key } = identity;
        let provider = provider();
        let made = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider);
        let key = made.map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                "the private key is not that of the certificate".to_owned()
            }
            other => other.to_string(),
        })?;
        let first = chain.first().and_then(|first| validity::not_after(first));
        let not_after = first.ok_or("the certificate does not say when it expires")?;
        Ok(Self { key: Arc::new(key), not_after })
    }

    /// When it expires, in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whether it is for a server of this name.
    pub(super) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let parsed = self.key.cert.first().map(ParsedCertificate::try_from);
        parsed.is_some_and(|parsed| {
            parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
        })
    }
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked for one, which may be any.
    Request,
    /// They need one, which may be any.
    Require,
    /// They are asked for one; if they have one, it must be of a trusted authority.
    VerifyIfGiven,
    /// They need one of a trusted authority.
    RequireAndVerify,
}

/// What clients must be like.
#[derive(Clone)]
pub struct Clients {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Distinguishes it from every other demand: no session is resumed under another one.
    pub(super) digest: [u8; 32],
}

impl Clients {
    /// The demand `auth`, with the authorities `trust`.
    ///
    /// # Errors
    /// Certificates are to be verified, and no authority can be.
    pub fn new(auth: ClientAuth, trust: &Trust) -> Result<Self, String> {
        let mut digest = Context::new(&SHA256);
        digest.update(&[auth as u8]);
        let verified = matches!(auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
        for certificate in trust.certificates.iter().filter(|_| verified) {
            digest.update(&certificate.len().to_be_bytes());
            digest.update(certificate);
        }
        let any = |mandatory| {
            Some(Arc::new(AnyClient { provider: provider(), mandatory })
                as Arc<dyn ClientCertVerifier>)
        };
        let verifier = match auth {
            ClientAuth::None => None,
            ClientAuth::Request => any(false),
            ClientAuth::Require => any(true),
            ClientAuth::VerifyIfGiven => Some(verifier(trust, true)?),
            ClientAuth::RequireAndVerify => Some(verifier(trust, false)?),
        };
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        Ok(Self { verifier, digest: bytes })
    }

    pub(super) fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.verifier.clone()
    }
}

fn verifier(trust: &Trust, optional: bool) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trust.certificates.iter().cloned());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| error.to_string())
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Certificates and demands, as the files say at one moment.
#[derive(Clone)]
pub struct Material {
    /// At least one; of those that suit a client the first is presented.
    pub certificates: Vec<Certificate>,
    /// What clients must be like.
    pub clients: Clients,
}

/// What one `tls` directive makes. A listener may have several.
pub struct Credentials {
    pub(super) material: ArcSwap<Material>,
    pub(super) tickets: Arc<TicketKeys>,
    pub(super) key_log: Option<Arc<dyn KeyLog>>,
}

impl Credentials {
    /// Credentials of this material.
    pub fn new(material: Material, tickets: TicketKeys, key_log: Option<Arc<dyn KeyLog>>) -> Self {
        let (material, tickets) = (ArcSwap::from_pointee(material), Arc::new(tickets));
        Self { material, tickets, key_log }
    }

    /// Replaces the material: handshakes from now on use it.
    pub fn replace(&self, material: Material) {
        self.material.store(Arc::new(material));
    }

    /// The keys of session tickets.
    pub fn tickets(&self) -> &TicketKeys {
        &self.tickets
    }

    /// What is presented now.
    pub fn material(&self) -> Arc<Material> {
        self.material.load_full()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
