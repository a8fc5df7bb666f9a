//! `redisc`: a second-level cache in Redis that several servers share.
//!
//! It looks up an answer when the plugins before it, such as *cache*, have none, and stores the answers
//! of the plugins after it. A slow or failed Redis delays a query by at most some tens of milliseconds,
//! and soon not at all. A value from Redis is checked like any reply before it is used.

mod config;
mod entry;
mod numbers;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chain::{BoxFuture, Clock, Kind, Next, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use net::client::Network;
use redis::{OnLost, RedisClient, RedisError, RedisOptions};
use telemetry::metrics::SHARED;
use wire::Moment;
use wire::answer::{Answer, AnswerKind};

use config::Config;
use numbers::Numbers;

/// The `redisc` directive.
pub static PLUGIN: Kind =
    Kind { name: "redisc", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let zones = setup.zones();
    for directive in uses {
        let config = Config::read(directive, &zones)?;
        setup.warn_outside(config::zones_of(directive));
        let redis = client(&config, setup);
        let servers = setup
            .keys()
            .iter()
            .map(|key| &*key.server)
            .chain(setup.keys().is_empty().then_some(""));
        let numbers: Box<[Numbers]> = servers.map(Numbers::new).collect();
        let lost = numbers
            .iter()
            .map(|numbers| {
                let failed = numbers.set_errors.clone();
                Arc::new(move || failed.inc(SHARED)) as OnLost
            })
            .collect();
        let group = config.prefix.clone().unwrap_or_else(|| entry::group(setup));
        setup.link(Redisc { clock: setup.clock(), redis, numbers, lost, group, config });
    }
    Ok(())
}

/// The connection to Redis. It survives a reload that does not change it.
fn client(config: &Config, setup: &Setup<'_>) -> Arc<RedisClient> {
    let network = match setup.service::<Network>() {
        Some(network) => network,
        None => Arc::new(Network::Os),
    };
    let Config { endpoint: to, timeout, .. } = *config;
    let workers = setup.workers();
    let make = || {
        let up = numbers::up(&to.to_string());
        up.set(1.0);
        let on_health = move |failure: Option<&RedisError>| match failure {
            Some(error) => {
                up.set(0.0);
                telemetry::warning!(
                    "plugin/redisc: Redis at {to} is down, lookups are suspended: {error}"
                );
            }
            None => {
                up.set(1.0);
                telemetry::info!("plugin/redisc: Redis at {to} is up again");
            }
        };
        let options = RedisOptions { to, timeout, workers, on_health: Arc::new(on_health) };
        RedisClient::new(network, options)
    };
    setup.keep(format!("redisc {to} {timeout:?} {workers}"), make)
}

/// The plugin.
struct Redisc {
    config: Config,
    redis: Arc<RedisClient>,
    /// One for each key of the block.
    numbers: Box<[Numbers]>,
    /// The counters of failed writes, which a write in the background holds.
    lost: Box<[OnLost]>,
    /// The prefix of keys. Servers with the same prefix share their answers.
    group: String,
    clock: Clock,
}

impl Redisc {
    /// Whether the query can be answered from Redis. The reply must begin with the query's question:
    /// compressed names point into it.
    #[inline]
    fn applies(&self, query: &Query, reply: &Reply) -> bool {
        query.tsig_at().is_none()
            && reply.question_end() == query.question_end()
            && self.config.zones.contains(query)
    }

    /// The index of the block's key.
    #[inline]
    fn place(&self, query: &Query) -> usize {
        usize::from(query.state.key).min(self.numbers.len() - 1)
    }

    /// Answers from Redis. Returns whether it had a usable answer.
    async fn look_up(&self, key: &[u8], query: &mut Query, reply: &mut Reply) -> bool {
        let numbers = &self.numbers[self.place(query)];
        let found = match self.redis.get(query.client.worker, key).await {
            Ok(found) => found,
            Err(_) => {
                numbers.failures.inc(query.client.worker);
                None
            }
        };
        query.client.now = (self.clock.now)();
        let taken = found.map(|value| {
            entry::load_value(&value, millis(query.client.now), self.config.longest(), query, reply)
        });
        match taken {
            Some(Ok(true)) => {
                numbers.hits.inc(query.client.worker);
                return true;
            }
            Some(Err(_)) => numbers.refused.inc(query.client.worker),
            Some(Ok(false)) | None => {}
        }
        numbers.misses.inc(query.client.worker);
        false
    }

    /// Stores the reply of the plugins behind in Redis, if it may be cached.
    fn store(&self, key: &[u8], query: &Query, reply: &mut Reply) {
        let numbers = &self.numbers[self.place(query)];
        if reply.is_silent() || reply.failure().is_some() || !reply.is_written() || reply.truncated
        {
            return;
        }
        if reply.own_version > 0 {
            // Redis would keep the data of own zones after a change of them.
            return;
        }
        let (clock, now) = (self.clock, query.client.now);
        let Ok(answer) = Answer::of(query, reply, || (clock.unix)(now)) else {
            numbers.drops.inc(query.client.worker);
            return;
        };
        let ttl = self.lifetime(&answer);
        if ttl == 0 {
            return;
        }
        if answer.uncompressed {
            // Other clients must not see the case of the first client's query: owner names become
            // pointers to the question, which is each client's own.
            reply.rearrange(|_, _| {});
        }
        // As in the external plugin, all records have one TTL, here and in Redis.
        reply.edit_ttls(|_, _| ttl);
        let value = entry::encode(reply, millis(now), ttl);
        let lost = Arc::clone(&self.lost[self.place(query)]);
        match self.redis.set(key, &value, Duration::from_secs(u64::from(ttl)), lost) {
            Ok(()) => {}
            Err(RedisError::Busy) => numbers.dropped.inc(query.client.worker),
            Err(_) => numbers.set_errors.inc(query.client.worker),
        }
    }

    /// The lifetime of an answer in seconds. Zero: it is not stored.
    fn lifetime(&self, answer: &Answer) -> u32 {
        let (ttl, most) = match answer.kind {
            AnswerKind::Answer if answer.answering => (answer.min_ttl, self.config.success),
            // RFC 2308 section 5: MINIMUM bounds the TTL of the SOA record.
            AnswerKind::NameError | AnswerKind::NoData => (
                answer.min_ttl.zip(answer.minimum).map(|(ttl, minimum)| ttl.min(minimum)),
                self.config.denial,
            ),
            // Failures concern this server only. Empty answers and referrals have no usable TTL.
            AnswerKind::Answer
            | AnswerKind::Delegation
            | AnswerKind::Failure
            | AnswerKind::Other => (None, 0),
        };
        if !answer.is_lasting() {
            return 0;
        }
        answer.signed_for(ttl.unwrap_or(0).min(most))
    }
}

/// Unix time at `moment`, in milliseconds.
fn millis(moment: Moment) -> u64 {
    net::clock::unix_nanos(moment) / 1_000_000
}

impl ServeDns for Redisc {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if !self.applies(query, reply) {
            return Ok(Step::Next);
        }
        if !self.redis.is_available() {
            self.numbers[self.place(query)].misses.inc(query.client.worker);
            return Ok(Step::Next);
        }
        Ok(Step::Wait)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            let key = entry::key(&self.group, query);
            if self.look_up(&key, query, reply).await {
                return Ok(Step::Done);
            }
            next.run(query, reply).await;
            self.store(&key, query, reply);
            Ok(Step::Done)
        })
    }
}
