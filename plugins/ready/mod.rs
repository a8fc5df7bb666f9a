//! `ready`: reports over HTTP whether the plugins can serve.
//!
//! It queries the plugins that report readiness, in every block that has `ready`. It never sees a
//! query.

mod blocks;
mod config;

use std::sync::Arc;

use chain::{HttpReply, Kind, Setup};
use corefile::{Diagnostics, Directive};

use blocks::{Blocks, Verdict};
use config::Monitor;

/// The `ready` directive.
pub static PLUGIN: Kind =
    Kind { name: "ready", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    // One list for the process, as in CoreDNS: each endpoint reports on every block with `ready`.
    let blocks: Arc<Blocks> = setup.keep("ready", Blocks::default);
    let block = blocks.add(setup.chain_ref(), config.monitor == Monitor::Continuously);
    setup.task(|| async move {
        block.serve();
        std::future::pending::<()>().await;
    });
    let stopping = Arc::clone(&blocks);
    setup.on_shutdown(|| async move { stopping.shut_down() });
    setup.http(&config.address, "/ready", move |_| answer(&blocks.verdict()));
    Ok(())
}

fn answer(verdict: &Verdict) -> HttpReply {
    match verdict {
        Verdict::Ready => HttpReply::text(200, "OK"),
        Verdict::ShuttingDown => HttpReply::text(503, "Shutting down"),
        Verdict::Waiting(plugins) => {
            let names = plugins.join(",");
            telemetry::info!("plugin/ready: Plugins not ready: {names:?}");
            HttpReply::text(503, names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::setup::{BlockSetup, Key};
    use chain::{Chain, Clock, HttpHandler, Kept, Ready, Roles, ServeDns, Services};
    use std::sync::atomic::{AtomicBool, Ordering};
    use wire::Moment;

    fn now(handler: &HttpHandler) -> HttpReply {
        let HttpHandler::Now(handler) = handler else { panic!("it does not wait") };
        handler(&Default::default())
    }

    struct Slow(Arc<AtomicBool>);
    impl ServeDns for Slow {
        fn roles(&self) -> Roles<'_> {
            Roles { ready: Some(self), ..Roles::default() }
        }
    }
    impl Ready for Slow {
        fn ready(&self) -> Result<(), String> {
            if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err("not synced".into()) }
        }
    }

    #[tokio::test]
    async fn the_endpoint_tells_who_is_not_ready() {
        let clock = Clock { now: || Moment(0), unix: |_| 0 };
        let services = Services::new(1, clock, Kept::default());
        let keys: [Key; 0] = [];
        let state = Arc::new(AtomicBool::new(false));
        let mut endpoints = Vec::new();
        let mut running = Vec::new();
        let mut chains = Vec::new();
        for names in [["kubernetes", "erratic"], ["erratic", "nomad"]] {
            let mut block = BlockSetup::default();
            setup(&[], &mut block.plugin("ready", &keys, &services)).unwrap();
            for name in names {
                block.plugin(name, &keys, &services).link(Slow(Arc::clone(&state)));
            }
            let chain = Arc::new(Chain::new(std::mem::take(&mut block.links), clock));
            block.chain_ref.set(&chain);
            chains.push(chain);
            endpoints.append(&mut block.requests.endpoints);
            running.push(block.requests);
        }
        let get = |at: usize| {
            let reply = now(&endpoints[at].handler);
            (reply.status, String::from_utf8(reply.body).unwrap())
        };
        let waiting = (503, "erratic,kubernetes,nomad".to_owned());
        assert_eq!(get(0), waiting, "at the start all blocks count");
        let mut tasks = Vec::new();
        for requests in &mut running {
            tasks.push(tokio::spawn(requests.tasks.remove(0)()));
        }
        tokio::task::yield_now().await;
        assert_eq!(get(1), waiting);
        state.store(true, Ordering::Relaxed);
        assert_eq!(get(1), (200, "OK".to_owned()));
        state.store(false, Ordering::Relaxed);
        assert_eq!(get(0), (200, "OK".to_owned()), "until ready, and then no more");

        // A configuration that follows: its plugins count once it serves.
        let next = Services::new(1, clock, services.kept.successor());
        let mut block = BlockSetup::default();
        setup(&[], &mut block.plugin("ready", &keys, &next)).unwrap();
        block.plugin("etcd", &keys, &next).link(Slow(Arc::clone(&state)));
        let chain = Arc::new(Chain::new(std::mem::take(&mut block.links), clock));
        block.chain_ref.set(&chain);
        let late = block.requests.endpoints.remove(0);
        let get = || {
            let reply = now(&late.handler);
            (reply.status, String::from_utf8(reply.body).unwrap())
        };
        assert_eq!(get(), (200, "OK".to_owned()));
        let task = tokio::spawn(block.requests.tasks.remove(0)());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        assert_eq!(get(), (503, "etcd".to_owned()));
        block.requests.on_shutdown.remove(0)().await;
        assert_eq!(get(), (503, "Shutting down".to_owned()));
        task.abort();
    }
}
