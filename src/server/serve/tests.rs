//! Plugins that panic, through the door that every transport uses.

use std::sync::Mutex;

use chain::{Clock, Link, Next, ServeDns, Served, Step};
use wire::{Moment, Name, Rtype};

use super::*;

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

fn site(stacktrace: bool) -> Site {
    let clock = Clock { now: || Moment(7), unix: |_| 0 };
    let links = vec![Link { name: "fragile", plugin: Box::new(Fragile) }];
    let chain = Arc::new(Chain::new(links, clock));
    let target = Target { stacktrace, ..Target::new(Name::root(), chain, 0) };
    let router = Arc::new(Router::new("dns://:53", vec![target]));
    Site { serving: Arc::new(Serving::new(Config::new(vec![router]), clock)), number: 0 }
}

fn slot(name: &str) -> Box<Slot> {
    let mut slot = Box::new(Slot::new());
    let name = Name::from_text(name).unwrap();
    let mut question = Query::new();
    question.ask_on_behalf(&Query::new(), name.as_wire(), Rtype::A, false);
    slot.query.buffer_mut().extend_from_slice(question.bytes());
    slot
}

fn rcode(slot: &Slot) -> Rcode {
    assert_eq!(slot.fate, Fate::Send);
    Rcode(u16::from(slot.reply.bytes()[3] & 0x0F))
}

/// Asks all in one batch and waits for those that wait: the rcodes, what was logged and how many
/// panics were counted.
async fn ask(site: &Site, names: &[&str]) -> (Vec<Rcode>, String, u64) {
    let panics = site.serving.counters.panics.get();
    telemetry::log::capture(true);
    let mut slots: Vec<Box<Slot>> = names.iter().map(|name| slot(name)).collect();
    site.serve_batch(&mut slots);
    let mut rcodes = Vec::new();
    for mut slot in slots {
        if slot.fate == Fate::Wait {
            slot = site.resume(slot).await;
        }
        rcodes.push(rcode(&slot));
    }
    // Renewals run on their own.
    while site.serving.counters.refreshes.in_use() > 0 {
        tokio::task::yield_now().await;
    }
    let log = String::from_utf8(telemetry::log::capture(false)).unwrap();
    (rcodes, log, site.serving.counters.panics.get() - panics)
}

/// Runs [`ask`] alone.
fn ask_alone(stacktrace: bool, names: &[&str]) -> (Vec<Rcode>, String, u64) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ask(&site(stacktrace), names))
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
        assert!(log.lines().skip(1).any(|line| line.contains("src/chain/run.rs:")), "{log}");
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
