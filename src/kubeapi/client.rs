//! Requests to the API server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http_body_util::BodyExt;
use kube_client::client::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::access::{Access, Connected};
use crate::failure::Failure;
use crate::metrics;
use crate::resource::{Kind, Resource};
use crate::stream::Format;

/// How long the head of a response may take.
const HEAD: Duration = Duration::from_secs(30);
/// How long an idle response may be silent. A watch has a bookmark each minute.
pub(crate) const SILENCE: Duration = Duration::from_secs(150);
/// The longest refusal that is read.
const REFUSAL: usize = 64 << 10;

/// Bounds of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Requests in a second on average; none or 0: no bound.
    pub per_second: f32,
    /// Requests at once after a pause; 0: 10.
    pub burst: u32,
    /// Requests that wait for a response; 0: no bound.
    pub in_flight: usize,
}

/// An API server.
pub struct Api {
    access: Access,
    agent: String,
    connected: ArcSwapOption<Connected>,
    fingerprint: Mutex<String>,
    connecting: tokio::sync::Mutex<()>,
    pace: Option<Mutex<Pace>>,
    in_flight: Option<Arc<Semaphore>>,
}

/// A bucket of requests that fills again.
struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Pace {
    /// Takes a request out of the bucket. Returns how long it has to wait.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst) - 1.0;
        self.filled = now;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }
}

/// A response that was accepted: its octets are to be read.
pub(crate) struct Response {
    pub(crate) format: Format,
    body: Body,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Response {
    /// The next octets. `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        loop {
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(Failure::transient("the API server has fallen silent")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    return Err(Failure::transient(format!("the response has ended: {error}")));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl Api {
    /// The server behind `access`; `agent` is what this program calls itself.
    pub fn new(access: Access, limits: Limits, agent: impl Into<String>) -> Self {
        let burst = if limits.burst == 0 { 10.0 } else { f64::from(limits.burst) };
        let per_second = f64::from(limits.per_second);
        let filled = Instant::now();
        let pace = Pace { per_second, burst, tokens: burst, filled };
        Self {
            access,
            agent: agent.into(),
            connected: ArcSwapOption::const_empty(),
            fingerprint: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            pace: (per_second > 0.0).then(|| Mutex::new(pace)),
            in_flight: (limits.in_flight > 0).then(|| Arc::new(Semaphore::new(limits.in_flight))),
        }
    }

    /// Asks for a list or a watch.
    pub(crate) async fn get(
        &self,
        resource: &Resource,
        verb: &'static str,
        parameters: &[(&str, &str)],
    ) -> Result<Response, Failure> {
        let connected = self.connected().await?;
        let Connected { client, server, host } = &*connected;
        self.wait(verb.to_uppercase().as_str(), host).await;
        let permit = match &self.in_flight {
            Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
            None => None,
        };
        let accept = match (resource.kind.has_protobuf(), verb) {
            (false, _) => "application/json",
            (true, "watch") => {
                "application/vnd.kubernetes.protobuf;stream=watch,application/json;stream=watch,\
                 application/vnd.kubernetes.protobuf,application/json"
            }
            (true, _) => "application/vnd.kubernetes.protobuf,application/json",
        };
        let request = Request::get(resource.uri(parameters))
            .header(ACCEPT, accept)
            .header(USER_AGENT, &self.agent)
            .body(Body::empty())
            .map_err(|error| Failure::refused(format!("cannot make the request: {error}")))?;
        let asked = Instant::now();
        let response = timeout(HEAD, client.send(request)).await;
        metrics::took("GET", host, asked.elapsed());
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                metrics::answered("<error>", host);
                return Err(Failure::unreached(server, &error));
            }
            Err(_) => {
                metrics::answered("<error>", host);
                let seconds = HEAD.as_secs();
                return Err(Failure::transient(format!(
                    "API server `{server}` does not answer within {seconds} seconds"
                )));
            }
        };
        let (head, body) = response.into_parts();
        metrics::answered(head.status.as_str(), host);
        let content = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = content.and_then(Format::of);
        // The bound is on requests, not on watches, which last.
        drop(permit.filter(|_| verb == "watch"));
        if head.status.is_success() {
            let format = format.ok_or_else(|| {
                Failure::refused(format!(
                    "`{server}` answers with `{}`: is it an API server?",
                    content.unwrap_or_default()
                ))
            })?;
            return Ok(Response { format, body, _permit: None });
        }
        let mut response = Response { format: format.unwrap_or(Format::Json), body, _permit: None };
        let said = response.refusal().await;
        let message = match format {
            Some(format) => format.refusal(&said).unwrap_or_default().message,
            None => String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned(),
        };
        Err(Failure::answered(server, verb, resource.kind, head.status, &message))
    }

    /// The failure that a watch of `kind` reports within its stream.
    pub(crate) fn refused(&self, kind: Kind, code: u16, message: &str) -> Failure {
        let server = self.connected.load().as_deref().map(|it| it.server.clone());
        let status = http::StatusCode::from_u16(code);
        let status = status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        Failure::answered(&server.unwrap_or_default(), "watch", kind, status, message)
    }

    /// Makes a new client for the next request: the credentials may be others by now.
    pub(crate) fn reconnect(&self) {
        self.connected.store(None);
    }

    /// The client. It is made anew when a file has changed.
    async fn connected(&self) -> Result<Arc<Connected>, Failure> {
        let _one = self.connecting.lock().await;
        let (access, runtime) = (self.access.clone(), tokio::runtime::Handle::current());
        let known = self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connected = self.connected.load_full();
        // Files are read, and perhaps a program is run.
        let work = tokio::task::spawn_blocking(move || {
            let print = access.fingerprint();
            match connected {
                Some(connected) if print == known => (print, Ok(connected)),
                _ => (print, access.connect(&runtime).map(Arc::new)),
            }
        });
        let (print, made) = work
            .await
            .map_err(|error| Failure::transient(format!("cannot read the credentials: {error}")))?;
        *self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner) = print;
        self.connected.store(made.as_ref().ok().cloned());
        made
    }

    /// Waits until the next request is due.
    async fn wait(&self, verb: &str, host: &str) {
        if let Some(pace) = &self.pace {
            let now = Instant::now();
            let pause = pace.lock().unwrap_or_else(PoisonError::into_inner).take(now);
            metrics::waited(verb, host, pause);
            sleep(pause).await;
        }
    }
}

impl Response {
    /// The body of a refusal, as far as it is read.
    async fn refusal(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while said.len() < REFUSAL
            && let Ok(Some(octets)) = self.next().await
        {
            said.extend_from_slice(&octets);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_pace() {
        let start = Instant::now();
        let mut pace = Pace { per_second: 2.0, burst: 2.0, tokens: 2.0, filled: start };
        let waits: Vec<u128> = (0..4).map(|_| pace.take(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 500, 1000]);
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.take(later).as_millis(), 0, "it fills again, up to the burst");
        assert_eq!(pace.take(later).as_millis(), 0);
        assert_eq!(pace.take(later).as_millis(), 500);
    }
}
