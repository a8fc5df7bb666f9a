//! One datagram from a socket of its own.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use tokio::io::unix::AsyncFd;

use crate::client::error::{Endpoints, Op, late};
use crate::client::network::{Accept, Network, Outgoing};
use crate::client::simulated;
use crate::client::socket::{INTEREST, connected};

impl Network {
    /// Sends a message from a fresh port and waits for a reply that `accept` accepts; whatever
    /// else comes (forged, late) is ignored.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; otherwise the system's error, such as `ConnectionRefused`.
    pub async fn ask_udp(&self, sent: Outgoing<'_>, accept: Accept<'_>) -> io::Result<Vec<u8>> {
        match self {
            Self::Os => {
                let Outgoing { source, to, message, deadline } = sent;
                let socket = connected(source.address, to)?;
                source.tell(|| socket.get_ref().local_addr());
                let local = socket.get_ref().local_addr().ok();
                let endpoints = Endpoints { proto: "udp", local, remote: to };
                let tell = |error| endpoints.tell(Op::Read, error);
                socket.get_ref().send(message).map_err(tell)?;
                tokio::time::timeout_at(deadline, receive(&socket, accept))
                    .await
                    .unwrap_or_else(|_| Err(late()))
                    .map_err(tell)
            }
            Self::Simulated(world) => {
                simulated::datagram(&**world, sent, &mut || None, accept).await
            }
        }
    }
}

/// Receives until `accept` accepts a message.
async fn receive(socket: &AsyncFd<UdpSocket>, accept: Accept<'_>) -> io::Result<Vec<u8>> {
    let mut into = Vec::new();
    loop {
        // An ICMP error makes the socket neither readable nor writable.
        let mut ready = socket.ready(INTEREST).await?;
        match sys::receive_into(socket.get_ref().as_fd(), &mut into) {
            Ok(()) if accept(&into) => return Ok(into),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
