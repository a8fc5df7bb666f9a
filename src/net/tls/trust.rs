//! Certificates: the authorities that are trusted, and our own.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

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
            .map_err(|error| format!("the certificate cannot be read: {}", problem(&error)))?;
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
            .map_err(|error| format!("the private key cannot be read: {}", problem(&error)))?;
        Ok(Self { chain: chain.0, key })
    }
}

/// What is wrong with a PEM file. The words of the library have the line, which may be the key.
fn problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "the file ends before its `-----END` line, or has lost its line ends"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a `-----BEGIN` line does not end in `-----`: perhaps the file has lost its line ends"
        }
        pem::Error::Base64Decode(_) => "it is not in base 64",
        pem::Error::NoItemsFound => "there is none in PEM form",
        pem::Error::SectionTooLarge => "it is too large",
        _ => "the file cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_shows_a_line_of_a_key() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let _ = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let flat = key.replace('\n', "");
        let cut = key.replace("-----END", "");
        let broken = key.replacen('M', "!", 1);
        for (text, told) in [
            (flat.as_str(), "line ends"),
            (&cut, "ends before"),
            (&broken, "base 64"),
            ("", "none"),
        ] {
            let why = Identity::from_pem(chain.as_bytes(), text.as_bytes()).unwrap_err();
            assert!(why.contains(told) && !why.contains('['), "{why}");
        }
    }
}
