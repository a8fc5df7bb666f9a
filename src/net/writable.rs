//! Waiting for room in the send buffer of a UDP socket.

use std::net::UdpSocket;

use tokio::io::Interest;
use tokio::time::Instant;

/// Waits until the socket takes more datagrams; `false` if it does not by `end`.
pub(crate) async fn writable(socket: &UdpSocket, end: Instant) -> bool {
    let Ok(copy) = socket.try_clone() else {
        return false;
    };
    let Ok(copy) = sys::register(copy, Interest::WRITABLE) else {
        return false;
    };
    matches!(tokio::time::timeout_at(end, copy.writable()).await, Ok(Ok(_)))
}
