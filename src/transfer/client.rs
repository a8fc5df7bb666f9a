//! What a secondary asks of a primary.

use std::sync::Arc;

use net::client::Network;
use wire::{Class, Name, NameBuf, Rtype, name};
use zone::Soa;
use zone::{Builder, Changes, RecordRef, Zone};

use crate::assemble::{Assembled, Assembler, Tally};
use crate::exchange::{self, Asked, unix_now};
use crate::request::{self, Kind, Request};
use crate::{Fault, Limits, Peer, Progress, TransferError, Trouble, read_soa, record};

/// What a transfer brought.
#[derive(Debug)]
pub struct Received {
    /// The zone or its changes.
    pub outcome: Outcome,
    /// What came on the way.
    pub tally: Tally,
}

/// A zone, its changes, or nothing new.
pub enum Outcome {
    /// The server has no newer version: its SOA record, which may be of an older one.
    Current(Soa),
    /// The whole zone.
    Zone(Box<Zone>),
    /// The changes since our version, oldest first; each begins where the one before ended.
    Changes(Vec<Changes>),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current(soa) => write!(f, "Current({})", soa.serial),
            Self::Zone(zone) => {
                write!(f, "Zone({}, {} records)", zone.serial(), zone.record_count())
            }
            Self::Changes(all) => {
                let steps = all.iter().map(|one| (one.from_serial(), one.to_serial()));
                f.debug_list().entries(steps).finish()
            }
        }
    }
}

/// Asks one server. Clones share the progress.
#[derive(Clone)]
pub struct Client {
    network: Network,
    peer: Peer,
    limits: Limits,
    progress: Arc<Progress>,
}

impl Client {
    /// Asks `peer` within `limits`.
    pub fn new(network: Network, peer: Peer, limits: Limits) -> Self {
        Self { network, peer, limits, progress: Arc::default() }
    }

    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How far the transfer under way is.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Asks for the SOA record: over UDP, and over TCP if no reply comes or it is truncated; over TLS alone if
    /// the peer has a session.
    ///
    /// # Errors
    /// No answer came within the limits, or it is none.
    pub async fn soa(&self, zone: &Name) -> Result<Soa, TransferError> {
        self.ask_soa(zone).await.map_err(|trouble| self.error(zone, trouble))
    }

    /// Transfers the whole zone (RFC 5936). `newer_than`: the serial of the version that there is; one that
    /// is not newer is refused. `size_hint` is the expected size in octets, such as [`Zone::memory`] of
    /// that version, 0 if unknown.
    ///
    /// Making the zone of its records takes a second of computation for some millions of them, on a thread
    /// for blocking work.
    ///
    /// # Errors
    /// The zone did not come, not whole or not within the limits; what came is no zone.
    pub async fn axfr(
        &self,
        zone: &Name,
        newer_than: Option<u32>,
        size_hint: u64,
    ) -> Result<Received, TransferError> {
        let received = self.transfer(zone, Kind::Axfr, None, newer_than, size_hint).await;
        received.map_err(|trouble| self.error(zone, trouble))
    }

    /// Asks for the changes since the version with this SOA record (RFC 1995). The server may send the whole
    /// zone all the same.
    ///
    /// # Errors
    /// As for [`Client::axfr`]. If [`TransferError::calls_for_axfr`] says so, that is worth a try.
    pub async fn ixfr(
        &self,
        zone: &Name,
        ours: &Soa,
        size_hint: u64,
    ) -> Result<Received, TransferError> {
        let kind = Kind::Ixfr(ours.serial);
        let received = self.transfer(zone, kind, Some(ours), Some(ours.serial), size_hint).await;
        received.map_err(|trouble| self.error(zone, trouble))
    }

    /// Tells a secondary over UDP that the zone has changed, and to what (RFC 1996), once. It has
    /// [`Limits::datagram`] to say that it heard.
    ///
    /// # Errors
    /// No response came, or one with an error.
    pub async fn notify(&self, zone: &Name, soa: &Soa) -> Result<(), TransferError> {
        self.send_notify(zone, soa).await.map_err(|trouble| self.error(zone, trouble))
    }

    fn error(&self, zone: &Name, trouble: Trouble) -> TransferError {
        TransferError { peer: self.peer.address, zone: zone.clone(), trouble }
    }

