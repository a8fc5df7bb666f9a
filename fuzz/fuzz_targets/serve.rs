//! The whole server without sockets: any bytes, any upstream; replies carry QR and the query's id.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catena::server::sim::{Ask, Sim};
use chain::Entry;
use corefile::OsLoader;
use libfuzzer_sys::fuzz_target;
use net::client::{Network, Simulated};
use wire::Transport;

/// Lines of plugins that this build lacks are left out. Paths are relative to the repository.
const COREFILE: &str = "example.org {\nfile zones/example.org.zone\nminimal\nnsid\n}\n\
    home.arpa {\nhosts zones/hosts.example\nwhoami\n}\nerr {\nerratic\n}\n\
    . {\ncache\nany\nchaos\nbufsize 1232\nloadbalance\nforward . 192.0.2.53\n}\n";

thread_local! {
    static SIM: RefCell<Option<Sim>> = const { RefCell::new(None) };
    static UPSTREAM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Answers with the query's header and question and whatever the input says behind them.
struct Upstream;

impl Simulated for Upstream {
    fn udp(&self, _: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let end = wire::Message::new(message).and_then(|view| view.questions_end());
        let mut reply = message[..end.expect("forward sends what can be read")].to_vec();
        UPSTREAM.with_borrow(|bytes| {
            let (head, tail) = bytes.split_at(bytes.len().min(10));
            reply[2..2 + head.len()].copy_from_slice(head);
            reply.extend_from_slice(tail);
        });
        reply[2] |= 0x80;
        reply[4..6].copy_from_slice(&[0, 1]);
        vec![(Duration::from_millis(1), reply)]
    }

    fn tcp(&self, to: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)> {
        self.udp(to, message).pop()
    }
}

// The input: how long the query is (two bytes), the query, the upstream's answer.
fuzz_target!(|bytes: &[u8]| {
    let Some((&[high, low], rest)) = bytes.split_first_chunk() else { return };
    let len = usize::from(high & 3) << 8 | usize::from(low);
    let (message, upstream) = rest.split_at(rest.len().min(len));
    UPSTREAM.set(upstream.to_vec());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let sim = SIM.take().unwrap_or_else(load);
        let transport = if high & 4 == 0 { Transport::Udp } else { Transport::Tcp };
        let peer = SocketAddr::from(([192, 0, 2, 7], 4000));
        if let Some(reply) = sim.ask(&Ask { message, peer, transport, port: 53 }).await {
            assert!(reply.len() >= wire::HEADER && reply[2] & 0x80 != 0, "a reply: {reply:?}");
            assert_eq!(reply[..2], message[..2], "the query's id");
            let walked = wire::Message::new(&reply).expect("a header").records().all(|r| r.is_ok());
            assert!(walked, "every record is there: {reply:?}");
        }
        SIM.set(Some(sim));
    });
});

fn load() -> Sim {
    let mut sim = Sim::new(plugins::REGISTRY, Network::Simulated(Arc::new(Upstream)));
    sim.root = concat!(env!("CARGO_MANIFEST_DIR"), "/..").into();
    let built = |line: &&str| {
        let word = line.split(' ').next().unwrap_or_default();
        line.contains(['{', '}'])
            || plugins::REGISTRY
                .iter()
                .any(|it| matches!(it, Entry::Built(kind) if kind.name == word))
    };
    let text: String = COREFILE.lines().filter(built).map(|line| format!("{line}\n")).collect();
    sim.load("Corefile", &text, &OsLoader, false).expect("it loads");
    sim
}
