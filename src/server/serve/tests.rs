//! Plugins that panic, through the door that every transport uses.

use std::sync::Mutex;

use std::sync::atomic::{AtomicUsize, Ordering};

use chain::{
    BlockKeys, Chain, Clock, Limit, Link, Next, OnUpdate, Roles, Sees, ServeDns, Served, Step,
    Verdict,
};
use exchange::{Channel, Gone};
use wire::{Moment, Name, NewRecord, Rdata, Rtype, Section, Transport};

use super::super::block::{Block, Counts};
use super::*;

mod signed;

/// The counter and the log are the process's: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Panics for `wait.` after waiting, for `bad.` at once, for `renew.` while it renews; else answers.
struct Fragile;

impl ServeDns for Fragile {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        match query.name() {
            b"\x04wait\0" => return Ok(Step::Wait),
            b"\x03bad\0" => panic!("at once"),
            _ => {}
        }
        reply.set_rcode(Rcode::NXDOMAIN);
        Ok(if query.name() == b"\x05renew\0" { Step::Refresh } else { Step::Done })
    }

    fn serve_dns<'a>(
        &'a self,
        _: &'a mut Query,
        _: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            panic!("after waiting")
        })
    }
}

fn site(stacktrace: bool) -> (ListenerHandler, Arc<Counts>) {
    let clock = Clock { now: || Moment(7), unix: |_| 0 };
    let links = vec![Link { name: "fragile", plugin: Box::new(Fragile) }];
    let chain = Arc::new(Chain::new(links, clock));
    let counts = Arc::new(Counts::new());
    let block = Block { stacktrace, ..Block::new(chain, Arc::clone(&counts)) };
    let target = Target::new(Name::root(), Arc::new(block), 0);
    let router = Arc::new(Router::new("dns://:53", vec![target]));
    let serving = Arc::new(Serving::new(Config::new(vec![router]), clock));
    (ListenerHandler::new(serving, 0, Endpoint::any(Scheme::Dns, 53)), counts)
}

fn slot(name: &str) -> Box<Exchange> {
    let mut slot = Box::new(Exchange::new());
    let name = Name::from_text(name).unwrap();
    let mut question = Query::new();
    question.make_subquery(&Query::new(), name.as_wire(), Rtype::A, false);
    slot.query.buffer_mut().extend_from_slice(question.bytes());
    slot
}

fn rcode(slot: &Exchange) -> Rcode {
    assert!(slot.outcome.is_send());
    Rcode(u16::from(slot.reply.bytes()[3] & 0x0F))
}

/// Asks all in one batch and waits for those that wait: the rcodes, what was logged and how many
/// panics were counted.
async fn ask(
    (site, counts): (ListenerHandler, Arc<Counts>),
    names: &[&str],
) -> (Vec<Rcode>, String, u64) {
    let panics = counts.panics.get();
    telemetry::log::capture(true);
    let mut slots: Vec<Box<Exchange>> = names.iter().map(|name| slot(name)).collect();
    site.serve_batch(&mut slots);
    let mut rcodes = Vec::new();
    for mut slot in slots {
        if let Some(pending) = slot.take_pending() {
            slot = pending.resume(slot).await;
        }
        rcodes.push(rcode(&slot));
    }
    // Renewals run on their own.
    while counts.refreshes.in_use() > 0 {
        tokio::task::yield_now().await;
    }
    let log = String::from_utf8(telemetry::log::capture(false)).unwrap();
    (rcodes, log, counts.panics.get() - panics)
}

/// Runs [`ask`] alone.
fn ask_alone(stacktrace: bool, names: &[&str]) -> (Vec<Rcode>, String, u64) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ask(site(stacktrace), names))
}

