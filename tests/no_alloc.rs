//! The fast path allocates nothing: a zone answer and a cache hit through a whole chain, rewritten or
//! not.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catena::server::sim::{Ask, Sim};
use corefile::OsLoader;
use exchange::{Exchange, Query};
use net::client::{Network, Simulated};
use wire::{Name, Rdata, Reply, Rtype, Transport};

/// An upstream that knows two addresses for every name.
struct Upstream;

impl Simulated for Upstream {
    fn udp(&self, _: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let (mut query, mut reply) = (Query::new(), Reply::new());
        query.receive(message).unwrap();
        reply.begin(&query);
        for last in [1, 2] {
            reply.answer(300, Rdata::A([192, 0, 2, last].into()));
        }
        reply.seal(query.id(), 0x8180);
        vec![(Duration::from_millis(1), reply.bytes().to_vec())]
    }

    fn tcp(&self, _: SocketAddr, _: &[u8]) -> Option<(Duration, Vec<u8>)> {
        None
    }
}

fn question(name: &str, qtype: Rtype) -> Vec<u8> {
    let mut bytes = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(Name::from_text(name).unwrap().as_wire());
    bytes.extend_from_slice(&qtype.0.to_be_bytes());
    bytes.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// Asks each question once, and then a thousand times in batches; returns the allocations of the
/// latter.
fn allocations(corefile: &str, questions: &[Vec<u8>]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut sim = Sim::new(plugins::REGISTRY, Network::Simulated(Arc::new(Upstream)));
        sim.root = env!("CARGO_MANIFEST_DIR").into();
        sim.load("Corefile", corefile, &OsLoader, false).unwrap_or_else(|wrong| panic!("{wrong}"));
        // Zones are read on another thread.
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(2));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let peer = SocketAddr::from(([127, 0, 0, 1], 4242));
        fn ask(message: &[u8], peer: SocketAddr) -> Ask<'_> {
            Ask { message, peer, transport: Transport::Udp, port: 53 }
        }
        for message in questions {
            let reply = sim.ask(&ask(message, peer)).await.expect("an answer");
            assert_eq!(reply[3] & 15, 0, "NOERROR");
            assert!(reply[7] > 0, "there are answers");
        }
        let handler = sim.handler(53).unwrap();
        let mut slots: Vec<Box<Exchange>> = (0..16).map(|_| Box::new(Exchange::new())).collect();
        let round = |slots: &mut [Box<Exchange>]| {
            for (slot, message) in slots.iter_mut().zip(questions.iter().cycle()) {
                Sim::fill(slot, &ask(message, peer));
            }
            handler.serve_batch(slots);
            assert!(slots.iter().all(|slot| slot.outcome.is_send()), "all answered at once");
        };
        // Buffers grow to their size.
        for _ in 0..20 {
            round(&mut slots);
        }
        let counted = allocation_counter::measure(|| {
            for _ in 0..1000 {
                round(&mut slots);
            }
        });
        counted.count_total
    })
}

#[test]
fn a_zone_answer_allocates_nothing() {
    let corefile = "example.org {\n errors\n prometheus localhost:0\n loadbalance\n cache\n \
                    file zones/example.org.zone\n}\n";
    let questions = [
        question("www.example.org.", Rtype::A),
        question("example.org.", Rtype::MX),
        question("ftp.example.org.", Rtype::A),
        question("x.apps.example.org.", Rtype::A),
    ];
    assert_eq!(allocations(corefile, &questions), 0);
    // And without a cache in front: the zone itself.
    let corefile = corefile.replace(" cache\n", "");
    assert_eq!(allocations(&corefile, &questions), 0);
}

