//! The server without sockets, for scenario tests, benches and fuzz targets.
//!
//! It is the same entry that every transport calls. Only the network and the clock are the caller's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use chain::{Clock, Kept, Registry, Resolve, Services};
use corefile::{Diagnostics, Loader};
use exchange::Exchange;
use net::Handler;
use net::client::Network;
use telemetry::metrics;
use tokio::task::JoinSet;
use wire::{Endpoint, Scheme, Transport};

use super::baseline;
use super::config::{Config, ListenerIds};
use super::plan::{self, Plan};
use super::serve::{ListenerHandler, Serving};

/// A configured server that is called instead of listened to.
pub struct Sim {
    registry: Registry,
    serving: Arc<Serving>,
    ids: ListenerIds,
    handlers: Vec<(Endpoint, Arc<ListenerHandler>)>,
    services: Option<Arc<Services>>,
    network: Arc<Network>,
    tasks: JoinSet<()>,
    /// What relative paths in a Corefile are relative to.
    pub root: PathBuf,
}

/// One question to a [`Sim`].
pub struct Ask<'a> {
    /// The message.
    pub message: &'a [u8],
    /// Who asks.
    pub peer: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Port of the listener.
    pub port: u16,
}

impl Sim {
    /// A server with these plugins and this network, which serves nothing yet.
    pub fn new(registry: Registry, network: Network) -> Self {
        metrics::set_workers(1);
        baseline::register(registry);
        Self {
            registry,
            serving: Arc::new(Serving::new(Config::new(Vec::new()), clock())),
            ids: ListenerIds::default(),
            handlers: Vec::new(),
            services: None,
            network: Arc::new(network),
            tasks: JoinSet::new(),
            root: PathBuf::from("."),
        }
    }

    /// Serves `text`; what was served before goes on if it has mistakes. Background tasks run if
    /// `with_tasks` says so, on the tokio runtime this is called in.
    ///
    /// Errors: the mistakes, rendered. Warnings are returned rendered.
    pub fn load(
        &mut self,
        name: &str,
        text: &str,
        loader: &dyn Loader,
        with_tasks: bool,
    ) -> Result<String, String> {
        let (corefile, mut problems) = corefile::parse(name, text, loader);
        let kept =
            self.services.as_ref().map_or_else(Kept::default, |services| services.kept.successor());
        let mut services = Services::new(1, clock(), kept).with(Arc::clone(&self.network));
        services.root.clone_from(&self.root);
        let planned = plan::plan(&corefile, self.registry, services, 53, &mut self.ids);
        let render = |problems: &Diagnostics| corefile::render(problems, &corefile.sources);
        let (plan, warnings) = match planned {
            Ok(planned) if !problems.has_errors() => planned,
            Ok((_, more)) | Err(more) => {
                problems.extend(more);
                return Err(render(&problems));
            }
        };
        problems.extend(warnings);
        for warning in problems.in_order() {
            telemetry::log::finding("", warning, &corefile.sources);
        }
        self.apply(plan, with_tasks);
        Ok(render(&problems))
    }

    fn apply(&mut self, plan: Plan, with_tasks: bool) {
        let resolver: Weak<Serving> = Arc::downgrade(&self.serving);
        plan.services.resolver.set(resolver as Weak<dyn Resolve>);
        telemetry::log::set_debug(plan.process.debug.is_some());
        self.serving.config.store(Arc::new(plan.config));
        plan.services.kept.settle();
        self.handlers = plan
            .listeners
            .iter()
            .map(|wanted| {
                let endpoint = wanted.spec.endpoint;
                let serving = Arc::clone(&self.serving);
                (endpoint, Arc::new(ListenerHandler::new(serving, wanted.number, endpoint)))
            })
            .collect();
        // Startup hooks are left out: what they start knows no simulated time.
        self.tasks = JoinSet::new();
        if with_tasks {
            for task in plan.requests.tasks {
                self.tasks.spawn(task());
            }
        }
        self.services = Some(plan.services);
    }

    /// Fills a slot with a question, as a transport would.
    pub fn fill(slot: &mut Exchange, ask: &Ask<'_>) {
        let buffer = slot.query.buffer_mut();
        buffer.clear();
        buffer.extend_from_slice(ask.message);
        slot.query.client.peer = ask.peer;
        slot.query.client.local = SocketAddr::new([127, 0, 0, 1].into(), ask.port);
        slot.query.client.transport = ask.transport;
        slot.query.client.keepalive = 100;
        slot.query.client.worker = 0;
        slot.query.client.received = net::clock::now();
    }

    /// The door of the listener on `port`, as a transport has it.
    pub fn handler(&self, port: u16) -> Option<Arc<dyn Handler>> {
        let (_, handler) = self.handlers.iter().find(|(endpoint, _)| {
            endpoint.scheme == Scheme::Dns && endpoint.address.port() == port
        })?;
        Some(Arc::clone(handler) as Arc<dyn Handler>)
    }

    /// Asks, and waits as long as the server does. `None` is silence.
    pub async fn ask(&self, ask: &Ask<'_>) -> Option<Vec<u8>> {
        let handler = self.handler(ask.port)?;
        let mut slots = [Box::new(Exchange::new())];
        Self::fill(&mut slots[0], ask);
        handler.serve_batch(&mut slots);
        let [mut slot] = slots;
        if let Some(pending) = slot.take_pending() {
            slot = pending.resume(slot).await;
        }
        (slot.outcome.is_send()).then(|| slot.reply.bytes().to_vec())
    }
}

fn clock() -> Clock {
    Clock { now: net::clock::now, unix: net::clock::unix }
}
