//! What goes wrong between the server and the API server.

use std::time::Duration;

use serde_json::Value;
use wire::Rtype;

use crate::api::{ApiServer, Faults};
use crate::bed::{Bed, kubeconfig};
use crate::kit::PATIENCE;
use crate::objects::{headless, service, slice};

const WEB: &str = "web.NS.svc.cluster.local";
const DB: &str = "db.NS.svc.cluster.local";
const NONE: &str = "NXDOMAIN\nns cluster.local. 5 SOA ns.dns.cluster.local.";

fn web(address: &str) -> String {
    format!("NOERROR\nan {WEB}. 5 A {address}")
}

fn objects() -> Vec<Value> {
    vec![
        service("web", &["10.3.0.1"], "http/TCP/80"),
        headless("db", "sql/TCP/3306"),
        slice("db-1", "db", &["10.4.1.1"], "sql/TCP/3306"),
    ]
}

fn ready(prepare: impl Fn(&ApiServer)) -> Bed {
    let bed = Bed::own("", &objects(), prepare);
    bed.until("readiness", Bed::is_ready);
    bed
}

/// Waits until all watches run again after a fault.
fn watches(bed: &Bed) {
    bed.until("watches", |bed| {
        ["namespaces", "services", "endpointslices"]
            .iter()
            .all(|it| bed.api().was_asked(&format!("/{it} allowWatchBookmarks")))
            && bed.metric("catena_kubernetes_data_age_seconds") == 0.0
    });
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was() {
    let bed = ready(|_| {});
    bed.api().take_asked();
    bed.api().set(Faults::default());
    bed.put(service("web", &["10.3.0.2"], "http/TCP/80"));
    bed.expect(WEB, Rtype::A, &web("10.3.0.2"));
    watches(&bed);
    assert!(!bed.api().was_asked("limit="), "nothing is listed again");
    assert_eq!(bed.metric("catena_kubernetes_lists_total"), 3.0);
}

#[test]
fn what_happens_while_the_api_server_is_away_is_not_missed() {
    let bed = ready(|_| {});
    bed.api().set(Faults { is_away: true, ..Faults::default() });
    bed.until("an age", |bed| bed.metric("catena_kubernetes_data_age_seconds") > 0.0);
    bed.put(service("web", &["10.3.0.3"], "http/TCP/80"));
    bed.put(service("new", &["10.3.0.4"], "http/TCP/80"));
    bed.delete("EndpointSlice", "db-1");
    assert_eq!(bed.ask(WEB, Rtype::A), web("10.3.0.1"), "what was known is answered");
    assert_eq!(bed.ask(DB, Rtype::A), format!("NOERROR\nan {DB}. 5 A 10.4.1.1"));
    assert!(bed.is_ready());
    // Its history is gone, too.
    bed.api().compact();
    bed.api().take_asked();
    bed.api().set(Faults::default());
    bed.expect_within(Duration::from_secs(2), WEB, Rtype::A, &web("10.3.0.3"));
    bed.expect(DB, Rtype::A, NONE);
    let new = "NOERROR\nan new.NS.svc.cluster.local. 5 A 10.3.0.4";
    bed.expect("new.NS.svc.cluster.local", Rtype::A, new);
    watches(&bed);
    assert!(bed.api().was_asked("limit=500"), "everything is listed again");
    let said = bed.server.said();
    assert!(said.contains("[WARNING] plugin/kubernetes: "), "{said}");
    assert!(said.contains("changes of services arrive again"), "{said}");
}

#[test]
fn a_version_that_is_too_old_is_refused_within_the_watch() {
    let bed = ready(|_| {});
    bed.api().set(Faults { is_away: true, ..Faults::default() });
    bed.delete("Service", "web");
    bed.api().compact();
    bed.api().set(Faults { late_gone: true, ..Faults::default() });
    bed.expect(WEB, Rtype::A, NONE);
}

#[test]
fn a_bookmark_keeps_the_version_fresh() {
    let bed = ready(|_| {});
    bed.api().skip_versions(1000);
    bed.api().bookmark();
    // The bookmark goes the way of this change.
    bed.put(service("web", &["10.3.0.5"], "http/TCP/80"));
    bed.put(slice("db-1", "db", &["10.4.1.5"], "sql/TCP/3306"));
    bed.expect(WEB, Rtype::A, &web("10.3.0.5"));
    bed.expect(DB, Rtype::A, &format!("NOERROR\nan {DB}. 5 A 10.4.1.5"));
    bed.api().bookmark();
    bed.api().take_asked();
    bed.api().set(Faults::default());
    bed.api().compact();
    watches(&bed);
    assert!(!bed.api().was_asked("limit="), "no list is needed: {:?}", bed.api().take_asked());
}

#[test]
fn lists_that_break_off_begin_again() {
    let many = |bed: &Bed| {
        for number in 0..1100 {
            let address = format!("10.6.{}.{}", number / 250, number % 250 + 1);
            bed.put(service(&format!("s-{number}"), &[&address], "http/TCP/80"));
        }
    };
    let bed = ready(|_| {});
    bed.api().set(Faults { is_away: true, ..Faults::default() });
    many(&bed);
    bed.delete("Service", "web");
    bed.api().compact();
    bed.api().take_asked();
    let faults = Faults { torn_lists: 2, expired_pages: 1, ..Faults::default() };
    bed.api().set(faults);
    let last = "NOERROR\nan s-1099.NS.svc.cluster.local. 5 A 10.6.4.100";
    bed.expect("s-1099.NS.svc.cluster.local", Rtype::A, last);
    bed.expect(WEB, Rtype::A, NONE);
    assert!(bed.api().was_asked("services continue="), "page by page at first");
    // And page by page to the end.
    let bed = Bed::own("", &objects(), |api| {
        api.set(Faults { pages_from_cache: true, ..Faults::default() });
    });
    many(&bed);
    bed.expect("s-1099.NS.svc.cluster.local", Rtype::A, last);
}

#[test]
fn nothing_is_answered_before_the_first_list_is_complete() {
    let bed = Bed::own("startup_timeout 200ms", &objects(), |api| {
        api.set(Faults { forbidden: vec![("list", "endpointslices")], ..Faults::default() });
    });
    bed.until("the warning", |bed| {
        bed.server.said().contains("starting server with unsynced Kubernetes API")
    });
    bed.until("the cause", |bed| {
        let said = bed.server.said();
        said.contains("does not permit to list `endpointslices` of API group `discovery.k8s.io`")
            && said.contains("403 Forbidden")
    });
    assert!(!bed.is_ready());
    // What is known is answered, and nothing is denied.
    bed.expect(WEB, Rtype::A, &web("10.3.0.1"));
    assert!(bed.ask("none.NS.svc.cluster.local", Rtype::A).starts_with("SERVFAIL"));
    bed.api().set(Faults::default());
    let until = std::time::Instant::now() + 3 * PATIENCE;
    while !bed.is_ready() {
        assert!(std::time::Instant::now() < until, "{}", bed.server.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    bed.expect(DB, Rtype::A, &format!("NOERROR\nan {DB}. 5 A 10.4.1.1"));
    bed.expect("none.NS.svc.cluster.local", Rtype::A, NONE);
}

#[test]
fn queries_wait_for_a_slow_start() {
    let bed = Bed::own("", &objects(), |api| {
        api.set(Faults { delay: Duration::from_millis(300), ..Faults::default() });
    });
    // The first reply that comes is the right one.
    assert_eq!(bed.ask(DB, Rtype::A), format!("NOERROR\nan {DB}. 5 A 10.4.1.1"));
    assert!(bed.is_ready());
}

#[test]
fn a_token_that_is_renewed_is_used() {
    let bed = ready(|api| api.set(Faults { token: Some("one".into()), ..Faults::default() }));
    bed.api().set(Faults { token: Some("two".into()), ..Faults::default() });
    bed.until("the cause", |bed| {
        bed.server.said().contains("does not accept the credentials (401 Unauthorized)")
    });
    bed.put(service("web", &["10.3.0.6"], "http/TCP/80"));
    bed.server.scratch.write("kubeconfig", &kubeconfig(bed.api(), "two"));
    let until = 3 * PATIENCE;
    bed.expect_within(until, WEB, Rtype::A, &web("10.3.0.6"));
}

#[test]
fn answers_that_are_too_old_fail_if_asked_for() {
    let bed = Bed::own("stale 1s", &objects(), |_| {});
    bed.expect(WEB, Rtype::A, &web("10.3.0.1"));
    bed.until("readiness", Bed::is_ready);
    bed.api().set(Faults { is_away: true, ..Faults::default() });
    bed.until("failure", |bed| bed.ask(WEB, Rtype::A).starts_with("SERVFAIL"));
    bed.api().set(Faults::default());
    bed.expect(WEB, Rtype::A, &web("10.3.0.1"));
}

#[test]
fn a_new_configuration_goes_on_with_what_is_known() {
    let bed = ready(|_| {});
    watches(&bed);
    bed.api().take_asked();
    let path = bed.server.scratch.path().join("Corefile");
    let text = std::fs::read_to_string(&path).unwrap();
    bed.server
        .scratch
        .write("Corefile", &text.replace("kubeconfig kubeconfig", "kubeconfig kubeconfig\nttl 9"));
    bed.server.signal("USR1");
    let web = "NOERROR\nan web.NS.svc.cluster.local. 9 A 10.3.0.1";
    bed.expect(WEB, Rtype::A, web);
    watches(&bed);
    assert!(!bed.api().was_asked("limit="), "nothing is listed again");
    bed.put(service("web", &["10.3.0.8"], "http/TCP/80"));
    bed.expect(WEB, Rtype::A, &web.replace("10.3.0.1", "10.3.0.8"));
}
