//! DNS over HTTPS (RFC 8484): HTTP/2 and HTTP/1.1 over TLS, or HTTP/1.1 behind a proxy that has the TLS.

mod blocked;
mod http1;
mod http2;
mod request;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::http_settings::Http;
use super::setup::Setup;

use blocked::Watched;

/// Serves a connection until it ends. Without the protocol `h2` it is HTTP/1.1.
pub(super) async fn serve<S>(stream: S, is_http2: bool, setup: Setup, http: Arc<Http>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, blocked) = Watched::new(stream);
    if is_http2 {
        http2::serve(stream, blocked, setup, http).await;
    } else {
        http1::serve(stream, blocked, setup, http).await;
    }
}
