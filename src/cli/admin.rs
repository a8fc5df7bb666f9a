//! Asks the admin endpoint of a running server.

#![allow(clippy::disallowed_methods, reason = "the command line asks a server and ends")]

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The largest file with a token.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// A server that has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// The endpoint of a server.
pub(crate) struct Endpoint<'a> {
    /// Its address.
    pub(crate) server: &'a str,
    /// The file that contains its token.
    pub(crate) token_file: Option<&'a str>,
    /// What opens it, for messages.
    pub(crate) opened_by: &'a str,
}

/// The token in a file, or from a pipe as in `--token-file <(command)`.
fn read_token(path: &Path) -> io::Result<String> {
    let text = match files::read_pipe(path, MAX_TOKEN_FILE)? {
        Some(text) => text,
        None => files::read_text(path, MAX_TOKEN_FILE)?,
    };
    Ok(text.trim().to_owned())
}

impl Endpoint<'_> {
    /// The answer to a request for this path, with its query.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses the request: what to tell the user.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Result<Value, String> {
        let token = self.token_file.map(|path| {
            read_token(path.as_ref()).map_err(|error| format!("cannot read {path}: {error}"))
        });
        let token = token.transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the runtime: {error}"))?;
        let Self { server, opened_by, .. } = self;
        let exchange = self.exchange(token, method, path);
        let (status, body) = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, exchange).await })
            .map_err(|_| format!("{server}: no answer in time"))??;
        let reply: Value = serde_json::from_slice(&body).map_err(|_| {
            format!(
                "{server}: status {status}, and the body is not that of the endpoint of {opened_by}"
            )
        })?;
        match reply["error"].as_str() {
            None if status == 200 => Ok(reply),
            None => Err(format!("{server}: status {status}")),
            Some(problem) if status == 401 => Err(format!(
                "{server}: {problem}\n  = help: name the file that contains the token with --token-file"
            )),
            Some(problem) => Err(format!("{server}: {problem}")),
        }
    }

    async fn exchange(
        &self,
        token: Option<String>,
        method: &str,
        path: &str,
    ) -> Result<(u16, Bytes), String> {
        let Self { server, opened_by, .. } = self;
        let server = *server;
        let stream = TcpStream::connect(server).await.map_err(|error| {
        format!(
            "cannot reach {server}: {error}\n  = help: {opened_by} in the Corefile opens the endpoint; \
             give its address with --server"
        )
    })?;
        let failed = |error: hyper::Error| format!("{server}: {error}");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends with the sender, and its mistakes are the request's.
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, server)
            .header(header::CONTENT_LENGTH, 0);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let reply = sender.send_request(request).await.map_err(failed)?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.map_err(failed)?.to_bytes();
        driver.abort();
        Ok((status, body))
    }
}
