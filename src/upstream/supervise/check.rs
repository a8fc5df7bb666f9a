//! Health checks, only of upstreams that failed a query.
//!
//! Any reply to the check counts as healthy: a server that answers SERVFAIL is reachable.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use net::client::{Connections, Network, Outgoing, Over};
use net::random;
use tokio::time::Instant;
use wire::{HEADER, Rtype};

use crate::roster::Upstream;

/// The timeout of a check.
const TIMEOUT: Duration = Duration::from_secs(1);
/// `health_check 0s` does not mean a busy loop.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Checks `upstream` after a failure, until it is healthy again.
pub(crate) async fn watch(upstream: Arc<Upstream>, network: Arc<Network>, interval: Duration) {
    let interval = interval.max(MIN_INTERVAL);
    loop {
        let turn = upstream.checking.lock().await;
        // The time since which all checks have succeeded.
        let mut good: Option<Instant> = None;
        // Checked first: the upstream may have failed under the previous configuration.
        while upstream.is_unhealthy() {
            let begun = Instant::now();
            match check(&upstream, &network).await {
                Ok(()) => {
                    upstream.liveness.checked(begun.elapsed());
                    let since = *good.get_or_insert_with(Instant::now);
                    if upstream.checked(since.elapsed()) {
                        break;
                    }
                }
                // A query has been answered meanwhile.
                Err(_) if !upstream.is_unhealthy() => break,
                Err(error) => {
                    good = None;
                    upstream.check_failed();
                    telemetry::debug!(
                        "plugin/{}: health check of {} failed: {error}",
                        upstream.options.owner.name,
                        upstream.name
                    );
                }
            }
            tokio::time::sleep(interval).await;
        }
        drop(turn);
        upstream.trouble.notified().await;
    }
}

async fn check(upstream: &Upstream, network: &Network) -> io::Result<()> {
    let options = &upstream.options;
    let [high, low] = random::bytes::<2>()?;
    let recursion = u8::from(options.check_recursion);
    let mut message = vec![high, low, recursion, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(options.check_domain.as_wire());
    message.extend_from_slice(&Rtype::NS.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let mut accept = |reply: &[u8]| is_reply(&message, reply);
    let sent = Outgoing::new(upstream.address, &message, TIMEOUT).from(options.source);
    if options.check_tcp || options.over != Over::Tcp {
        // A connection of its own: an open one proves nothing about new ones.
        let once = Connections::once(&options.over);
        once.ask(network, sent, &mut accept).await.map(drop)
    } else {
        network.ask_udp(sent, &mut accept).await.map(drop)
    }
}

/// Whether `reply` repeats id and question of `check`, or reports an error without a question. An
/// upstream that answers other questions is of no use to queries either.
fn is_reply(check: &[u8], reply: &[u8]) -> bool {
    let (Some(sent), Some(head)) = (check.first_chunk::<HEADER>(), reply.first_chunk::<HEADER>())
    else {
        return false;
    };
    let question = &check[HEADER..];
    let (name, kind) = question.split_at(question.len() - 4);
    let repeats = || {
        reply.get(HEADER..check.len()).is_some_and(|said| {
            said[..name.len()].eq_ignore_ascii_case(name) && said[name.len()..] == *kind
        })
    };
    head[..2] == sent[..2]
        && head[2] & 0x80 != 0
        && match head[4..6] {
            [0, 0] => head[3] & 0x0F != 0,
            _ => repeats(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reply_to_the_check_is_good_health() {
        let check = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x02\0\x01";
        let with = |at: usize, byte: u8| {
            let mut reply = check.to_vec();
            reply[2] |= 0x80;
            reply[at] = byte;
            reply
        };
        assert!(is_reply(check, &with(3, 2)), "SERVFAIL");
        assert!(is_reply(check, &with(13, b'A')), "another case");
        assert!(!is_reply(check, check), "not a reply");
        assert!(!is_reply(check, &with(0, 9)), "another id");
        assert!(!is_reply(check, &with(13, b'b')), "another name");
        assert!(!is_reply(check, &with(16, 1)), "another type");
        assert!(!is_reply(check, &with(5, 0)), "no question and no error");
        let mut bare = with(3, 1)[..HEADER].to_vec();
        bare[5] = 0;
        assert!(is_reply(check, &bare), "FORMERR");
        assert!((0..check.len()).all(|cut| !is_reply(check, &with(3, 2)[..cut])));
    }
}