    async fn ask_soa(&self, zone: &Name) -> Result<Soa, Trouble> {
        let Self { network, peer, limits, .. } = self;
        let mut wait = limits.datagram;
        for _ in 0..if peer.session.is_none() { limits.attempts } else { 0 } {
            let asked = Asked::new(peer, zone, Kind::Soa, None)?;
            match exchange::by_datagram(network, peer, &asked, wait).await {
                Ok(reply) if request::is_truncated(&reply) => break,
                Ok(reply) => return soa_in(&asked.request, &reply),
                Err(Trouble::Unreachable(error))
                    if error.kind() == std::io::ErrorKind::TimedOut => {}
                // Over TCP it may still come.
                Err(_) => break,
            }
            wait = wait.saturating_mul(2);
        }
        let asked = Asked::new(peer, zone, Kind::Soa, None)?;
        let reply = exchange::by_stream(network, peer, &asked, limits).await?;
        soa_in(&asked.request, &reply)
    }

    async fn send_notify(&self, zone: &Name, soa: &Soa) -> Result<(), Trouble> {
        let Self { network, peer, limits, .. } = self;
        let asked = Asked::new(peer, zone, Kind::Notify, Some(soa))?;
        let reply = exchange::by_datagram(network, peer, &asked, limits.datagram).await?;
        Ok(asked.request.acknowledged(&reply)?)
    }

    async fn transfer(
        &self,
        zone: &Name,
        kind: Kind,
        ours: Option<&Soa>,
        newer_than: Option<u32>,
        size_hint: u64,
    ) -> Result<Received, Trouble> {
        let Self { network, peer, limits, progress } = self;
        progress.set(&Tally::default());
        let asked = Asked::new(peer, zone, kind, ours)?;
        let mut conversation = exchange::converse(network, peer, &asked, limits).await?;
        let mut signatures = asked.signed.as_ref().map(tsig::Signed::stream);
        let mut assembler = Assembler::new(asked.request, limits, size_hint).newer_than(newer_than);
        loop {
            let message = match conversation.next().await {
                Ok(message) => message,
                Err(error) => {
                    let records = assembler.tally().records;
                    let overdue = conversation.is_overdue();
                    return Err(exchange::failed(error, overdue, limits, records));
                }
            };
            if let Some(signatures) = &mut signatures {
                let verified = signatures.accept(message, unix_now());
                verified.map_err(|error| exchange::unsigned(message, error))?;
            }
            let ended = assembler.take(message)?;
            progress.set(assembler.tally());
            if ended {
                break;
            }
            if conversation.is_overdue() {
                let records = assembler.tally().records;
                return Err(Trouble::Overdue { total: limits.total, records });
            }
        }
        if let Some(signatures) = &signatures {
            signatures.finish()?;
        }
        conversation.close().await;
        let tally = assembler.tally().clone();
        let Some(assembled) = assembler.finish() else { return Err(Fault::Malformed.into()) };
        let outcome = match assembled {
            Assembled::Current(soa) => Outcome::Current(soa),
            Assembled::Changes(changes) => Outcome::Changes(changes),
            Assembled::Zone(builder) => Outcome::Zone(build(*builder).await?),
        };
        Ok(Received { outcome, tally })
    }
}

/// Makes a zone of its records.
async fn build(builder: Builder) -> Result<Box<Zone>, Trouble> {
    match tokio::task::spawn_blocking(move || builder.finish().map(Box::new)).await {
        Ok(built) => built.map_err(Trouble::Unfit),
        Err(stopped) => Err(Trouble::Local(format!("the zone was not made: {stopped}"))),
    }
}

/// The SOA record in the reply to a question for it.
fn soa_in(request: &Request, reply: &[u8]) -> Result<Soa, Trouble> {
    let mut owner = NameBuf::new();
    let mut reader = record::Reader::default();
    for record in request.answers(reply, true)? {
        let record = record.map_err(Fault::from)?;
        record.owner(&mut owner).map_err(Fault::from)?;
        let ours = name::eq(owner.as_wire(), request.zone.as_wire());
        if record.rtype == Rtype::SOA && record.class == Class::IN && ours {
            let found: RecordRef<'_> = reader.read(&record)?;
            return read_soa(found).ok_or(Trouble::Fault(Fault::Malformed));
        }
    }
    Err(Fault::NoSoa(None).into())
}
