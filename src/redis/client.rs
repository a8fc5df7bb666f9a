//! The client: one connection for each worker's lookups, and one for all writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use net::client::Network;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::connection::{Connection, Octets, OnLost, Pending, Write};
use crate::error::{RedisError, not_a_reply, timed_out};
use crate::health::{Health, RedisOptions, simulated};
use crate::resp::{self, Value};

/// The capacity of a connection for lookups and of the one for writes, in commands.
const LOOKUPS: usize = 1024;
const WRITES: usize = 256;
/// The most octets of pending writes.
const WRITE_OCTETS: usize = 4 << 20;

/// A client of one Redis.
pub struct RedisClient {
    /// One for each worker.
    lookups: Box<[Connection]>,
    writes: Connection,
    health: Arc<Health>,
    /// Octets of pending writes.
    octets: Arc<AtomicUsize>,
}

impl RedisClient {
    /// A client without connections: the first commands open them.
    pub fn new(network: Arc<Network>, options: RedisOptions) -> Self {
        let lookups = (0..options.workers.max(1)).map(|_| Connection::new(LOOKUPS)).collect();
        let health = Arc::new(Health::new(network, options));
        let octets = Arc::new(AtomicUsize::new(0));
        Self { lookups, writes: Connection::new(WRITES), health, octets }
    }

    /// Whether commands are sent. If not, a task probes Redis.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.health.is_available()
    }

    /// The value of `key`, for a query of `worker`.
    ///
    /// # Errors
    /// Redis is suspended or busy, its reply is late, or it is no value.
    pub async fn get(&self, worker: usize, key: &[u8]) -> Result<Option<Vec<u8>>, RedisError> {
        if !self.is_available() {
            return Err(RedisError::Suspended);
        }
        let bytes = resp::encode(&[b"GET", key]);
        let RedisOptions { to, timeout: limit, .. } = self.health.options;
        let reply = match &*self.health.network {
            Network::Simulated(world) => simulated(&**world, to, &bytes, limit).await,
            Network::Os => {
                let (sender, receiver) = oneshot::channel();
                let connection = &self.lookups[worker % self.lookups.len()];
                connection.submit(&self.health, bytes, Pending::Lookup(sender))?;
                match timeout(limit, receiver).await {
                    Ok(Ok(value)) => Ok(value),
                    // The connection ended; its task reports the reason.
                    Ok(Err(_)) => Err(RedisError::Network(io::ErrorKind::NotConnected.into())),
                    Err(_) => Err(RedisError::Network(timed_out())),
                }
            }
        };
        let found = reply.and_then(|value| match value {
            Value::Bulk(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            Value::Error(message) => Err(RedisError::refused(&message)),
            Value::Status(_) | Value::Integer(_) => Err(RedisError::Network(not_a_reply())),
        });
        match &found {
            Ok(_) => self.health.note_success(),
            Err(error) => self.health.note_failure(error),
        }
        found
    }

    /// Queues a write of `key` with `value` and `lifetime`. `on_lost` is called if it fails later.
    ///
    /// # Errors
    /// Redis is suspended, or too many writes are pending.
    pub fn set(
        &self,
        key: &[u8],
        value: &[u8],
        lifetime: Duration,
        on_lost: OnLost,
    ) -> Result<(), RedisError> {
        if !self.is_available() {
            return Err(RedisError::Suspended);
        }
        let lifetime = lifetime.as_millis().to_string();
        let bytes = resp::encode(&[b"SET", key, value, b"PX", lifetime.as_bytes()]);
        if let Network::Simulated(world) = &*self.health.network {
            return match world.raw_tcp(self.health.options.to, &bytes) {
                Some((_, reply)) if reply.starts_with(b"+") => Ok(()),
                _ => Err(RedisError::Network(io::ErrorKind::ConnectionRefused.into())),
            };
        }
        let Some(octets) = Octets::take(&self.octets, bytes.len(), WRITE_OCTETS) else {
            return Err(RedisError::Busy);
        };
        let write = Write { on_lost: Some(on_lost), _octets: octets };
        self.writes.submit(&self.health, bytes, Pending::Write(write))
    }
}
