//! The client's side: signs a request and verifies the response, of one message or of many.

use std::fmt;
use std::sync::Arc;

use wire::{HEADER, Malformed};

use crate::mac::Mac;
use crate::record::{self, FUDGE, Tsig, Variables, digest_prior};
use crate::{Key, TsigError};

/// The most messages between two signed ones: RFC 8945 section 5.3.1 allows a server to sign every hundredth.
const MOST_UNSIGNED: u8 = 99;

/// Signs a request: appends a TSIG record and counts it. `message` is complete otherwise.
pub fn sign(message: &mut Vec<u8>, key: &Arc<Key>, now: u64) -> Signed {
    let algorithm = key.algorithm();
    let variables = Variables {
        name: key.name().as_wire(),
        algorithm: algorithm.wire(),
        time: now,
        fudge: FUDGE,
        error: TsigError::NONE,
        other: &[],
    };
    let mut mac = key.begin(algorithm);
    mac.update(message);
    variables.digest(&mut mac);
    let value = mac.finish();
    let mac = value.truncated(key.mac_len(algorithm));
    let mut rdata = Vec::with_capacity(variables.rdata_len(mac.len()));
    let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    variables.write_rdata(id, mac, &mut rdata);
    if message.len() >= HEADER {
        record::append(message, key.name().as_wire(), &rdata);
    }
    Signed { key: Arc::clone(key), mac: mac.to_vec() }
}

/// Removes the TSIG record at the end of a message, if it has one, and restores the id that it was signed
/// with.
///
/// # Errors
/// The message or the record is malformed.
pub fn strip(message: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some(tsig) = Tsig::find(message)? else { return Ok(()) };
    let (start, id) = (tsig.start, tsig.original_id);
    let additionals = u16::from_be_bytes([message[10], message[11]]) - 1;
    message.truncate(start);
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[10..HEADER].copy_from_slice(&additionals.to_be_bytes());
    Ok(())
}

/// A request that was signed: verifies the response to it.
#[derive(Clone, Debug)]
pub struct Signed {
    key: Arc<Key>,
    mac: Vec<u8>,
}

impl Signed {
    /// The key.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Verifies a response of one message. A response that fails does not count: over UDP the client goes on
    /// to wait for the genuine one (RFC 8945 section 5.4).
    ///
    /// # Errors
    /// The response is not signed, or not by the server that has the key; or that server refuses the
    /// request's signature.
    pub fn verify(&self, response: &[u8], now: u64) -> Result<(), VerifyError> {
        let mut stream = self.stream();
        if !stream.accept(response, now)? {
            return Err(VerifyError::Unsigned);
        }
        Ok(())
    }

    /// Verifies a response of several messages.
    pub fn stream(&self) -> Stream {
        let mut mac = self.key.begin(self.key.algorithm());
        digest_prior(&self.mac, &mut mac);
        Stream { key: Arc::clone(&self.key), mac, is_first: true, unsigned: 0 }
    }
}

/// Verifies a response of several messages, such as a transfer, in their order (RFC 8945 section 5.3.1).
/// Messages between signed ones may be unsigned: nothing of them is certain before the next signed one.
#[derive(Clone)]
pub struct Stream {
    key: Arc<Key>,
    /// The MAC over the prior MAC and the messages since.
    mac: Mac,
    is_first: bool,
    unsigned: u8,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} messages unsigned", self.key, self.unsigned)
    }
}

