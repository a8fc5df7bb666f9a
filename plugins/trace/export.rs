//! Sends spans to a collector outside the query path: in batches, from a bounded backlog.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use chain::BoxFuture;
use exchange::Span;
use reqwest::{Client, StatusCode, Url};
use telemetry::metrics::{Counter, SHARED};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

use super::config::Config;
use super::format::{About, Finished, Format, Service};

/// The timeout of a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// The least time between two log lines about a collector that accepts no spans.
const QUIET: Duration = Duration::from_secs(60);

/// The spans of a finished query.
pub(super) struct Record {
    pub(super) trace: u128,
    pub(super) spans: Vec<Span>,
    /// `None` for a lookup of our own.
    pub(super) about: Option<About>,
}

/// Sends the spans of one server block to its collector.
pub(super) struct Exporter {
    format: &'static dyn Format,
    url: Url,
    source: Service,
    most: usize,
    batch: usize,
    interval: Duration,
    backlog: VecDeque<Finished>,
    sent: Counter,
    dropped: Counter,
    /// The last log line about a failure since the last success.
    told: Option<Instant>,
}

/// A batch that was not accepted, and whether the collector may accept it later.
struct Refused {
    batch: Vec<Finished>,
    later: bool,
    problem: String,
}

type Sending = BoxFuture<'static, Result<u64, Refused>>;

impl Exporter {
    /// An exporter with nothing to send yet.
    pub(super) fn new(
        config: Config,
        local: Option<SocketAddr>,
        sent: Counter,
        dropped: Counter,
    ) -> Self {
        let Config { format, url, service, analytics_rate, backlog, batch, interval, .. } = config;
        Self {
            format,
            url,
            source: Service { service, local, analytics_rate },
            most: backlog,
            batch,
            interval,
            backlog: VecDeque::new(),
            sent,
            dropped,
            told: None,
        }
    }

    /// Sends until the queue is closed and the backlog has been sent once more.
    pub(super) async fn run(mut self, mut queue: Receiver<Record>) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => {
                telemetry::error!("plugin/trace: cannot send spans: {error}");
                return;
            }
        };
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sending: Option<Sending> = None;
        let (mut open, mut due, mut trouble) = (true, false, false);
        loop {
            tokio::select! {
                record = queue.recv(), if open => match record {
                    Some(record) => self.take(record),
                    None => open = false,
                },
                _ = ticks.tick() => (due, trouble) = (true, false),
                outcome = under_way(&mut sending), if sending.is_some() => {
                    sending = None;
                    trouble = !self.settle(outcome, open);
                }
            }
            if sending.is_some() {
                continue;
            }
            let full = self.backlog.len() >= self.batch && !trouble;
            if self.backlog.is_empty() {
                due = false;
                if !open {
                    return;
                }
            } else if due || full || !open {
                due = false;
                sending = Some(self.send(&client));
            }
        }
    }

    /// Adds spans to the backlog. Beyond the bound the oldest are dropped.
    fn take(&mut self, record: Record) {
        let Record { trace, spans, mut about } = record;
        for span in spans {
            self.backlog.push_back(Finished { trace, span, about: about.take() });
        }
        self.bound();
    }

    fn bound(&mut self) {
        let surplus = self.backlog.len().saturating_sub(self.most);
        if surplus > 0 {
            self.backlog.drain(..surplus);
            self.dropped.add(SHARED, surplus as u64);
        }
    }

    /// Sends the whole backlog.
    fn send(&mut self, client: &Client) -> Sending {
        let batch: Vec<Finished> = self.backlog.drain(..).collect();
        let mut request = client.post(self.url.clone());
        if let Some((name, value)) = self.format.header(&batch) {
            request = request.header(name, value);
        }
        let body = self.format.body(&batch, &self.source);
        let request = request.header("Content-Type", self.format.content_type()).body(body);
        Box::pin(async move {
            let (later, problem) = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(batch.len() as u64),
                Ok(answer) => {
                    let status = answer.status();
                    let later = matches!(
                        status,
                        StatusCode::TOO_MANY_REQUESTS
                            | StatusCode::BAD_GATEWAY
                            | StatusCode::SERVICE_UNAVAILABLE
                            | StatusCode::GATEWAY_TIMEOUT
                    );
                    (later, format!("failed the request with status code {}", status.as_u16()))
                }
                Err(error) => (true, format!("failed to send the request: {}", causes(&error))),
            };
            Err(Refused { batch, later, problem })
        })
    }

    /// Handles the outcome of a request; `true` if the collector accepted the batch. A batch that may be
    /// accepted later returns to the backlog while the queue is open.
    fn settle(&mut self, outcome: Result<u64, Refused>, open: bool) -> bool {
        let refused = match outcome {
            Ok(count) => {
                self.sent.add(SHARED, count);
                self.told = None;
                return true;
            }
            Err(refused) => refused,
        };
        let now = Instant::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= QUIET) {
            self.told = Some(now);
            telemetry::warning!("plugin/trace: {}", refused.problem);
        }
        if refused.later && open {
            for finished in refused.batch.into_iter().rev() {
                self.backlog.push_front(finished);
            }
            self.bound();
        } else {
            self.dropped.add(SHARED, refused.batch.len() as u64);
        }
        false
    }
}

async fn under_way(sending: &mut Option<Sending>) -> Result<u64, Refused> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

fn client() -> reqwest::Result<Client> {
    // The TLS provider is the same for the whole process; installing it twice has no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("catena/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .build()
}

/// The error and its causes: the outermost says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
