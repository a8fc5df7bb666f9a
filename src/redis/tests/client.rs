//! The client of Redis against servers that answer late, in pieces, or not at all.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use net::client::Network;
use redis::{RedisClient, RedisError, RedisOptions};

const PATIENCE: Duration = Duration::from_secs(10);

/// The changes of the health that a client reported: whether Redis was suspended.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<Vec<bool>>>);

impl Changes {
    fn all(&self) -> Vec<bool> {
        self.0.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) {
        let changes = async {
            while self.all().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, changes).await.expect("a change is reported");
    }
}

fn client(to: SocketAddr, timeout: Duration) -> (RedisClient, Changes) {
    let changes = Changes::default();
    let reported = changes.clone();
    let on_health = Arc::new(move |failure: Option<&RedisError>| {
        reported.0.lock().unwrap().push(failure.is_some());
    });
    let options = RedisOptions { to, timeout, workers: 1, on_health };
    (RedisClient::new(Arc::new(Network::Os), options), changes)
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs `serve` for each connection.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let (listener, address) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// The next word of a command: keys are numbers here, and everything else is skipped.
fn key(stream: &mut TcpStream) -> Option<String> {
    let mut line = || {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(b"\r\n") {
            stream.read_exact(&mut one).ok()?;
            bytes.push(one[0]);
        }
        Some(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned())
    };
    let words = line()?.strip_prefix('*')?.parse::<usize>().ok()?;
    let mut last = String::new();
    for _ in 0..words {
        line()?;
        last = line()?;
    }
    Some(last)
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

#[tokio::test]
async fn each_lookup_gets_its_own_reply() {
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    // Each reply is the key, in two pieces.
    let to = server(move |mut stream| {
        seen.fetch_add(1, Ordering::Relaxed);
        while let Some(key) = key(&mut stream) {
            let reply = bulk(&key);
            let (first, rest) = reply.split_at(reply.len() / 2);
            stream.write_all(first).unwrap();
            stream.flush().unwrap();
            stream.write_all(rest).unwrap();
        }
    });
    let (client, changes) = client(to, PATIENCE);
    let client = Arc::new(client);
    let lookups: Vec<_> = (0..500)
        .map(|number| {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                let key = format!("key {number}");
                let found = client.get(0, key.as_bytes()).await.unwrap();
                assert_eq!(found, Some(key.into_bytes()));
            })
        })
        .collect();
    for lookup in lookups {
        lookup.await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert!(changes.all().is_empty());
}

#[tokio::test]
async fn a_late_reply_is_discarded() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    // The first reply comes when the test says so.
    let to = server(move |mut stream| {
        while let Some(key) = key(&mut stream) {
            if key == "late" {
                let _ = wait.lock().unwrap().recv();
            }
            stream.write_all(&bulk(&key)).unwrap();
        }
    });
    let (client, changes) = client(to, Duration::from_millis(200));
    let late = client.get(0, b"late").await;
    assert!(
        matches!(late, Err(RedisError::Network(error)) if error.kind() == std::io::ErrorKind::TimedOut)
    );
    go.send(()).unwrap();
    assert_eq!(client.get(0, b"next").await.unwrap(), Some(b"next".to_vec()));
    assert!(changes.all().is_empty(), "one is no failure yet");
}

#[tokio::test]
async fn malformed_replies_suspend_redis() {
    let to = server(|mut stream| {
        while key(&mut stream).is_some() {
            if stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let (client, changes) = client(to, PATIENCE);
    for _ in 0..3 {
        assert!(client.get(0, b"key").await.is_err());
    }
    changes.wait_for(1).await;
    assert!(matches!(client.get(0, b"key").await, Err(RedisError::Suspended)));
    assert!(!client.is_available());
}

#[tokio::test]
async fn stuck_writes_are_bounded_and_reported_as_lost() {
    // It takes connections and reads nothing.
    let (listener, to) = listener();
    let _held: thread::JoinHandle<()> = thread::spawn(move || {
        let streams: Vec<_> = listener.incoming().collect();
        drop(streams);
    });
    let (client, _told) = client(to, PATIENCE);
    let lost = Arc::new(AtomicUsize::new(0));
    let value = vec![7; 60_000];
    let (mut accepted, mut busy) = (0, 0);
    for number in 0..2000u32 {
        let counter = Arc::clone(&lost);
        let lost = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        match client.set(&number.to_be_bytes(), &value, PATIENCE, lost) {
            Ok(()) => accepted += 1,
            Err(RedisError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(busy > 1000, "{accepted} writes of 60 kB wait");
    let all_lost = async {
        while lost.load(Ordering::Relaxed) < accepted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_lost).await.expect("those that were accepted are lost");
}

#[tokio::test]
async fn a_recovered_redis_is_used_again() {
    let (listener, to) = listener();
    drop(listener);
    let (client, changes) = client(to, Duration::from_millis(500));
    assert!(client.get(0, b"key").await.is_err());
    changes.wait_for(1).await;
    let listener = TcpListener::bind(to).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while key(&mut stream).is_some() {
                    stream.write_all(b"+PONG\r\n").unwrap();
                }
            });
        }
    });
    changes.wait_for(2).await;
    assert_eq!(changes.all(), [true, false]);
    assert!(client.is_available());
}
