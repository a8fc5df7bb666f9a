//! Chains of small plugins, run to their end.

use super::*;
use crate::{Limit, Sees};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::{Moment, Rcode, Rtype};

fn clock() -> Clock {
    Clock { now: || Moment(5), unix: |_| 0 }
}

fn chain(plugins: Vec<Box<dyn ServeDns>>) -> Chain {
    let links = plugins.into_iter().map(|plugin| Link { name: "test", plugin }).collect();
    Chain::new(links, clock())
}

/// Answers with its rcode, at once or after waiting.
struct Source(Rcode, bool);
impl ServeDns for Source {
    fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
        if self.1 {
            return Ok(Step::Wait);
        }
        reply.set_rcode(self.0);
        Ok(Step::Done)
    }
    fn serve_dns<'a>(
        &'a self,
        _: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            std::future::ready(()).await;
            reply.set_rcode(self.0);
            Ok(Step::Done)
        })
    }
}

/// Marks the reply on the way out, to show the order.
struct Mark(u16);
impl ServeDns for Mark {
    fn on_reply(&self, _: &mut Query, reply: &mut Reply) {
        reply.opt.push(self.0, &[]);
    }
}

/// Runs the rest twice.
struct Twice;
impl ServeDns for Twice {
    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        Ok(Step::Wait)
    }
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            next.run(query, reply).await;
            next.run(query, reply).await;
            Ok(Step::Done)
        })
    }
}

/// Answers from memory, and renews it in the background.
struct Memory;
impl ServeDns for Memory {
    fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
        reply.set_rcode(Rcode::NXDOMAIN);
        Ok(Step::Refresh)
    }
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        next: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            assert!(query.state.refresh);
            next.run(query, reply).await;
            Ok(Step::Done)
        })
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Runs the query to its end; where it had to wait.
fn finish(chain: &Chain, query: &mut Query, reply: &mut Reply) -> Option<Place> {
    let place = chain.run(query, reply);
    if let Some(place) = place {
        wait(chain.resume(place, query, reply));
    }
    place
}

fn marks(reply: &Reply) -> Vec<u16> {
    reply.opt.options().map(|option| option.code).collect()
}

#[test]
fn replies_pass_the_plugins_innermost_first() {
    for waits in [false, true] {
        let source = Source(Rcode::NXDOMAIN, waits);
        let chain = chain(vec![Box::new(Mark(1)), Box::new(Mark(2)), Box::new(source)]);
        let (mut query, mut reply) = (Query::new(), Reply::new());
        finish(&chain, &mut query, &mut reply);
        assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
        assert_eq!(marks(&reply), [2, 1]);
    }
}

#[test]
fn a_plugin_that_waits_may_ask_the_rest_again() {
    let chain = chain(vec![
        Box::new(Mark(1)),
        Box::new(Twice),
        Box::new(Mark(2)),
        Box::new(Source(Rcode::NOERROR, true)),
    ]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    assert_eq!(finish(&chain, &mut query, &mut reply), Some(Place::In(1)));
    assert_eq!(marks(&reply), [2, 2, 1]);
    assert_eq!(query.client.now, Moment(5));
}

#[test]
fn a_renewal_behind_a_plugin_that_waits_is_handed_on() {
    let chain = chain(vec![
        Box::new(Mark(1)),
        Box::new(Twice),
        Box::new(Memory),
        Box::new(Source(Rcode::REFUSED, true)),
    ]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.receive(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
    let place = Place::In(1);
    assert_eq!(finish(&chain, &mut query, &mut reply), Some(place));
    assert_eq!(reply.rcode(), Rcode::NXDOMAIN);
    let renewal = query.state.renewal.take().unwrap();
    assert_eq!((renewal.link, renewal.query.question()), (2, query.question()));
    wait(chain.refresh(2, &mut query, &mut reply));
    assert_eq!(reply.rcode(), Rcode::REFUSED);
}

/// Waits on the way out, then marks the reply.
struct Late;
impl ServeDns for Late {
    fn roles(&self) -> Roles<'_> {
        Roles { waits_on_reply: true, ..Default::default() }
    }
    fn must_wait(&self, _: &mut Query, reply: &Reply) -> bool {
        reply.rcode() == Rcode::NXDOMAIN
    }
    fn finish_reply<'a>(&'a self, _: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move { reply.opt.push(7, &[]) })
    }
}

