//! `dnstap`: sends a message for each query and reply to dnstap readers.
//!
//! It writes one message when a query arrives, one when its reply is sent, and one for each exchange
//! with an upstream that another plugin reports. It changes nothing and never waits: messages go to the
//! queue of a sink.

mod config;
mod frames;
mod message;
mod sink;

use std::cell::RefCell;
use std::sync::Arc;

use chain::{
    Clock, Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step, Tap, UpstreamExchange,
};
use corefile::{Diagnostic, Diagnostics, Directive};
use telemetry::format::Format;
use telemetry::record::LogRecord;

use config::Config;
use message::{Event, MessageType, Sender};
use net::clock::unix_nanos;
use net::stream::Endpoint;
use sink::{Mode, Sink, Target};

/// The `dnstap` directive.
pub static PLUGIN: Kind =
    Kind { name: "dnstap", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// The longest buffers that a thread keeps.
const MAX_KEPT: usize = 64 << 10;

thread_local! {
    /// The message being built, its inner part, and its extra text.
    static BUFFERS: RefCell<[Vec<u8>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let has_metadata = setup.has_metadata();
    let mut errors = Diagnostics::default();
    for directive in uses {
        match config::parse(directive, has_metadata, setup.warnings()) {
            Ok(config) => {
                setup.warn_all(unready(directive, &config.target));
                link(config, setup);
            }
            Err(problems) => errors.extend(problems),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(()) }
}

/// A warning if the files of a TLS listener cannot be read yet; the sink retries.
fn unready(directive: &Directive, target: &Target) -> Option<Diagnostic> {
    let (Endpoint::Tls(_), Mode::Listen { files: Some(files) }) = (&target.endpoint, &target.mode)
    else {
        return None;
    };
    let problem = files.check().err()?;
    let option = directive.options().iter().rfind(|option| option.name.as_str() == "tls")?;
    Some(
        Diagnostic::warning(option.span, format!("cannot use {problem}"))
            .label("no reader can connect before these files can be used")
            .help("write `tls CERT KEY [CA]`, all of them PEM files; a server tries again"),
    )
}

fn link(config: Config, setup: &mut Setup<'_>) {
    let Config { target, full, identity, version, extra } = config;
    let key = format!("dnstap {target:?}");
    let sink = setup.keep(key, || Sink::new(target));
    // The task starts only when this configuration serves: until then another one may use the sink.
    let starts = Arc::downgrade(&sink);
    setup.finishing_task(move || {
        let task = starts.upgrade().and_then(|sink| sink.task());
        async move {
            if let Some(task) = task {
                task.await;
            }
        }
    });
    let clock = setup.clock();
    setup.link(Dnstap { sink, full, identity, version, extra, clock });
}

struct Dnstap {
    sink: Arc<Sink>,
    full: bool,
    identity: Vec<u8>,
    version: Vec<u8>,
    extra: Option<Format>,
    clock: Clock,
}

impl Dnstap {
    fn send(&self, query: &Query, event: Event<'_>) {
        BUFFERS.with_borrow_mut(|[out, inner, text]| {
            out.clear();
            text.clear();
            if let Some(format) = &self.extra {
                format.write(text, &LogRecord { query, reply: None });
            }
            let sender = Sender {
                identity: &self.identity,
                version: &self.version,
                extra: self.extra.is_some().then_some(&**text),
            };
            let event = Event { message: event.message.filter(|_| self.full), ..event };
            message::write(out, inner, &sender, &event);
            self.sink.offer(query.client.worker, out);
            for buffer in [out, inner, text] {
                if buffer.capacity() > MAX_KEPT {
                    buffer.shrink_to(MAX_KEPT);
                }
            }
        });
    }
}

impl ServeDns for Dnstap {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        // Lookups of our own have no client.
        if query.state.depth == 0 && !query.state.refresh && self.sink.is_wanted() {
            self.send(
                query,
                Event {
                    kind: MessageType::ClientQuery,
                    transport: query.client.transport,
                    querier: Some(query.client.peer),
                    responder: Some(query.client.local),
                    asked: unix_nanos(query.client.received),
                    answered: None,
                    message: Some(query.bytes()),
                },
            );
        }
        Ok(Step::Next)
    }

    fn on_sent(&self, query: &Query, message: &[u8]) {
        if !self.sink.is_wanted() {
            return;
        }
        self.send(
            query,
            Event {
                kind: MessageType::ClientResponse,
                transport: query.client.transport,
                querier: Some(query.client.peer),
                responder: Some(query.client.local),
                asked: unix_nanos(query.client.received),
                answered: Some(unix_nanos((self.clock.now)())),
                message: Some(message),
            },
        );
    }

    fn roles(&self) -> Roles<'_> {
        Roles { sees_sent: true, sees: Sees::ALL, tap: Some(self), ..Roles::default() }
    }
}

impl Tap for Dnstap {
    fn exchanged(&self, query: &Query, exchange: &UpstreamExchange<'_>) {
        if !self.sink.is_wanted() {
            return;
        }
        let event = Event {
            kind: MessageType::ForwarderQuery,
            transport: exchange.transport,
            querier: exchange.local,
            responder: Some(exchange.upstream),
            asked: unix_nanos(exchange.asked),
            answered: None,
            message: Some(exchange.question),
        };
        self.send(query, Event { message: Some(exchange.question), ..event });
        if let Some((reply, answered)) = exchange.reply {
            let answered = Some(unix_nanos(answered));
            let kind = MessageType::ForwarderResponse;
            self.send(query, Event { kind, answered, message: Some(reply), ..event });
        }
    }
}

#[cfg(test)]
mod tests;
