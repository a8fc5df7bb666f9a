//! TLS: what certificates are shown and believed. There is one provider, ring.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

/// Whose word a client of ours takes for who the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// That of the authorities which the system trusts.
    System,
    /// Anybody's: the connection is encrypted and that is all.
    Blind,
}

/// What a server of ours shows, and what it wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The file with the certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
    /// The file with the authorities that a client's certificate must come from; none: clients need
    /// no certificate.
    pub authorities: Option<PathBuf>,
    /// A client without a certificate is welcome all the same.
    pub optional: bool,
}

/// How we are as a client.
///
/// # Errors
/// The system's authorities cannot be read.
pub fn client(trust: Trust) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let verified = match trust {
        Trust::System => versions.with_platform_verifier().map_err(io::Error::other)?,
        Trust::Blind => {
            versions.dangerous().with_custom_certificate_verifier(Arc::new(Blind(provider)))
        }
    };
    Ok(Arc::new(verified.with_no_client_auth()))
}

/// How we are as a server with this identity. Reads its files.
///
/// # Errors
/// A file cannot be read, is not what it should be, or does not belong to the others; the message
/// names it.
pub fn server(identity: &Identity) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let verified = match &identity.authorities {
        None => versions.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| about(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                if identity.optional { verifier.allow_unauthenticated() } else { verifier };
            versions
                .with_client_cert_verifier(verifier.build().map_err(|error| about(path, error))?)
        }
    };
    let key =
        PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| about(&identity.key, error))?;
    let config = verified
        .with_single_cert(certificates(&identity.certificate)?, key)
        .map_err(|error| about(&identity.certificate, error))?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| about(path, error))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| about(path, error))?;
    if all.is_empty() {
        return Err(about(path, "there is no certificate in it"));
    }
    Ok(all)
}

fn about(path: &Path, problem: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {problem}", path.display()))
}

/// Believes every certificate, as the operator asked for. Signatures are still checked: who speaks
/// has the key of the certificate that was shown.
#[derive(Debug)]
struct Blind(Arc<CryptoProvider>);

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
