//! Sends spans to a collector outside the query path: in batches, from a bounded backlog.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use chain::BoxFuture;
use reqwest::{Client, StatusCode, Url};
use telemetry::metrics::{Counter, SHARED};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior};
use wire::query::Span;

use super::config::{Config, Form};
use super::{About, Record, datadog, otlp, zipkin};

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two lines of the log about a collector that does not take spans.
const QUIET: Duration = Duration::from_secs(60);

/// A span that waits to be sent.
pub(super) struct Finished {
    pub(super) trace: u128,
    pub(super) span: Span,
    pub(super) about: Option<About>,
}

/// The component that sends spans.
pub(super) struct Source {
    pub(super) service: String,
    pub(super) local: Option<SocketAddr>,
    pub(super) analytics_rate: f64,
}

/// Takes the spans of one configuration to where it wants them.
pub(super) struct Exporter {
    form: Form,
    url: Url,
    source: Source,
    most: usize,
    batch: usize,
    interval: Duration,
    backlog: VecDeque<Finished>,
    sent: Counter,
    dropped: Counter,
    /// When the log may have another line.
    told: Option<Instant>,
}

/// What became of a batch: the spans again, and whether the collector may take them later.
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
        let Config { form, url, service, analytics_rate, backlog, batch, interval, .. } = config;
        Self {
            form,
            url,
            source: Source { service, local, analytics_rate },
            most: backlog,
            batch,
            interval,
            backlog: VecDeque::new(),
            sent,
            dropped,
            told: None,
        }
    }

    /// Sends until no more spans can come; what is left then is sent once more.
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

    /// Over the bound the oldest go.
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

    /// Everything there is goes out at once.
    fn send(&mut self, client: &Client) -> Sending {
        let batch: Vec<Finished> = self.backlog.drain(..).collect();
        let mut request = client.post(self.url.clone());
        let (kind, body) = match self.form {
            Form::Zipkin => {
                // So that a proxy on the way does not trace this too.
                request = request.header("b3", "0");
                ("application/json", zipkin::body(&batch, &self.source))
            }
            Form::Datadog => {
                request = request.header("X-Datadog-Trace-Count", batch.len().to_string());
                ("application/json", datadog::body(&batch, &self.source))
            }
            Form::Otlp => ("application/x-protobuf", otlp::body(&batch, &self.source)),
        };
        let request = request.header("Content-Type", kind).body(body);
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

    /// Whether the collector took them. What it may take later goes back, if there is a later.
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
    // There is one TLS provider in this program; whoever needs it first says so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("catena/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .build()
}

/// The error with what led to it: the outermost says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
