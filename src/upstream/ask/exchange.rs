//! One exchange with one upstream, over whichever transports it takes.

use std::pin::pin;

use net::client::Over;
use tokio::time::Instant;
use wire::{Rcode, Reply};

use super::attempt::{Attempt, patiently};
use super::datagram::Datagram;
use super::group::Group;
use super::trouble::{Trouble, trouble};
use crate::message::{Question, Taken, take};

impl Group {
    /// Queries an upstream; the reply is loaded into `reply`.
    pub(super) async fn exchange(
        &self,
        attempt: Attempt<'_, '_>,
        question: &mut Question,
        reply: &mut Reply,
    ) -> Result<Rcode, Trouble> {
        let member = attempt.member;
        let upstream = &*member.upstream;
        let stream = upstream.options.over != Over::Tcp
            || member.force_tcp
            || !member.prefer_udp && question.connected;
        let (mut answered, mut sent) = (false, attempt.begun);
        if stream {
            Box::pin(self.ask_stream(attempt, question, reply)).await?;
            answered = true;
        } else if upstream.always_truncates() {
            // A datagram would come back truncated.
            answered = Box::pin(self.ask_stream(attempt, question, reply)).await.is_ok();
            if !answered {
                upstream.note_truncation(false);
                sent = Instant::now();
            }
        }
        if !answered {
            let datagram = self.ask_udp(attempt, sent, question, reply).await?;
            let doubtful = matches!(datagram, Datagram::Doubtful);
            if doubtful || reply.truncated {
                upstream.note_truncation(true);
                let whole = Box::pin(self.ask_stream(attempt, question, reply)).await;
                // A truncated reply is still a reply: the client may try TCP itself.
                if doubtful {
                    whole?;
                }
            } else {
                upstream.note_truncation(false);
            }
        }
        let took = attempt.begun.elapsed();
        let rcode = reply.rcode();
        upstream.metrics.replied(question.worker, rcode, took);
        upstream.liveness.replied(took);
        Ok(rcode)
    }

    async fn ask_stream(
        &self,
        attempt: Attempt<'_, '_>,
        question: &mut Question,
        reply: &mut Reply,
    ) -> Result<(), Trouble> {
        let upstream = &*attempt.member.upstream;
        question.renew(false).map_err(Trouble::Ours)?;
        if matches!(upstream.options.over, Over::Quic(_)) {
            if question.is_transfer() {
                // As in CoreDNS: a transfer takes several messages, and only one could be returned.
                reply.clear();
                reply.set_rcode(Rcode::NOTIMP);
                return Ok(());
            }
            question.drop_keepalive();
        }
        let question = &*question;
        let metrics = &upstream.metrics;
        let unrelated = |records| metrics.unrelated(question.worker, records);
        let mut accept = |bytes: &[u8]| {
            let taken = matches!(take(question, bytes, reply, unrelated), Taken::Yes);
            if !taken {
                metrics.dropped(question.worker);
            }
            taken
        };
        let record = attempt.taps.record(upstream.address, upstream.options.over.transport());
        let deadline = attempt.deadline(Instant::now());
        let sent = record.message(upstream.options.source, &question.message, deadline);
        let connections = upstream.connections(question.worker);
        let carried = {
            let mut asking = pin!(connections.ask(&self.network, sent, &mut accept));
            match self.late_timer(attempt) {
                Some(timer) => patiently(asking, timer).await,
                None => asking.as_mut().await,
            }
        };
        let came = carried.as_ref().ok().map(|carried| &carried.reply[..]);
        attempt.taps.tell(&record, &question.message, came);
        let carried = carried.map_err(|error| trouble(upstream.address, error))?;
        upstream.metrics.used_stream(question.worker, carried.reused);
        if carried.age > 0 {
            reply.edit_ttls(|_, ttl| ttl.saturating_sub(carried.age));
        }
        Ok(())
    }
}