#[test]
fn a_plugin_may_wait_on_the_way_out() {
    for waits in [false, true] {
        for (rcode, expected) in [(Rcode::NXDOMAIN, vec![3, 7, 1]), (Rcode::NOERROR, vec![3, 1])] {
            let chain = chain(vec![
                Box::new(Mark(1)),
                Box::new(Late),
                Box::new(Mark(3)),
                Box::new(Source(rcode, waits)),
            ]);
            let (mut query, mut reply) = (Query::new(), Reply::new());
            let ran = finish(&chain, &mut query, &mut reply);
            let late = rcode == Rcode::NXDOMAIN;
            match (waits, late) {
                (true, _) => assert_eq!(ran, Some(Place::In(3))),
                (false, true) => assert_eq!(ran, Some(Place::Out(1))),
                (false, false) => assert_eq!(ran, None),
            }
            assert_eq!(marks(&reply), expected);
        }
    }
}

/// Never answers.
struct Never;
impl ServeDns for Never {
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        query.push_original();
        query.set_qtype(Rtype::MX);
        query.state.deadline = Some(Moment(5));
        Ok(Step::Wait)
    }
    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        _: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            query.push_original();
            query.set_qtype(Rtype::TXT);
            std::future::pending().await
        })
    }
}

#[test]
fn a_query_ends_at_its_deadline() {
    let chain = chain(vec![Box::new(Mark(1)), Box::new(Never)]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.receive(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
    let Some(place) = chain.run(&mut query, &mut reply) else { panic!("it waits") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(chain.resume(place, &mut query, &mut reply));
    assert_eq!(reply.rcode(), Rcode::SERVFAIL);
    assert_eq!(marks(&reply), [1]);
    assert_eq!((query.qtype(), query.originals()), (Rtype::MX, 1));
}

#[test]
fn falling_off_the_end_is_a_failure_with_coredns_words() {
    let chain = chain(vec![Box::new(Mark(1))]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    assert_eq!(finish(&chain, &mut query, &mut reply), None);
    assert_eq!(reply.rcode(), Rcode::SERVFAIL);
    let cause = reply.failure().and_then(|f| f.cause.as_ref()).unwrap().to_string();
    assert_eq!(cause, "plugin/test: no next plugin found");
    assert_eq!(marks(&reply), [1]);
}

/// Counts what it sees, and takes the messages that `takes` says.
struct Observer {
    sees: Sees,
    takes: Option<Opcode>,
    seen: Arc<AtomicUsize>,
}

impl ServeDns for Observer {
    fn roles(&self) -> Roles<'_> {
        Roles {
            sees: self.sees,
            notify: (self.takes == Some(Opcode::NOTIFY)).then_some(self),
            update: (self.takes == Some(Opcode::UPDATE)).then_some(self),
            ..Roles::default()
        }
    }
    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        self.seen.fetch_add(1, Ordering::Relaxed);
        Ok(Step::Next)
    }
    fn on_reply(&self, _: &mut Query, _: &mut Reply) {
        self.seen.fetch_add(100, Ordering::Relaxed);
    }
}

impl Observer {
    /// Acknowledges what is for `mine.`, and passes everything else on.
    fn take<'a>(&self, query: &Query, reply: &'a mut Reply) -> BoxFuture<'a, Served> {
        let mine = query.name() == b"\x04mine\0";
        Box::pin(async move {
            reply.set_authoritative(mine);
            Ok(if mine { Step::Done } else { Step::Next })
        })
    }
}

impl OnNotify for Observer {
    fn on_notify<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        self.take(query, reply)
    }
}

impl OnUpdate for Observer {
    fn on_update<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
    ) -> BoxFuture<'a, Served> {
        self.take(query, reply)
    }
}

