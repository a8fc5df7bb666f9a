//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): sealed by us, kept by clients.
//!
//! The keys are random and replaced from time to time, or come from the operator, so that several servers
//! accept each other's tickets. A ticket is bound to a context: one that was given to a client under one
//! set of demands is of no use under another.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use data_encoding::BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// How long a ticket is accepted.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a random key seals tickets. It opens them for as long again.
const ROTATION: Duration = LIFETIME;
/// Octets of the name of a key, at the start of each ticket.
const NAME: usize = 16;
/// The least octets of a key of the operator's, and the most.
const KEY: std::ops::RangeInclusive<usize> = 32..=256;
/// Keys of the operator's at most.
const MAX_KEYS: usize = 16;

/// The keys of tickets, and when the first was made if it is a random one.
pub struct TicketKeys(ArcSwap<Keys>, Mutex<Option<Instant>>);

/// The first seals, all open.
struct Keys(Vec<Arc<Key>>);

struct Key {
    name: [u8; NAME],
    aead: LessSafeKey,
}

impl TicketKeys {
    /// Random keys, which are replaced in time.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, String> {
        let keys = Keys(vec![Key::random().ok_or("the system gives no random numbers")?]);
        Ok(Self(ArcSwap::from_pointee(keys), Mutex::new(Some(Instant::now()))))
    }

    /// The keys of a file of the operator's: one a line, in base 64. The first seals.
    ///
    /// # Errors
    /// There is none, or a line is no key.
    pub fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(ArcSwap::from_pointee(Keys::read(text)?), Mutex::new(None)))
    }

    /// Replaces the keys by those of the file's new text.
    ///
    /// # Errors
    /// As of [`TicketKeys::from_text`]; the keys before stay.
    pub fn replace(&self, text: &str) -> Result<(), String> {
        self.0.store(Arc::new(Keys::read(text)?));
        Ok(())
    }

    /// Replaces a random key that is old.
    fn rotate(&self, now: Instant) {
        let mut made = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if made.is_some_and(|made| now.saturating_duration_since(made) >= ROTATION)
            && let Some(fresh) = Key::random()
        {
            let before = self.0.load().0.first().cloned();
            self.0.store(Arc::new(Keys([fresh].into_iter().chain(before).collect())));
            *made = Some(now);
        }
    }
}

impl Keys {
    fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).zip(1..);
        let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let mut keys = Vec::new();
        for (line, number) in lines {
            let wrong = |what| Err(format!("line {number}: {what}"));
            let Ok(bytes) = BASE64.decode(line.as_bytes()) else {
                return wrong("this is not base 64");
            };
            if !KEY.contains(&bytes.len()) {
                return wrong("a key has 32 to 256 octets");
            }
            match Key::derive(&bytes) {
                Some(key) if keys.len() < MAX_KEYS => keys.push(key),
                _ => return wrong("there are more than 16 keys"),
            }
        }
        if keys.is_empty() { Err("it has no key".to_owned()) } else { Ok(Self(keys)) }
    }
}

impl Key {
    fn random() -> Option<Arc<Self>> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Self::derive(&bytes)
    }

    fn derive(secret: &[u8]) -> Option<Arc<Self>> {
        let part = |purpose: &[u8]| digest(&SHA256, &[purpose, secret].concat());
        let mut name = [0; NAME];
        name.copy_from_slice(&part(b"catena ticket name").as_ref()[..NAME]);
        let key = UnboundKey::new(&AES_256_GCM, part(b"catena ticket key").as_ref()).ok()?;
        Some(Arc::new(Self { name, aead: LessSafeKey::new(key) }))
    }
}

/// Seals and opens the tickets of one context.
pub(super) struct Tickets {
    pub(super) keys: Arc<TicketKeys>,
    pub(super) context: [u8; 32],
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.rotate(Instant::now());
        let keys = self.keys.0.load();
        let key = keys.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = [&key.name[..], &nonce, plain].concat();
        let aad = Aad::from(self.context);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = &mut ticket[NAME + NONCE_LEN..];
        let tag = key.aead.seal_in_place_separate_tag(nonce, aad, sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.0.load();
        let key = keys.0.iter().find(|key| key.name == *name)?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = key.aead.open_in_place(nonce, Aad::from(self.context), &mut bytes).ok()?.len();
        bytes.truncate(len);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &Arc<TicketKeys>, context: u8) -> Tickets {
        Tickets { keys: Arc::clone(keys), context: [context; 32] }
    }

    fn line(byte: u8) -> String {
        format!("{}\n", BASE64.encode(&[byte; 48]))
    }

    #[test]
    fn a_ticket_opens_in_its_context_only() {
        let keys = Arc::new(TicketKeys::random().unwrap());
        let sealed = tickets(&keys, 1).encrypt(b"session").unwrap();
        assert_eq!(tickets(&keys, 1).decrypt(&sealed).unwrap(), b"session");
        assert_eq!(tickets(&keys, 2).decrypt(&sealed), None, "another client's demands");
        let other = Arc::new(TicketKeys::random().unwrap());
        assert_eq!(tickets(&other, 1).decrypt(&sealed), None, "another server");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(tickets(&keys, 1).decrypt(&changed), None);
            assert_eq!(tickets(&keys, 1).decrypt(&sealed[..at]), None);
        }
    }

    #[test]
    fn servers_with_one_file_share_tickets_while_its_keys_are_replaced() {
        let first = Arc::new(TicketKeys::from_text(&line(1)).unwrap());
        let second =
            Arc::new(TicketKeys::from_text(&format!("# new\n\n{}{}", line(2), line(1))).unwrap());
        let old = tickets(&first, 0).encrypt(b"old").unwrap();
        let new = tickets(&second, 0).encrypt(b"new").unwrap();
        assert_eq!(tickets(&second, 0).decrypt(&old).unwrap(), b"old");
        assert_eq!(tickets(&first, 0).decrypt(&new), None);
        assert!(first.replace("").is_err());
        assert_eq!(tickets(&first, 0).decrypt(&old).unwrap(), b"old", "the keys before stay");
        first.replace(&line(2)).unwrap();
        assert_eq!(tickets(&first, 0).decrypt(&new).unwrap(), b"new");
        assert_eq!(tickets(&first, 0).decrypt(&old), None, "its key is gone");
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let error = |text: &str| TicketKeys::from_text(text).err().unwrap();
        assert_eq!(error("# nothing\n"), "it has no key");
        assert_eq!(error(&format!("{}?", line(1))), "line 2: this is not base 64");
        assert_eq!(error(&BASE64.encode(&[1; 31])), "line 1: a key has 32 to 256 octets");
        let many: String = (0..17).map(line).collect();
        assert_eq!(error(&many), "line 17: there are more than 16 keys");
    }

    #[test]
    fn random_keys_are_replaced_and_open_for_a_while() {
        let keys = Arc::new(TicketKeys::random().unwrap());
        let ours = tickets(&keys, 0);
        let first = ours.encrypt(b"1").unwrap();
        assert_eq!(ours.encrypt(b"2").unwrap()[..NAME], first[..NAME]);
        keys.rotate(Instant::now() + ROTATION);
        assert_ne!(ours.encrypt(b"3").unwrap()[..NAME], first[..NAME]);
        assert_eq!(ours.decrypt(&first).unwrap(), b"1");
        keys.rotate(Instant::now() + 2 * ROTATION);
        assert_eq!(ours.decrypt(&first), None);
    }
}
