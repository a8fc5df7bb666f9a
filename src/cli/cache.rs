//! `catena cache`: what a running server has cached, and makes it forget.

#![allow(clippy::disallowed_methods, reason = "the command line asks a server and ends")]

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use corefile::counted;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::args::{CacheAction, CacheOptions};
use super::output::{self, complain};

/// The largest file with a token.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// A server that has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Queries the server and prints its answer: exit 0 if there are entries, 1 if there are none or the request
/// fails.
pub(crate) fn cache(options: &CacheOptions) -> ExitCode {
    match ask(options) {
        Ok(reply) => tell(options, &reply),
        Err(problem) => {
            complain(problem);
            ExitCode::FAILURE
        }
    }
}

fn tell(options: &CacheOptions, reply: &Value) -> ExitCode {
    if options.action == CacheAction::Flush {
        let count = reply["flushed"].as_u64().unwrap_or_default();
        let text = match options.json {
            true => format!("{reply}\n"),
            false => format!("flushed {}\n", counted(count, "entry", "entries")),
        };
        return output::print(&text, ExitCode::SUCCESS);
    }
    let none = Vec::new();
    let entries = reply["entries"].as_array().unwrap_or(&none);
    let code = if entries.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let text = match options.json {
        true => format!("{reply}\n"),
        false => entries.iter().map(shown).collect(),
    };
    let code = output::print(&text, code);
    if !options.json && reply["more"] == true {
        complain("there are more entries: narrow the selection, or raise --limit");
    }
    if entries.is_empty() {
        complain("no cached entry matches");
    }
    code
}

/// An entry and its records, a line each.
fn shown(entry: &Value) -> String {
    let mut text = line(entry) + "\n";
    let records = entry["records"].as_array().into_iter().flatten();
    for record in records.filter_map(Value::as_str) {
        text += &format!("    {record}\n");
    }
    text
}

/// One entry: `www.example.org. A NOERROR ttl=290 success zones=.`.
fn line(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let mut line = text("name");
    if text("class") != "IN" {
        line += &format!(" {}", text("class"));
    }
    line += &format!(" {} {} ttl={}", text("type"), text("rcode"), entry["ttl"]);
    for flag in ["stale", "do", "cd"] {
        if entry[flag] == true {
            line += &format!(" {flag}");
        }
    }
    if entry["network"].is_string() {
        line += &format!(" network={}", text("network"));
    }
    line += &format!(" {} zones={}", text("kind"), text("zones"));
    if !text("view").is_empty() {
        line += &format!(" view={}", text("view"));
    }
    line
}

/// The token in a file, or from a pipe as in `--token-file <(command)`.
fn read_token(path: &Path) -> io::Result<String> {
    let text = match files::read_pipe(path, MAX_TOKEN_FILE)? {
        Some(text) => text,
        None => files::read_text(path, MAX_TOKEN_FILE)?,
    };
    Ok(text.trim().to_owned())
}

fn ask(options: &CacheOptions) -> Result<Value, String> {
    let token = options.token_file.as_deref().map(|path| {
        read_token(path.as_ref()).map_err(|error| format!("cannot read {path}: {error}"))
    });
    let token = token.transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let server = &options.server;
    let (status, body) = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange(options, token)).await })
        .map_err(|_| format!("{server}: no answer in time"))??;
    let reply: Value = serde_json::from_slice(&body).map_err(|_| {
        format!(
            "{server}: status {status}, and the body is not that of the `admin` endpoint of `cache`"
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

async fn exchange(options: &CacheOptions, token: Option<String>) -> Result<(u16, Bytes), String> {
    let server = &options.server;
    let stream = TcpStream::connect(server).await.map_err(|error| {
        format!(
            "cannot reach {server}: {error}\n  = help: `cache {{ admin }}` in the Corefile opens the \
             endpoint; give its address with --server"
        )
    })?;
    let failed = |error: hyper::Error| format!("{server}: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with the sender, and its mistakes are the request's.
    let driver = tokio::spawn(connection);
    let method = if options.action == CacheAction::Flush { "POST" } else { "GET" };
    let mut request = Request::builder()
        .method(method)
        .uri(options.path())
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
