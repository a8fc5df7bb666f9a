//! Asks a group of upstreams over gRPC: attempts, and the failure if none answers.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chain::BoxFuture;
use exchange::Query;
use net::client::{GrpcError, GrpcStatus, Network, number};
use tokio::time::{Instant, timeout_at};
use wire::edns::ede;
use wire::{Failure, Rcode, Reply};

use super::upstream::Upstream;
use crate::ask::Selector;
use crate::config::MAX_UPSTREAMS;
use crate::message::{OwnData, Question, Taken, take};

/// How long one query may take in all.
const BUDGET: Duration = Duration::from_secs(5);
/// After this time without a reply the next upstream is asked as well.
const PATIENCE: Duration = Duration::from_secs(1);
/// Marks our own spans in a query that is traced, from here down; no place in a chain is that far.
const QUERY: usize = usize::MAX;

/// Upstreams of which each can answer every query.
pub struct GrpcGroup {
    pub(super) upstreams: Box<[Arc<Upstream>]>,
    pub(super) policy: Selector,
    pub(super) network: Arc<Network>,
    pub(super) own: OwnData,
}

/// A question on its way to one upstream.
type Asked<'a> = BoxFuture<'a, Outcome>;

/// What came of it.
struct Outcome {
    /// Which upstream.
    index: usize,
    came: Result<Vec<u8>, GrpcError>,
    took: Duration,
}

/// Why there is no reply.
enum Trouble {
    /// The network or the upstream reported an error.
    Told(GrpcError),
    /// The reply is to something else, or cannot be read.
    InvalidReply,
}

impl GrpcGroup {
    /// Queries the upstreams until one answers; the reply is loaded into `reply`.
    ///
    /// # Errors
    /// No upstream answered.
    pub async fn ask(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        self.ask_around(query, reply).await?;
        self.own.settle(query, reply).await;
        Ok(())
    }

    async fn ask_around(&self, query: &mut Query, reply: &mut Reply) -> Result<(), Failure> {
        let end = Instant::now() + BUDGET;
        let malformed = |_| Failure::rcode(Rcode::FORMERR);
        let mut question = Question::new(query, false).map_err(malformed)?;
        let ours = |error: io::Error| Failure::servfail(format!("cannot ask upstreams: {error}"));
        question.renew(false).map_err(ours)?;
        let question = &question;
        let order = self.order();
        let mut others = order[..self.upstreams.len()].iter().map(|&index| usize::from(index));
        let mut asked: Vec<Asked<'_>> = Vec::new();
        let mut latest = None;
        let mut trouble = None;
        loop {
            if Instant::now() < end
                && let Some(index) = others.next()
            {
                begin_span(query, index, &self.upstreams[index]);
                asked.push(self.ask_one(index, question, end));
                latest = Some(index);
            }
            if asked.is_empty() {
                return Err(failure(trouble));
            }
            // Each question ends by itself when the budget does.
            let patience = if others.len() > 0 { PATIENCE } else { 2 * BUDGET };
            let Ok(outcome) = timeout_at(Instant::now() + patience, first_of(&mut asked)).await
            else {
                if let Some(slow) = latest.take() {
                    self.upstreams[slow].failed();
                }
                continue;
            };
            let upstream = &self.upstreams[outcome.index];
            end_span(query, outcome.index);
            match judge(outcome, upstream, question, reply) {
                Ok(()) => return Ok(()),
                Err(told) => trouble = Some((upstream.name.as_str(), told)),
            }
        }
    }

    /// The policy's order, with those last that did not answer lately.
    fn order(&self) -> [u8; MAX_UPSTREAMS] {
        let mut order = self.policy.order_of(self.upstreams.len());
        let suspect = |index: &u8| self.upstreams[usize::from(*index)].is_suspect();
        order[..self.upstreams.len()].sort_by_key(suspect);
        order
    }

    fn ask_one<'a>(&'a self, index: usize, question: &'a Question, end: Instant) -> Asked<'a> {
        Box::pin(async move {
            let begun = Instant::now();
            let client = self.upstreams[index].client(question.worker);
            let left = end.saturating_duration_since(begun);
            let came = client.ask(&self.network, &question.message, left).await;
            Outcome { index, came, took: begun.elapsed() }
        })
    }
}

