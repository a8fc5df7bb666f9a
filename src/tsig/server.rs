//! The server's side: a session verifies a request and signs each message of the reply.

use std::sync::Arc;

use wire::{HEADER, Malformed, NameBuf};

use crate::record::{self, FUDGE, Tsig, Variables, digest_prior};
use crate::{Algorithm, Key, TsigError};

/// A signed request, and the signatures of the reply to it.
#[derive(Debug)]
pub struct Session {
    key: Option<Arc<Key>>,
    /// The key's name and the algorithm's, as the request has them.
    name: NameBuf,
    algorithm_name: NameBuf,
    algorithm: Algorithm,
    error: TsigError,
    /// The time and fudge of the request.
    time: u64,
    fudge: u16,
    /// Octets of each MAC.
    mac_len: usize,
    /// The MAC that the next one builds on.
    prior: Vec<u8>,
    /// Whether a message was signed.
    begun: bool,
    /// The server's time, for a BADTIME error.
    now: [u8; 6],
}

impl Session {
    /// Verifies a request whose TSIG record is at `start`: key, MAC, time and truncation, in this order (RFC
    /// 8945 section 5.2). `find` gets the name of the key, in lower case and wire form. What is wrong with
    /// the signature is [`Session::error`].
    ///
    /// # Errors
    /// The record is malformed, or its MAC has a length that no MAC of its algorithm has: the reply is
    /// FORMERR, without a TSIG record.
    pub fn open(
        message: &[u8],
        start: usize,
        now: u64,
        find: impl FnOnce(&[u8]) -> Option<Arc<Key>>,
    ) -> Result<Self, Malformed> {
        let tsig = Tsig::read(message, start)?;
        let algorithm = Algorithm::from_wire(tsig.algorithm.as_wire());
        // RFC 8945 section 5.2.2.1: a MAC that is longer than the hash, or shorter than ten octets or half the
        // hash, is FORMERR.
        let possible = |algorithm: Algorithm| {
            (algorithm.min_mac_len()..=algorithm.mac_len()).contains(&tsig.mac.len())
        };
        let mut session = Self {
            key: None,
            algorithm: algorithm.unwrap_or_default(),
            error: TsigError::BADKEY,
            time: tsig.time,
            fudge: tsig.fudge,
            mac_len: 0,
            prior: Vec::new(),
            begun: false,
            now: six_octets(now),
            name: tsig.name.clone(),
            algorithm_name: tsig.algorithm.clone(),
        };
        // RFC 8945 section 5.2.1: an unknown key or algorithm is NOTAUTH with BADKEY.
        let mut folded = NameBuf::new();
        folded.set_folded(tsig.name.as_wire());
        let Some(algorithm) = algorithm else { return Ok(session) };
        let Some(key) = find(folded.as_wire()).filter(|key| key.takes(algorithm)) else {
            return Ok(session);
        };
        if !possible(algorithm) {
            return Err(Malformed);
        }
        let mut mac = key.begin(algorithm);
        tsig.digest_message(message, &mut mac)?;
        tsig.variables().digest(&mut mac);
        if !mac.finish().starts_with(tsig.mac) {
            session.error = TsigError::BADSIG;
            return Ok(session);
        }
        // A shorter MAC than the request's would prove less.
        let own_len = key.mac_len(algorithm);
        session.mac_len = own_len.max(tsig.mac.len());
        session.prior.extend_from_slice(tsig.mac);
        session.key = Some(key);
        session.error = if !tsig.is_timely(now) {
            TsigError::BADTIME
        } else if tsig.mac.len() < own_len {
            // RFC 8945 section 5.2.4: a MAC that is too short for the local policy is BADTRUNC.
            TsigError::BADTRUNC
        } else {
            TsigError::NONE
        };
        Ok(session)
    }

    /// What is wrong with the signature: BADKEY, BADSIG, BADTIME or BADTRUNC. NONE if it is good.
    pub fn error(&self) -> TsigError {
        self.error
    }

    /// The key of a good signature.
    pub fn key(&self) -> Option<&Arc<Key>> {
        self.key.as_ref().filter(|_| self.error == TsigError::NONE)
    }

    /// The name of the key that the request names, known or not, as the request has it.
    pub fn key_name(&self) -> &[u8] {
        self.name.as_wire()
    }

    /// Octets of the TSIG record that each message of the reply gets.
    pub fn reserve(&self) -> usize {
        // Type, class, TTL and length take ten octets.
        self.name.as_wire().len() + 10 + self.variables(0).rdata_len(self.mac_len)
    }

    /// Signs the next message of the reply: `message` is complete but for the TSIG record, whose RDATA this
    /// returns. Its owner is [`Session::key_name`]. A reply to a bad key or signature gets a record without
    /// MAC.
    pub fn next_rdata(&mut self, message: &[u8], now: u64) -> Vec<u8> {
        let variables = self.variables(now);
        let mut rdata = Vec::with_capacity(variables.rdata_len(self.mac_len));
        let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
        let Some(key) = &self.key else {
            // RFC 8945 section 5.3.2: an error about the key or the MAC must not be signed.
            variables.write_rdata(id, &[], &mut rdata);
            return rdata;
        };
        let mut mac = key.begin(self.algorithm);
        digest_prior(&self.prior, &mut mac);
        mac.update(message);
        // RFC 8945 section 5.3.1: the first message is signed like an answer of one message, the others with
        // the prior MAC and the timers alone.
        match self.begun {
            false => variables.digest(&mut mac),
            true => variables.digest_timers(&mut mac),
        }
        let value = mac.finish();
        let mac = value.truncated(self.mac_len);
        variables.write_rdata(id, mac, &mut rdata);
        self.prior.clear();
        self.prior.extend_from_slice(mac);
        self.begun = true;
        rdata
    }

    /// Signs the next message of the reply in place. The message has room for [`Session::reserve`] octets.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        if message.len() < HEADER {
            return;
        }
        let rdata = self.next_rdata(message, now);
        record::append(message, self.name.as_wire(), &rdata);
    }

    fn variables(&self, now: u64) -> Variables<'_> {
        // RFC 8945 section 5.2.3: a BADTIME error has the client's time and fudge, so that the client can verify
        // it, and the server's time as other data.
        let (time, fudge) = match self.error {
            TsigError::NONE | TsigError::BADTRUNC => (now, FUDGE),
            _ => (self.time, self.fudge),
        };
        Variables {
            name: self.name.as_wire(),
            algorithm: self.algorithm_name.as_wire(),
            time,
            fudge,
            error: self.error,
            other: if self.error == TsigError::BADTIME { &self.now } else { &[] },
        }
    }
}

/// The octets of a 48-bit time.
fn six_octets(time: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = time.to_be_bytes();
    rest
}
