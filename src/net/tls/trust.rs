//! Certificates: the authorities that are trusted, and our own.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The largest file of certificates or of a key; what a system trusts has a quarter of that.
pub const MAX_PEM: u64 = 1 << 20;

/// The trusted authorities.
#[derive(Clone, Debug)]
pub struct Trust {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Whether the operator named each of them: then one may be a server's own, which the verifier accepts.
    pub(super) named: bool,
    /// Whether certificate verification is disabled.
    pub(super) insecure: bool,
}

impl Trust {
    /// The system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; perhaps none.
    pub fn system() -> Self {
        let certificates = rustls_native_certs::load_native_certs().certs;
        Self { certificates, named: false, insecure: false }
    }

    /// The authorities of a PEM file. Other content is skipped.
    ///
    /// # Errors
    /// There is none.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
        if RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err("it has no certificate in PEM form".to_owned());
        }
        Ok(Self { certificates, named: true, insecure: false })
    }

    /// No authorities.
    pub fn none() -> Self {
        Self { certificates: Vec::new(), named: false, insecure: false }
    }

    /// Any certificate is accepted: an eavesdropper learns nothing,
    /// but the peer may be anyone.
    pub fn insecure() -> Self {
        Self { insecure: true, ..Self::none() }
    }

    /// Whether no certificate can be accepted.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && !self.insecure
    }
}

/// A certificate, and those that lead to its authority.
#[derive(Debug)]
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// There is none, or one that is malformed.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if chain.is_empty() {
            return Err("there is no certificate in PEM form".to_owned());
        }
        Ok(Self(chain))
    }
}

/// A certificate, its chain, and its key.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From two PEM files, or one that has both.
    ///
    /// # Errors
    /// Either has not what it should; whether they belong together is seen later.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        Self::new(Chain::from_pem(chain)?, key)
    }

    /// From a chain and the PEM file of its key.
    ///
    /// # Errors
    /// The file has no key.
    pub fn new(chain: Chain, key: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the private key cannot be read: {error}"))?;
        Ok(Self { chain: chain.0, key })
    }
}