#[test]
fn records_of_the_corefile_allocate_nothing() {
    let corefile = "example.org {\n errors\n records {\n @ NS ns\n ns A 192.0.2.53\n @ MX 10 www\n \
                    www A 192.0.2.1\n ftp CNAME www\n *.apps A 192.0.2.2\n fallthrough\n }\n}\n";
    let questions = [
        question("www.example.org.", Rtype::A),
        question("example.org.", Rtype::MX),
        question("ftp.example.org.", Rtype::A),
        question("x.apps.example.org.", Rtype::A),
    ];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn filtered_replies_allocate_nothing() {
    let corefile = "example.org {\n filter {\n aaaa only_with_a\n }\n records {\n @ MX 10 www\n \
                    www A 192.0.2.1\n www AAAA 2001:db8::1\n \
                    web HTTPS 1 . ipv4hint=192.0.2.1 ipv6hint=2001:db8::1\n }\n}\n";
    let questions = [
        question("www.example.org.", Rtype::A),
        question("example.org.", Rtype::MX),
        question("web.example.org.", Rtype::HTTPS),
    ];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn the_usual_conditions_of_a_view_allocate_nothing() {
    let corefile = "example.org {\n view other {\n expr not incidr(client_ip(), '127.0.0.0/8') or \
                    type() == 'TXT'\n }\n whoami\n}\n\
                    example.org {\n view local {\n expr type() in ['A', 'MX'] and proto() == 'udp'\n \
                    expr name() endsWith '.org.' and name() matches '^(www|ftp)[.]'\n \
                    expr \"any(['127.0.0.0/8', '::1/128'], incidr(client_ip(), #))\"\n }\n \
                    prometheus localhost:0\n file zones/example.org.zone\n}\n";
    let questions =
        [question("www.example.org.", Rtype::A), question("ftp.example.org.", Rtype::A)];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn a_cache_hit_allocates_nothing() {
    let corefile =
        ". {\n errors\n prometheus localhost:0\n loadbalance\n cache\n forward . 192.0.2.53\n}\n";
    let questions =
        [question("www.example.net.", Rtype::A), question("WWW.other.example.", Rtype::A)];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn a_query_that_is_not_traced_allocates_nothing() {
    let corefile = "example.org {\n trace {\n every 1000000\n }\n errors\n prometheus localhost:0\n \
                    file zones/example.org.zone\n}\n";
    let questions = [question("www.example.org.", Rtype::A)];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn a_template_that_is_always_the_same_allocates_nothing() {
    let miss = |number: usize| {
        format!(
            " template IN A {{\n match ^ip{number}-(\\d+)[.]\n answer \"x. A 192.0.2.{{{{ index .Match 1 \
             }}}}\"\n fallthrough\n }}\n"
        )
    };
    let misses: String = (0..100).map(miss).collect();
    let corefile = format!(
        "example.org {{\n errors\n prometheus localhost:0\n{misses} template IN MX {{\n match ^www[.]\n \
         answer \"www.example.org. 60 MX 10 a.\"\n additional \"a. 60 A 192.0.2.1\"\n ederror 29 \
         synthesized\n fallthrough\n }}\n file zones/example.org.zone\n}}\n"
    );
    let questions = [
        question("www.example.org.", Rtype::MX),
        question("www.example.org.", Rtype::A),
        question("ftp.example.org.", Rtype::A),
    ];
    assert_eq!(allocations(&corefile, &questions), 0);
}

#[test]
fn a_rewritten_cache_hit_allocates_nothing() {
    let corefile = ". {\n errors\n prometheus localhost:0\n loadbalance\n header {\n response set ra\n }\n minimal\n \
                    rewrite continue name suffix .corp.example .cluster.local answer auto\n \
                    rewrite name exact a.cluster.local b.cluster.local\n \
                    rewrite ttl suffix .net. 30\n cache\n forward . 192.0.2.53\n}\n";
    let questions = [
        question("a.corp.example.", Rtype::A),
        question("B.corp.example.", Rtype::A),
        question("www.example.net.", Rtype::A),
        question("www.example.org.", Rtype::A),
    ];
    assert_eq!(allocations(corefile, &questions), 0);
}

#[test]
fn many_rules_that_match_nothing_allocate_nothing() {
    let rules = |number: usize| {
        format!(
            " rewrite name exact old{number}.example.org. new.example.org.\n \
             rewrite name suffix .dc{number}.example.org. .example.org. answer auto\n \
             rewrite name substring -staging{number}- -test-\n \
             rewrite name regex ^([a-z]+)-pod{number}[.](.*)$ {{1}}.{{2}}\n \
             template IN A tenant{number}.example.org {{\n answer \"x. 60 A 192.0.2.1\"\n \
             fallthrough\n }}\n template IN A {{\n match ^ip{number}-(\\d+)[.]\n answer \"x. 60 A \
             192.0.2.{{{{ index .Match 1 }}}}\"\n fallthrough\n }}\n"
        )
    };
    let rules: String = (0..50).map(rules).collect();
    let corefile = format!(
        "example.org {{\n errors\n prometheus localhost:0\n{rules} file zones/example.org.zone\n}}\n"
    );
    let questions = [
        question("www.example.org.", Rtype::A),
        question("ftp.example.org.", Rtype::A),
        question("x.apps.example.org.", Rtype::A),
    ];
    assert_eq!(allocations(&corefile, &questions), 0);
}
