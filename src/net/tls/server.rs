//! The server side of TLS: its certificate, and the certificates that it requires of clients.

use std::io;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::trust::{Identity, Trust};

/// A server configuration.
#[derive(Clone)]
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// A server that presents `identity`. With `clients`, clients need a certificate of one of these
    /// authorities, unless it is `optional`.
    ///
    /// # Errors
    /// Certificate and key do not belong together, or no authority can be made use of.
    pub fn new(
        identity: &Identity,
        clients: Option<&Trust>,
        optional: bool,
    ) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(trust) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(trust.certificates.iter().cloned());
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if optional {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let Identity { chain, key } = identity;
        let config = builder
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(config)))
    }

    /// The server's side of a handshake.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.0)).accept(stream).await
    }
}
