//! Answers every query with one fixed A record: what the sockets alone cost.
//!
//! `echo PORT [WORKERS]`; compare with a bare recvmmsg/sendmmsg loop in C.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use exchange::{Exchange, Outcome};
use net::{Handler, Limits, ListenSpec, Workers};
use wire::Section;

const RECORD: [u8; 16] = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0x0E, 0x10, 0, 4, 192, 0, 2, 1];

struct Echo;

impl Handler for Echo {
    fn serve_batch(&self, slots: &mut [Box<Exchange>]) {
        for slot in slots {
            let Exchange { query, reply, outcome, .. } = &mut **slot;
            if query.bytes().len() < 17 {
                continue;
            }
            reply.begin_rejection(&query.bytes()[12..]);
            reply.push_raw(Section::Answer, &[], &RECORD, 1, RECORD.len());
            reply.seal(query.id(), 0x8500);
            *outcome = Outcome::Send;
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let port = words.next().and_then(|word| word.parse().ok()).unwrap_or(5300);
    let count = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    let ip =
        words.next().and_then(|word| word.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let workers = Workers::start(count, Limits::default())?;
    let _listener = workers.listen(&ListenSpec::dns(SocketAddr::new(ip, port)), Arc::new(Echo))?;
    loop {
        std::thread::park();
    }
}
