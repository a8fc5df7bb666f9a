//! One exchange with one upstream over UDP.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use wire::{Reply, Transport};

use super::attempt::{Attempt, Resend};
use super::group::Group;
use super::trouble::{Trouble, trouble};
use crate::message::{Question, Taken, take};

/// How long to wait for a good reply after a bad one to the right question: if the bad one was forged,
/// the good one is on its way; if the upstream is broken, the query goes over TCP.
const GRACE: Duration = Duration::from_millis(100);

/// What came over UDP.
pub(super) enum Datagram {
    Reply,
    /// Malformed, cut within a record, or without the case of the name: the query is sent again over TCP.
    Doubtful,
}

impl Group {
    /// Sends the query in a datagram at `sent`; the reply is loaded into `reply`.
    pub(super) async fn ask_udp(
        &self,
        attempt: Attempt<'_, '_>,
        sent: Instant,
        question: &mut Question,
        reply: &mut Reply,
    ) -> Result<Datagram, Trouble> {
        let upstream = &*attempt.member.upstream;
        question.renew(true).map_err(Trouble::Ours)?;
        let question = &*question;
        // Written and read in one task; atomic only because the future sources between threads.
        let doubtful = AtomicBool::new(false);
        let metrics = &upstream.metrics;
        let unrelated = |records| metrics.unrelated(question.worker, records);
        let mut accept = |bytes: &[u8]| match take(question, bytes, reply, unrelated) {
            Taken::Yes => true,
            Taken::Doubtful => {
                doubtful.store(true, Ordering::Relaxed);
                false
            }
            Taken::No => {
                metrics.dropped(question.worker);
                false
            }
        };
        let record = attempt.taps.record(upstream.address, Transport::Udp);
        let mut resend = Resend::new(self, attempt, sent);
        let message = record.message(upstream.options.source, &question.message, resend.first());
        let mut patience = || resend.expired();
        let sockets = upstream.datagrams(question.worker);
        let outcome = {
            let asking = pin!(sockets.ask(&self.network, message, &mut patience, &mut accept));
            with_grace(asking, &doubtful).await
        };
        let came = outcome.as_ref().and_then(|outcome| outcome.as_deref().ok());
        attempt.taps.tell(&record, &question.message, came);
        match outcome {
            Some(Ok(_)) => Ok(Datagram::Reply),
            None => Ok(Datagram::Doubtful),
            Some(Err(_)) if doubtful.load(Ordering::Relaxed) => Ok(Datagram::Doubtful),
            Some(Err(error)) => Err(trouble(upstream.address, error)),
        }
    }
}

/// Waits for `asking`. `None`: a doubtful reply came, and no better one within [`GRACE`].
fn with_grace<'a, T>(
    mut asking: Pin<&'a mut impl Future<Output = T>>,
    doubtful: &'a AtomicBool,
) -> impl Future<Output = Option<T>> + 'a {
    let mut grace: Option<Pin<Box<Sleep>>> = None;
    poll_fn(move |context| {
        if let Poll::Ready(outcome) = asking.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        if doubtful.load(Ordering::Relaxed) {
            let sleep = grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
            return sleep.as_mut().poll(context).map(|()| None);
        }
        Poll::Pending
    })
}
