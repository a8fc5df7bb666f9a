//! Questions for the SOA record and NOTIFY, over a network that a test makes up, in simulated time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::client::{Network, Simulated};
use tokio::time::Instant;
use wire::{Opcode, Rcode, Rtype};

use super::kit::{ZONE, a, asked, lines, name, response, soa, zone_of};
use crate::{Client, Fault, Limits, Outcome, Peer, Trouble};

/// What comes back over UDP for a message and the number of its attempt; nothing: it is lost.
type Answers = dyn Fn(&[u8], usize) -> Option<Vec<u8>> + Send + Sync;

/// A server made up of its answers.
struct World {
    udp: Box<Answers>,
    tcp: Option<Vec<Vec<u8>>>,
    attempts: Mutex<Vec<Instant>>,
}

impl World {
    fn new(udp: impl Fn(&[u8], usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { udp: Box::new(udp), tcp: None, attempts: Mutex::default() }
    }
}

impl Simulated for World {
    fn udp(&self, _: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let mut attempts = self.attempts.lock().unwrap();
        attempts.push(Instant::now());
        let reply = (self.udp)(message, attempts.len());
        reply.map(|reply| (Duration::from_millis(10), reply)).into_iter().collect()
    }

    fn tcp(&self, _: SocketAddr, _: &[u8]) -> Option<(Duration, Vec<u8>)> {
        None
    }

    fn tcp_messages(&self, _: SocketAddr, message: &[u8]) -> Option<Vec<(Duration, Vec<u8>)>> {
        let (id, rtype) = asked(message);
        let records = self.tcp.as_ref()?;
        // One record a message, one a second.
        let one = |(at, record): (u64, &Vec<u8>)| {
            let question = (at == 0).then_some(rtype);
            (Duration::from_secs(at), response(id, question, std::slice::from_ref(record)))
        };
        Some((0..).zip(records).map(one).collect())
    }
}

fn client(world: World) -> (Client, Arc<World>) {
    let world = Arc::new(world);
    let network = Network::Simulated(Arc::clone(&world) as Arc<dyn Simulated>);
    let peer = Peer::new("192.0.2.53:53".parse().unwrap());
    (Client::new(network, peer, Limits::default()), world)
}

/// When the attempts were made, in milliseconds after the first one.
fn times(world: &World) -> Vec<u128> {
    let attempts = world.attempts.lock().unwrap();
    attempts.iter().map(|at| (*at - attempts[0]).as_millis()).collect()
}

fn reply_soa(message: &[u8], serial: u32) -> Vec<u8> {
    response(asked(message).0, Some(Rtype::SOA), &[soa(serial)])
}

#[tokio::test(start_paused = true)]
async fn the_soa_record_is_asked_for_over_udp_until_it_comes() {
    let (client, world) =
        client(World::new(|message, attempt| (attempt == 3).then(|| reply_soa(message, 8))));
    let found = client.soa(&name(ZONE)).await.unwrap();
    assert_eq!((found.serial, found.refresh, found.expire), (8, 3600, 86400));
    assert_eq!(times(&world), [0, 2000, 6000]);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_or_missing_reply_is_fetched_over_tcp() {
    for silent in [false, true] {
        let truncated = move |message: &[u8], _| {
            let mut reply = response(asked(message).0, Some(Rtype::SOA), &[]);
            reply[2] |= 2;
            (!silent).then_some(reply)
        };
        let world = World { tcp: Some(vec![soa(9)]), ..World::new(truncated) };
        let (client, world) = client(world);
        assert_eq!(client.soa(&name(ZONE)).await.unwrap().serial, 9);
        assert_eq!(times(&world).len(), if silent { 3 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_authority_does_not_count() {
    let (client, _) = client(World::new(|message, _| {
        let mut reply = reply_soa(message, 8);
        reply[2] = 0x80;
        Some(reply)
    }));
    let error = client.soa(&name(ZONE)).await.unwrap_err();
    assert!(matches!(error.trouble, Trouble::Fault(Fault::NotAuthoritative)), "{error}");
    assert_eq!(
        error.to_string(),
        "zone `example.org.` at 192.0.2.53:53: the server is not authoritative for the zone"
    );
}

#[tokio::test(start_paused = true)]
async fn replies_to_others_are_not_heard() {
    let (client, world) = client(World::new(|message, attempt| {
        let mut reply = reply_soa(message, 8);
        match attempt {
            1 => reply[1] ^= 1,
            2 => reply[13] ^= 1,
            _ => {}
        }
        Some(reply)
    }));
    assert_eq!(client.soa(&name(ZONE)).await.unwrap().serial, 8);
    assert_eq!(times(&world).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_comes_slowly_comes() {
    let records = [soa(5), a("www.example.org.", 1), a("example.org.", 2), soa(5)];
    let world = World { tcp: Some(records.to_vec()), ..World::new(|_, _| None) };
    let (client, _) = client(world);
    let begun = Instant::now();
    let received = client.axfr(&name(ZONE), None, 0).await.unwrap();
    let Outcome::Zone(zone) = received.outcome else { panic!("no zone") };
    assert_eq!(lines(&zone), lines(&zone_of(&records[..3])));
    assert_eq!((received.tally.messages, received.tally.records), (4, 4));
    assert_eq!(client.progress().tally().records, 4);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

fn acknowledged(message: &[u8], rcode: Rcode) -> Vec<u8> {
    let mut reply = response(asked(message).0, Some(Rtype::SOA), &[]);
    reply[2] |= Opcode::NOTIFY.0 << 3;
    reply[3] = rcode.header_bits();
    reply
}

#[tokio::test(start_paused = true)]
async fn a_notify_is_sent_and_acknowledged() {
    let record =
        crate::read_soa(zone::RecordList::from_wire(soa(12)).unwrap().iter().next().unwrap());
    let record = record.unwrap();
    let (client, world) = client(World::new(|message, _| {
        // Opcode NOTIFY, with authority; the new SOA record is the answer.
        assert_eq!((message[2], &message[4..12]), (0x24, &[0, 1, 0, 1, 0, 0, 0, 0][..]));
        let answer = wire::Message::new(message).unwrap().records().next().unwrap().unwrap();
        assert_eq!((answer.rtype, answer.rdata().len()), (Rtype::SOA, soa(12).len() - 23));
        Some(acknowledged(message, Rcode::NOERROR))
    }));
    client.notify(&name(ZONE), &record).await.unwrap();
    assert_eq!(times(&world).len(), 1);

    // A reply to an ordinary question is none.
    for reply in [None, Some(12)] {
        let (client, world) = self::client(World::new(move |message, _| {
            reply.map(|serial| reply_soa(message, serial))
        }));
        let begun = Instant::now();
        let error = client.notify(&name(ZONE), &record).await.unwrap_err();
        assert!(error.to_string().contains("i/o timeout"), "{error}");
        assert_eq!((times(&world).len(), begun.elapsed().as_secs()), (1, 2));
    }

    let (client, _) =
        self::client(World::new(|message, _| Some(acknowledged(message, Rcode::NOTAUTH))));
    let error = client.notify(&name(ZONE), &record).await.unwrap_err();
    assert!(matches!(error.trouble, Trouble::Fault(Fault::Rcode(Rcode::NOTAUTH))), "{error}");
}

#[test]
fn futures_may_move_between_threads() {
    fn movable<T: Send>(_: T) {}
    let (client, _) = client(World::new(|_, _| None));
    let (zone, soa) = (name(ZONE), zone_of(&[soa(1)]).soa());
    movable(client.axfr(&zone, None, 0));
    movable(client.notify(&zone, &soa));
}
