//! The phases of a query, as the picture in `cache/mod.rs` shows them. This file has the hooks.

mod admit;
mod classify;
mod hit;
mod miss;
mod outcome;
mod refresh;
mod resolve;
mod scope;
mod state;
mod verify;

use chain::{Batch, BoxFuture, Next, Query, Reply, Roles, ServeDns, Served, Step};

use super::entry::Key;
use super::store::Found;
pub(super) use state::{Cache, MAX_BACKGROUND};

impl ServeDns for Cache {
    fn prefetch(&self, batch: Batch<'_>, _: u8) {
        batch.queries().for_each(|query| self.store.prefetch(&Key::of(query)));
    }

    fn roles(&self) -> Roles<'_> {
        Roles { prefetch_stages: 1, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if !self.applies(query, reply) {
            return Ok(Step::Next);
        }
        let metrics = self.metrics(query);
        metrics.requests.inc(query.client.worker);
        let version = self.store.version(&Key::of(query));
        match self.find(query) {
            Found::Fresh(partition, entry) => {
                metrics.hit(partition, query);
                let refresh = self.wants_prefetch(&entry, query.client.now);
                let served = self.write_fresh(&entry, query, reply);
                if refresh { served.map(|_| Step::Refresh) } else { served }
            }
            Found::Stale(partition, entry) => {
                metrics.hit(partition, query);
                match self.config.stale {
                    Some(stale) => self.stale_step(&entry, stale, query, reply),
                    None => Ok(Step::Wait),
                }
            }
            Found::Miss => {
                metrics.misses.inc(query.client.worker);
                // An answer for a network has a key, and so a shard, of its own.
                query.plugin_state(self.query_state).missed_at_version =
                    self.config.ecs.is_none().then_some(version);
                Ok(Step::Wait)
            }
        }
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            if query.state.refresh {
                self.refresh(query, reply, next).await;
                return Ok(Step::Done);
            }
            self.wait(query, reply, next).await
        })
    }
}