/// The rcode, AA, and what the observer before a plugin that answers everything saw.
fn observe(
    sees: Sees,
    takes: Option<Opcode>,
    opcode: Opcode,
    name: &[u8],
    qtype: Rtype,
) -> (Rcode, bool, usize) {
    let seen = Arc::new(AtomicUsize::new(0));
    let observer = Observer { sees, takes, seen: Arc::clone(&seen) };
    let chain = chain(vec![Box::new(observer), Box::new(Source(Rcode::NXDOMAIN, false))]);
    let mut message = vec![0, 0, opcode.0 << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name);
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let (mut query, mut reply) = (Query::new(), Reply::new());
    query.buffer_mut().extend_from_slice(&message);
    query.parse_update().or_else(|_| query.parse()).unwrap();
    reply.begin(&query);
    finish(&chain, &mut query, &mut reply);
    let rcode = reply.failure().map_or_else(|| reply.rcode(), |failure| failure.rcode);
    (rcode, reply.authoritative(), seen.load(Ordering::Relaxed))
}

#[test]
fn hooks_are_called_for_questions_unless_a_plugin_says_more() {
    let axfr = |sees| observe(sees, None, Opcode::QUERY, b"\0", Rtype::AXFR);
    let message = |sees, opcode| observe(sees, None, opcode, b"\0", Rtype::SOA);
    assert_eq!(message(Sees::QUESTIONS, Opcode::QUERY), (Rcode::NXDOMAIN, false, 101));
    assert_eq!(axfr(Sees::QUESTIONS), (Rcode::REFUSED, false, 0));
    assert_eq!(axfr(Sees::TRANSFERS), (Rcode::REFUSED, false, 101));
    assert_eq!(message(Sees::TRANSFERS, Opcode::NOTIFY), (Rcode::NOTIMP, false, 0));
    assert_eq!(message(Sees::FORWARDABLE, Opcode::NOTIFY), (Rcode::NOTIMP, false, 101));
    assert_eq!(message(Sees::FORWARDABLE, Opcode::UPDATE), (Rcode::NOTIMP, false, 0));
    assert_eq!(message(Sees::ALL, Opcode::UPDATE), (Rcode::NOTIMP, false, 101));
}

#[test]
fn notifications_and_updates_reach_the_plugins_that_take_them() {
    for opcode in [Opcode::NOTIFY, Opcode::UPDATE] {
        let ask = |takes, name: &[u8]| observe(Sees::QUESTIONS, takes, opcode, name, Rtype::SOA);
        assert_eq!(ask(Some(opcode), b"\x04mine\0"), (Rcode::NOERROR, true, 0));
        // A server that takes updates, but not of this zone, is not its authority (RFC 2136 section 3.1.1).
        let outside = if opcode == Opcode::UPDATE { Rcode::NOTAUTH } else { Rcode::NOTIMP };
        assert_eq!(ask(Some(opcode), b"\x05other\0"), (outside, false, 0));
        assert_eq!(ask(None, b"\x04mine\0"), (Rcode::NOTIMP, false, 0));
    }
}

/// Limits every reply in the same way.
struct Limiter(Verdict);
impl ServeDns for Limiter {
    fn roles(&self) -> Roles<'_> {
        Roles { limit: Some(self), ..Roles::default() }
    }
}
impl Limit for Limiter {
    fn limit(&self, _: &Query, _: &Reply) -> Verdict {
        self.0
    }
}

#[test]
fn the_first_limit_that_objects_decides() {
    let (query, reply) = (Query::new(), Reply::new());
    for (verdicts, expected) in [
        (vec![], Verdict::Send),
        (vec![Verdict::Send, Verdict::Send], Verdict::Send),
        (vec![Verdict::Send, Verdict::Slip, Verdict::Drop], Verdict::Slip),
        (vec![Verdict::Drop, Verdict::Slip], Verdict::Drop),
    ] {
        let limits = !verdicts.is_empty();
        let plugins = verdicts.into_iter().map(|it| Box::new(Limiter(it)) as Box<dyn ServeDns>);
        let chain = chain(plugins.collect());
        assert_eq!((chain.limits(), chain.watches_sent()), (limits, limits));
        assert_eq!(chain.limit(&query, &reply), expected);
    }
}