#[test]
fn a_panic_costs_its_query_and_nothing_more() {
    for (name, words) in [("bad.", "at once"), ("wait.", "after waiting")] {
        let (rcodes, log, panics) = ask_alone(false, &["a.", name, "b."]);
        assert_eq!(rcodes, [Rcode::NXDOMAIN, Rcode::SERVFAIL, Rcode::NXDOMAIN], "{name}");
        assert_eq!(panics, 1, "{name}");
        let start = format!("[ERROR] Recovered from panic in server: {words} at src/server/");
        assert!(log.starts_with(&start), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[test]
fn the_stack_is_logged_where_it_is_wanted() {
    for name in ["bad.", "wait."] {
        let (_, log, _) = ask_alone(true, &[name]);
        assert_eq!(log.matches("Recovered from panic in server: ").count(), 1, "{log}");
        assert!(log.lines().skip(1).any(|line| line.contains("src/chain/run/chain.rs:")), "{log}");
    }
}

#[test]
fn a_renewal_that_panics_is_counted_and_told() {
    let (rcodes, log, panics) = ask_alone(false, &["renew."]);
    assert_eq!((rcodes.as_slice(), panics), ([Rcode::NXDOMAIN].as_slice(), 1));
    assert!(log.contains("Recovered from panic in server: after waiting at "), "{log}");
}

#[test]
fn panics_elsewhere_reach_the_hook_before() {
    panics::install();
    let caught = panics::catch(|| {
        // Not ours, but inside: the outer one goes on catching.
        let inner = panics::catch(|| panic!("inner")).map(|()| 0);
        assert!(inner.is_err());
        1
    });
    assert!(matches!(caught, Ok(1)));
}

/// Limits every reply, and says how many it saw.
struct Limiter(Verdict, Arc<AtomicUsize>);

impl ServeDns for Limiter {
    fn roles(&self) -> Roles<'_> {
        Roles { limit: Some(self), update: Some(self), ..Roles::default() }
    }

    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        let address = Rdata::A([192, 0, 2, 1].into());
        reply.push(Section::Answer, NewRecord::new(query.name(), 60, address));
        Ok(Step::Done)
    }
}

impl Limit for Limiter {
    fn limit(&self, _: &Query, _: &Reply) -> Verdict {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0
    }
}

impl OnUpdate for Limiter {
    fn on_update<'a>(&'a self, _: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, Served> {
        reply.set_rcode(Rcode::YXDOMAIN);
        Box::pin(std::future::ready(Ok(Step::Done)))
    }
}

/// A listener with one block for `zone`.
fn listener(zone: &str, plugin: impl ServeDns) -> ListenerHandler {
    listener_with(zone, plugin, None)
}

/// A listener with one block for `zone` that has these keys.
fn listener_with(
    zone: &str,
    plugin: impl ServeDns,
    keys: Option<Arc<BlockKeys>>,
) -> ListenerHandler {
    let clock = Clock { now: || Moment(7), unix: |_| 0 };
    let chain = Chain::new(vec![Link { name: "test", plugin: Box::new(plugin) }], clock);
    let block = Block { keys, ..Block::new(Arc::new(chain), Arc::new(Counts::new())) };
    let target = Target::new(Name::from_text(zone).unwrap(), Arc::new(block), 0);
    let router = Arc::new(Router::new("dns://:53", vec![target]));
    let serving = Arc::new(Serving::new(Config::new(vec![router]), clock));
    ListenerHandler::new(serving, 0, Endpoint::any(Scheme::Dns, 53))
}

/// The reply to `message` over `transport`, once it is there.
fn answer(site: &ListenerHandler, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut exchange = Box::new(Exchange::new());
    exchange.query.buffer_mut().extend_from_slice(message);
    exchange.query.client.transport = transport;
    let mut batch = [exchange];
    site.serve_batch(&mut batch);
    let [mut exchange] = batch;
    if let Some(pending) = exchange.take_pending() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        exchange = runtime.block_on(pending.resume(exchange));
    }
    exchange.outcome.is_send().then(|| exchange.reply.bytes().to_vec())
}

/// A message with this opcode about `name`; the last octets are the type.
fn message(opcode: u8, name: &[u8], qtype: u8) -> Vec<u8> {
    [&[0, 9, opcode << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, qtype, 0, 1]].concat()
}

const MINE: &[u8] = b"\x04mine\0";

#[test]
fn limits_see_every_reply() {
    let good = message(0, MINE, 1);
    let refused = message(0, b"\x05other\0", 1);
    let malformed = [&good[..4], &[0, 2], &good[6..]].concat();
    let unknown = message(2, MINE, 1);
    for (verdict, transport, tc) in [
        (Verdict::Send, Transport::Udp, Some(false)),
        (Verdict::Slip, Transport::Udp, Some(true)),
        (Verdict::Slip, Transport::Tcp, Some(false)),
        (Verdict::Drop, Transport::Udp, None),
    ] {
        let seen = Arc::new(AtomicUsize::new(0));
        let site = listener("mine.", Limiter(verdict, Arc::clone(&seen)));
        for (message, rcode) in [(&good, 0), (&refused, 5), (&malformed, 1), (&unknown, 4)] {
            let reply = answer(&site, message, transport);
            assert_eq!(reply.as_ref().map(|bytes| bytes[2] & 2 != 0), tc, "{verdict:?} {rcode}");
            let Some(reply) = reply else { continue };
            assert_eq!((&reply[..2], reply[3] & 15), ([0, 9].as_slice(), rcode), "{verdict:?}");
            let answers = u8::from(rcode == 0 && tc == Some(false));
            assert_eq!(reply[7], answers, "{verdict:?} {rcode}");
        }
        assert_eq!(seen.load(Ordering::Relaxed), 4, "{verdict:?}");
    }
}

