//! Requests that are sent, and the reply of one message to one: over UDP first, or over a stream.

use std::io;

use net::client::{Conversation, Network, Outgoing};
use tsig::{Signed, VerifyError};
use wire::{Name, Rcode};
use zone::Soa;

use crate::request::{self, Kind, Request};
use crate::{Fault, Limits, Peer, Trouble};

/// Seconds of Unix time.
pub(crate) fn unix_now() -> u64 {
    net::clock::unix(net::clock::now())
}

/// A request as it is sent.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) message: Vec<u8>,
    pub(crate) signed: Option<Signed>,
}

impl Asked {
    /// Makes the message and signs it, if the peer has a key.
    pub(crate) fn new(
        peer: &Peer,
        zone: &Name,
        kind: Kind,
        soa: Option<&Soa>,
    ) -> Result<Self, Trouble> {
        let id = net::random::bytes().map_err(|error| Trouble::Local(error.to_string()))?;
        let request = Request { id: u16::from_be_bytes(id), zone: zone.clone(), kind };
        let mut message = request.message(soa);
        let key = peer.key.as_ref();
        let signed = key.map(|key| tsig::sign(&mut message, key, unix_now()));
        Ok(Self { request, message, signed })
    }

    /// Verifies a reply of one message.
    pub(crate) fn verify(&self, reply: &[u8]) -> Result<(), VerifyError> {
        match &self.signed {
            Some(signed) => signed.verify(reply, unix_now()),
            None => Ok(()),
        }
    }
}

/// The error of a reply that is not signed as it should be. A server that refuses a request may not sign that,
/// and what it says tells more.
pub(crate) fn unsigned(reply: &[u8], error: VerifyError) -> Trouble {
    match request::rcode(reply) {
        Rcode::NOERROR => Trouble::Signature(error),
        rcode if error == VerifyError::Unsigned => Trouble::Fault(Fault::Rcode(rcode)),
        _ => Trouble::Signature(error),
    }
}

/// Sends a datagram and waits for the reply. What is not the reply, or not signed, does not end the wait (RFC
/// 8945 section 5.4), but it is the error if nothing better comes.
pub(crate) async fn by_datagram(
    network: &Network,
    peer: &Peer,
    asked: &Asked,
    wait: std::time::Duration,
) -> Result<Vec<u8>, Trouble> {
    let mut unverified = None;
    let mut accept = |message: &[u8]| {
        if !asked.request.matches(message) {
            return false;
        }
        match asked.verify(message) {
            Ok(()) => true,
            Err(error) => {
                unverified = Some(unsigned(message, error));
                false
            }
        }
    };
    let sent = Outgoing::new(peer.address, &asked.message, wait).from(peer.source);
    let reply = network.ask_udp(sent, &mut accept).await;
    reply.map_err(|error| match unverified {
        Some(trouble) if error.kind() == io::ErrorKind::TimedOut => trouble,
        _ => Trouble::Unreachable(error),
    })
}

/// Opens a connection and sends a request.
pub(crate) async fn converse(
    network: &Network,
    peer: &Peer,
    asked: &Asked,
    limits: &Limits,
) -> Result<Conversation, Trouble> {
    let Peer { address, source, session, .. } = peer;
    let opened =
        Conversation::open(network, *source, *address, session.as_ref(), limits.waits()).await;
    let mut conversation = opened.map_err(Trouble::Unreachable)?;
    conversation.send(&asked.message).await.map_err(Trouble::Unreachable)?;
    Ok(conversation)
}

/// The trouble of a conversation that failed after so many records.
pub(crate) fn failed(error: io::Error, overdue: bool, limits: &Limits, records: u64) -> Trouble {
    match error.kind() {
        io::ErrorKind::TimedOut if overdue => Trouble::Overdue { total: limits.total, records },
        io::ErrorKind::TimedOut => Trouble::Stalled { wait: limits.idle, records },
        _ => Trouble::Cut { error, records },
    }
}

/// Asks over a stream and waits for the reply.
pub(crate) async fn by_stream(
    network: &Network,
    peer: &Peer,
    asked: &Asked,
    limits: &Limits,
) -> Result<Vec<u8>, Trouble> {
    let mut conversation = converse(network, peer, asked, limits).await?;
    let reply = match conversation.next().await {
        Ok(reply) => reply.to_vec(),
        Err(error) => return Err(failed(error, conversation.is_overdue(), limits, 0)),
    };
    asked.verify(&reply).map_err(|error| unsigned(&reply, error))?;
    conversation.close().await;
    Ok(reply)
}
