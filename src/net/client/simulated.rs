//! Exchanges with the simulated upstreams of a test.

use std::cmp::Reverse;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Endpoints, Op, late};
use super::network::{Accept, Outgoing, Patience, Simulated};

/// Sends a datagram to a simulated upstream.
pub(crate) async fn datagram(
    world: &dyn Simulated,
    sent: Outgoing<'_>,
    patience: Patience<'_>,
    accept: Accept<'_>,
) -> io::Result<Vec<u8>> {
    let Outgoing { to, message, .. } = sent;
    let start = Instant::now();
    let mut end = sent.deadline;
    let tell = |error| Endpoints::simulated("udp", to).tell(Op::Read, error);
    let ask = |passed: Duration| {
        let datagrams = world.udp(to, message);
        datagrams.into_iter().map(move |(delay, datagram)| (passed + delay, datagram))
    };
    // The next one last.
    let mut datagrams: Vec<_> = ask(Duration::ZERO).collect();
    if world.refuses(to) {
        return Err(tell(io::ErrorKind::ConnectionRefused.into()));
    }
    datagrams.sort_by_key(|(delay, _)| Reverse(*delay));
    loop {
        match datagrams.pop_if(|(delay, _)| start + *delay <= end) {
            Some((delay, datagram)) => {
                tokio::time::sleep_until(start + delay).await;
                if accept(&datagram) {
                    return Ok(datagram);
                }
            }
            None => {
                tokio::time::sleep_until(end).await;
                let more = patience().ok_or_else(|| tell(late()))?;
                if more.again {
                    datagrams.extend(ask(end - start));
                    datagrams.sort_by_key(|(delay, _)| Reverse(*delay));
                }
                end += more.wait;
            }
        }
    }
}

/// Sends a message over a connection to a simulated upstream.
pub(crate) async fn stream(
    world: &dyn Simulated,
    sent: Outgoing<'_>,
    accept: Accept<'_>,
) -> io::Result<Vec<u8>> {
    let Outgoing { to, message, deadline, .. } = sent;
    let Some((delay, reply)) = world.tcp(to, message) else {
        let refused = io::ErrorKind::ConnectionRefused.into();
        return Err(Endpoints::dial_error("tcp", None, to, refused));
    };
    let comes = Instant::now() + delay;
    tokio::time::sleep_until(comes.min(deadline)).await;
    if comes <= deadline && accept(&reply) {
        return Ok(reply);
    }
    tokio::time::sleep_until(deadline).await;
    Err(Endpoints::simulated("tcp", to).tell(Op::Read, late()))
}