#[test]
fn updates_reach_the_plugin_that_takes_them() {
    let taking = listener("mine.", Limiter(Verdict::Send, Arc::default()));
    let rcode = |site: &ListenerHandler, message: &[u8]| {
        let reply = answer(site, message, Transport::Tcp).unwrap();
        (reply[2] >> 3 & 15, reply[3] & 15)
    };
    let update = message(5, MINE, 6);
    assert_eq!(rcode(&taking, &update), (5, Rcode::YXDOMAIN.0 as u8));
    assert_eq!(rcode(&taking, &update[..update.len() - 1]), (5, Rcode::FORMERR.0 as u8));
    assert_eq!(rcode(&taking, &message(5, b"\x05other\0", 6)), (5, Rcode::REFUSED.0 as u8));
    let (without, _) = site(false);
    assert_eq!(rcode(&without, &update), (5, Rcode::NOTIMP.0 as u8));
}

/// Answers with this many messages, as far as the transport takes them.
struct Several(usize);

impl ServeDns for Several {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::TRANSFERS, sees_sent: true, ..Roles::default() }
    }

    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        Ok(Step::Wait)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            for number in 1..=self.0 {
                let address = Rdata::A([192, 0, 2, number as u8].into());
                reply.push(Section::Answer, NewRecord::new(query.name(), 60, address));
                if number < self.0 && query.send(reply).await.is_err() {
                    reply.fail(Failure::rcode(Rcode::NOTIMP));
                    break;
                }
            }
            Ok(Step::Done)
        })
    }
}

/// Takes as many messages as it has room for.
struct Sink(Mutex<Vec<Vec<u8>>>, usize);

impl Channel for Sink {
    fn send<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<(), Gone>> {
        let mut messages = self.0.lock().unwrap();
        let taken = messages.len() < self.1;
        if taken {
            messages.push(message.to_vec());
        }
        Box::pin(std::future::ready(if taken { Ok(()) } else { Err(Gone) }))
    }
}

/// All messages of the reply over a connection that takes `room` before the last; without room it takes one.
fn several(site: &ListenerHandler, room: Option<usize>, message: &[u8]) -> Vec<Vec<u8>> {
    let mut exchange = Box::new(Exchange::new());
    exchange.query.buffer_mut().extend_from_slice(message);
    exchange.query.client.transport = Transport::Tcp;
    let mut batch = [exchange];
    site.serve_batch(&mut batch);
    let [mut exchange] = batch;
    let sink = room.map(|room| Arc::new(Sink(Mutex::default(), room)));
    exchange.channel = sink.clone().map(|sink| sink as Arc<dyn Channel>);
    let pending = exchange.take_pending().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let exchange = runtime.block_on(pending.resume(exchange));
    let mut all = sink.map(|sink| sink.0.lock().unwrap().clone()).unwrap_or_default();
    all.push(exchange.reply.bytes().to_vec());
    all
}

#[test]
fn a_reply_of_several_messages_is_sealed_message_by_message() {
    let site = listener("mine.", Several(4));
    let several = |room, message: &[u8]| several(&site, room, message);
    let axfr = message(0, MINE, 252);
    let all = several(Some(9), &axfr);
    assert_eq!(all.len(), 4);
    for (number, message) in all.iter().enumerate() {
        assert_eq!((&message[..4], message[7]), ([0, 9, 0x80, 0].as_slice(), 1));
        assert_eq!(message.last(), Some(&(number as u8 + 1)));
    }
    // The client leaves, or takes one message only.
    assert_eq!(several(Some(2), &axfr).len(), 3);
    let single = several(None, &axfr);
    assert_eq!((single.len(), single[0][3] & 15), (1, Rcode::NOTIMP.0 as u8));
}
