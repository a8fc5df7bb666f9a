//! Upstreams of scenarios on real sockets.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use std::io::{Read, Write};

use net::client::Simulated;

use crate::upstream::World;

/// How often a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// An upstream of a scenario, as it is called there and where it really is.
pub(crate) struct Peer {
    pub(crate) named: SocketAddr,
    pub(crate) at: SocketAddr,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn start(named: SocketAddr, world: &Arc<World>) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let at = udp.local_addr().unwrap();
        udp.set_read_timeout(Some(LOOK)).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let threads = vec![
            std::thread::spawn({
                let (world, end) = (Arc::clone(world), Arc::clone(&end));
                move || datagrams(&udp, named, &world, &end)
            }),
            std::thread::spawn({
                let (world, end) = (Arc::clone(world), Arc::clone(&end));
                move || connections(&tcp, named, &world, &end)
            }),
        ];
        Self { named, at, end, threads }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn datagrams(socket: &UdpSocket, named: SocketAddr, world: &World, end: &AtomicBool) {
    let mut buffer = [0; 65_535];
    while !end.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let mut waited = Duration::ZERO;
        for (after, reply) in world.udp(named, &buffer[..len]) {
            std::thread::sleep(after.saturating_sub(waited));
            waited = waited.max(after);
            let _ = socket.send_to(&reply, from);
        }
    }
}

/// Each connection has a thread: clients keep theirs open and may have several.
fn connections(listener: &TcpListener, named: SocketAddr, world: &World, end: &AtomicBool) {
    std::thread::scope(|threads| {
        while !end.load(Ordering::Relaxed) {
            if let Ok((stream, _)) = listener.accept() {
                threads.spawn(|| connection(stream, named, world, end));
            } else {
                std::thread::sleep(LOOK);
            }
        }
    });
}

fn connection(mut stream: TcpStream, named: SocketAddr, world: &World, end: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut len = [0; 2];
    while !end.load(Ordering::Relaxed) && stream.read_exact(&mut len).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        if stream.read_exact(&mut message).is_err() {
            break;
        }
        let Some(replies) = world.tcp_messages(named, &message) else { break };
        for (after, reply) in replies {
            std::thread::sleep(after);
            let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }
}