/// The first outcome of several questions.
async fn first_of(asked: &mut Vec<Asked<'_>>) -> Outcome {
    let (at, outcome) = poll_fn(|context| {
        for (at, one) in asked.iter_mut().enumerate() {
            if let Poll::Ready(outcome) = one.as_mut().poll(context) {
                return Poll::Ready((at, outcome));
            }
        }
        Poll::Pending
    })
    .await;
    drop(asked.swap_remove(at));
    outcome
}

/// Loads the reply, if it is one, and updates the health of its upstream.
fn judge(
    outcome: Outcome,
    upstream: &Upstream,
    question: &Question,
    reply: &mut Reply,
) -> Result<(), Trouble> {
    match outcome.came {
        Ok(mut bytes) => {
            upstream.answered();
            // The call identifies the reply; not every server repeats the id.
            if let (Some(id), Some(sent)) = (bytes.get_mut(..2), question.message.get(..2)) {
                id.copy_from_slice(sent);
            }
            let unrelated = |records| upstream.metrics.unrelated(question.worker, records);
            if matches!(take(question, &bytes, reply, unrelated), Taken::Yes) {
                upstream.metrics.replied(question.worker, reply.rcode(), outcome.took);
                return Ok(());
            }
            upstream.metrics.dropped(question.worker);
            Err(Trouble::InvalidReply)
        }
        // As in CoreDNS: the status NOT_FOUND means that the name does not exist.
        Err(GrpcError::Status(status)) if status.code == GrpcStatus::NOT_FOUND => {
            upstream.answered();
            reply.clear();
            reply.set_rcode(Rcode::NXDOMAIN);
            Ok(())
        }
        Err(error) => {
            match &error {
                GrpcError::Status(status) if status.code != GrpcStatus::UNAVAILABLE => {
                    upstream.answered();
                }
                _ => upstream.failed(),
            }
            Err(Trouble::Told(error))
        }
    }
}

/// The last trouble in the words for the client and for the log.
fn failure(trouble: Option<(&str, Trouble)>) -> Failure {
    let Some((to, trouble)) = trouble else {
        return Failure::unresolved("no healthy gRPC proxies")
            .extended(ede::NO_REACHABLE_AUTHORITY, "no upstream answered in time");
    };
    // The words that operators search for, those of gRPC's Go library.
    let rpc = |code: &str, what: &dyn fmt::Display| {
        Failure::unresolved(format!("rpc error: code = {code} desc = {what}"))
    };
    match trouble {
        Trouble::InvalidReply => {
            Failure::unresolved(format!("grpc {to}: a reply to another question"))
                .extended(ede::INVALID_DATA, "an upstream answered another question")
        }
        Trouble::Told(GrpcError::Status(status)) => Failure::unresolved(status.to_string())
            .extended(ede::NETWORK_ERROR, "an upstream did not answer the question"),
        Trouble::Told(GrpcError::Network(error)) => match error.kind() {
            io::ErrorKind::TimedOut if number(&error).is_none() => {
                rpc("DeadlineExceeded", &"context deadline exceeded")
                    .extended(ede::NO_REACHABLE_AUTHORITY, "no upstream answered in time")
            }
            io::ErrorKind::ConnectionRefused => rpc("Unavailable", &error)
                .extended(ede::NETWORK_ERROR, "an upstream refused the connection"),
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => {
                rpc("Unavailable", &"error reading from server: EOF")
                    .extended(ede::NETWORK_ERROR, "an upstream could not be reached")
            }
            _ => rpc("Unavailable", &error)
                .extended(ede::NETWORK_ERROR, "an upstream could not be reached"),
        },
    }
}

fn begin_span(query: &mut Query, index: usize, upstream: &Upstream) {
    if let Some(spans) = query.spans() {
        spans.begin(QUERY - index, "query", net::clock::now());
        spans.tag("peer.address", upstream.name.clone());
    }
}

fn end_span(query: &mut Query, index: usize) {
    if let Some(spans) = query.spans() {
        spans.end(QUERY - index, net::clock::now());
    }
}