impl Stream {
    /// Takes the next message; `true` if it is signed, so that it and all messages before it are genuine.
    ///
    /// # Errors
    /// A signature does not hold, or too many messages had none. The response is then useless as a whole.
    pub fn accept(&mut self, message: &[u8], now: u64) -> Result<bool, VerifyError> {
        let Some(tsig) = Tsig::find(message)? else {
            // RFC 8945 section 5.3.1: the first and the last message are signed.
            if self.is_first {
                return Err(VerifyError::Unsigned);
            }
            if self.unsigned == MOST_UNSIGNED {
                return Err(VerifyError::TooManyUnsigned);
            }
            self.unsigned += 1;
            self.mac.update(message);
            return Ok(false);
        };
        let key = &*self.key;
        let algorithm = key.algorithm();
        if !wire::name::eq(tsig.name.as_wire(), key.name().as_wire())
            || !wire::name::eq(tsig.algorithm.as_wire(), algorithm.wire())
        {
            return Err(VerifyError::OtherKey);
        }
        let refused = |signed| {
            // RFC 8945 section 5.2.3: the server's time is the other data of a BADTIME error.
            let server_time = match (tsig.error, tsig.other) {
                (TsigError::BADTIME, &[a, b, c, d, e, f]) => {
                    Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
                }
                _ => None,
            };
            Err(VerifyError::Refused { error: tsig.error, server_time, signed })
        };
        // A server that does not know the key cannot sign its refusal, and some sign none at all.
        if tsig.mac.is_empty() && tsig.error != TsigError::NONE {
            return refused(false);
        }
        if tsig.mac.len() > algorithm.mac_len() || tsig.mac.len() < algorithm.min_mac_len() {
            return Err(VerifyError::Malformed);
        }
        let mut mac = self.mac.clone();
        tsig.digest_message(message, &mut mac)?;
        match self.is_first {
            true => tsig.variables().digest(&mut mac),
            false => tsig.variables().digest_timers(&mut mac),
        }
        if !mac.finish().starts_with(tsig.mac) {
            return Err(VerifyError::BadMac);
        }
        if tsig.error != TsigError::NONE {
            return refused(true);
        }
        if !tsig.is_timely(now) {
            return Err(VerifyError::BadTime { time: tsig.time, fudge: tsig.fudge });
        }
        if tsig.mac.len() < key.mac_len(algorithm) {
            return Err(VerifyError::ShortMac);
        }
        self.mac = key.begin(algorithm);
        digest_prior(tsig.mac, &mut self.mac);
        (self.is_first, self.unsigned) = (false, 0);
        Ok(true)
    }

    /// Ends the response: its last message must have been signed.
    ///
    /// # Errors
    /// It was not, or there was no message.
    pub fn finish(&self) -> Result<(), VerifyError> {
        if self.is_first || self.unsigned > 0 { Err(VerifyError::Unsigned) } else { Ok(()) }
    }
}

/// Why a response does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The message, or its TSIG record, is malformed.
    Malformed,
    /// The first or the last message has no signature.
    Unsigned,
    /// More than 99 messages in a row have no signature.
    TooManyUnsigned,
    /// The signature is by another key, or of another algorithm.
    OtherKey,
    /// The MAC is another: a message was changed, or the secrets differ.
    BadMac,
    /// The time of the signature is too far from ours.
    BadTime {
        /// The time, in seconds of Unix time.
        time: u64,
        /// The number of seconds by which it may differ.
        fudge: u16,
    },
    /// The MAC is truncated more than the key allows.
    ShortMac,
    /// The server refuses the request's signature.
    Refused {
        /// BADKEY, BADSIG, BADTIME or BADTRUNC.
        error: TsigError,
        /// The server's time, in seconds of Unix time, of a BADTIME error.
        server_time: Option<u64>,
        /// Whether the refusal is signed; an unsigned one may come from anybody.
        signed: bool,
    },
}

impl From<Malformed> for VerifyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the signed message is malformed"),
            Self::Unsigned => f.write_str("the response is not signed"),
            Self::TooManyUnsigned => f.write_str("more than 99 messages in a row are not signed"),
            Self::OtherKey => f.write_str("the response is signed with another key or algorithm"),
            Self::BadMac => f.write_str("the signature of the response does not hold (BADSIG)"),
            Self::BadTime { time, fudge } => {
                write!(
                    f,
                    "the response was signed at {time}, more than {fudge} s from the local time (BADTIME)"
                )
            }
            Self::ShortMac => {
                f.write_str("the MAC of the response is truncated too much (BADTRUNC)")
            }
            Self::Refused { error: TsigError::BADKEY, .. } => {
                f.write_str("the server does not know the key or its algorithm (BADKEY)")
            }
            Self::Refused { error: TsigError::BADSIG, .. } => {
                f.write_str("the server has another secret for the key (BADSIG)")
            }
            Self::Refused { error: TsigError::BADTIME, server_time: Some(time), .. } => {
                write!(f, "the clocks differ too much: the server's time is {time} (BADTIME)")
            }
            Self::Refused { error, .. } => write!(f, "the server refuses the signature ({error})"),
        }
    }
}

impl std::error::Error for VerifyError {}
