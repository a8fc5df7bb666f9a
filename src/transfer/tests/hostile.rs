//! Primaries that mean harm or are broken: each request ends with an error that says what was wrong, within its
//! bound, and hands out nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use net::client::Network;
use tsig::{Key, Session};
use wire::Rtype;

use super::kit::{Served, ZONE, a, asked, limits, name, primary, response, soa, soa_of, zone_of};
use crate::{Client, Fault, Limits, Outcome, Peer, TransferError, Trouble};

/// Transfers the zone from a primary, which must fail before `most` is over.
async fn fails(peer: Peer, limits: Limits, most: Duration) -> TransferError {
    let client = Client::new(Network::Os, peer, limits);
    let begun = Instant::now();
    let error = client.axfr(&name(ZONE), None, 0).await.expect_err("nothing is handed out");
    assert!(begun.elapsed() < most, "{error}: after {:?}", begun.elapsed());
    error
}

/// The fault of a transfer from a primary that answers with these messages, whose ids are set to the request's.
async fn fault(messages: Vec<Vec<u8>>) -> Fault {
    let peer = primary(move |mut client| {
        let messages = messages.clone();
        async move {
            let (id, _) = asked(&client.request().await);
            for mut message in messages {
                message[..2].copy_from_slice(&id.to_be_bytes());
                client.reply(&message).await;
            }
            client.hang().await;
        }
    })
    .await;
    match fails(peer, limits(), Duration::from_secs(2)).await.trouble {
        Trouble::Fault(fault) => fault,
        other => panic!("{other}"),
    }
}

fn first(records: &[Vec<u8>]) -> Vec<u8> {
    response(0, Some(Rtype::AXFR), records)
}

/// Sends one record a message, as fast as the client takes them, as long as `more` says so.
async fn flood(mut client: Served, pause: Duration) {
    let (id, _) = asked(&client.request().await);
    let mut message = response(id, Some(Rtype::AXFR), &[soa(5)]);
    let mut number = 0u32;
    while client.reply(&message).await {
        number += 1;
        message = response(id, None, &[a(&format!("n{number}.example.org."), 1)]);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[tokio::test]
async fn an_endless_reply_ends_at_each_bound() {
    let fast = primary(|client| flood(client, Duration::ZERO)).await;
    let error = fails(fast.clone(), limits(), Duration::from_secs(5)).await;
    assert!(matches!(error.trouble, Trouble::Fault(Fault::Records(1000))), "{error}");
    let limits_of = Limits { records: u64::MAX, ..limits() };
    let error = fails(fast.clone(), limits_of, Duration::from_secs(5)).await;
    assert!(matches!(error.trouble, Trouble::Fault(Fault::Octets(100_000))), "{error}");
    let total = Duration::from_millis(300);
    let limits_of = Limits { records: u64::MAX, octets: u64::MAX, total, ..limits() };
    let error = fails(fast, limits_of, Duration::from_secs(2)).await;
    assert!(matches!(error.trouble, Trouble::Overdue { .. }), "{error}");
    // Slow, but every message comes in time.
    let slow = primary(|client| flood(client, Duration::from_millis(20))).await;
    let error = fails(slow, Limits { total, ..limits() }, Duration::from_secs(2)).await;
    assert!(matches!(error.trouble, Trouble::Overdue { .. }), "{error}");
    assert!(error.to_string().contains("has not ended after 300ms"), "{error}");
}

#[tokio::test]
async fn a_trickle_is_not_waited_for() {
    let peer = primary(|mut client| async move {
        let (id, _) = asked(&client.request().await);
        let message = response(id, Some(Rtype::AXFR), &[soa(5), a("www.example.org.", 1), soa(5)]);
        client.send(&(message.len() as u16).to_be_bytes()).await;
        for octet in message {
            client.send(&[octet]).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
    let error = fails(peer, limits(), Duration::from_secs(2)).await;
    assert!(matches!(error.trouble, Trouble::Stalled { records: 0, .. }), "{error}");
    assert!(error.to_string().ends_with("no message came for 400ms, after 0 records"), "{error}");
}

#[tokio::test]
async fn silence_ends() {
    let peer = primary(|mut client| async move { client.hang().await }).await;
    let error = fails(peer, limits(), Duration::from_secs(2)).await;
    assert!(matches!(error.trouble, Trouble::Stalled { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_cut_hands_out_nothing() {
    for (cut, records) in [(0, 0), (1, 0), (40, 0), (usize::MAX, 2)] {
        let peer = primary(move |mut client| async move {
            let (id, _) = asked(&client.request().await);
            let message = response(id, Some(Rtype::AXFR), &[soa(5), a("www.example.org.", 1)]);
            let framed = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
            client.send(&framed[..cut.min(framed.len())]).await;
        })
        .await;
        let error = fails(peer, limits(), Duration::from_secs(2)).await;
        let Trouble::Cut { records: came, .. } = error.trouble else { panic!("{error}") };
        assert_eq!(came, records, "cut after {cut}");
        assert!(error.to_string().contains("before the reply ended"), "{error}");
    }
}

#[tokio::test]
async fn nobody_at_the_port() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::new(closed.local_addr().unwrap());
    drop(closed);
    let error = fails(peer, limits(), Duration::from_secs(2)).await;
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(error.help().unwrap().contains("over TCP"));
}

#[tokio::test]
async fn replies_with_a_fault_say_which() {
    let www = || a("www.example.org.", 1);
    assert_eq!(
        fault(vec![first(&[soa(5), www(), soa(6)])]).await,
        Fault::OtherSoa { first: 5, last: 6 }
    );
    assert_eq!(fault(vec![first(&[soa(5), www(), soa(5), www()])]).await, Fault::Surplus);
    let of_another = first(&[soa_of("example.net.", 5), soa_of("example.net.", 5)]);
    assert!(matches!(fault(vec![of_another]).await, Fault::NoSoa(Some(_))));
    // A name that leads to itself.
    let loops = [&[0xC0, 83][..], &a(".", 1)[1..]].concat();
    assert_eq!(fault(vec![first(&[soa(5), loops, soa(5)])]).await, Fault::Malformed);
    let mut refused = first(&[]);
    refused[3] = 5;
    assert_eq!(fault(vec![refused]).await, Fault::Rcode(wire::Rcode::REFUSED));
    // Two aliases at one name are no zone.
    let alias = |to: &str| super::kit::record("x.example.org.", Rtype::CNAME, name(to).as_wire());
    let message = first(&[soa(5), alias("a."), alias("b."), soa(5)]);
    let peer = primary(move |mut client| {
        let mut message = message.clone();
        async move {
            let (id, _) = asked(&client.request().await);
            message[..2].copy_from_slice(&id.to_be_bytes());
            client.reply(&message).await;
        }
    })
    .await;
    let error = fails(peer, limits(), Duration::from_secs(2)).await;
    assert!(
        error.to_string().contains("more than one CNAME record at `x.example.org.`"),
        "{error}"
    );
}

#[tokio::test]
async fn another_id_is_no_reply() {
    let peer = primary(|mut client| async move {
        let (id, _) = asked(&client.request().await);
        client.reply(&response(!id, Some(Rtype::AXFR), &[soa(5), soa(5)])).await;
        client.hang().await;
    })
    .await;
    let error = fails(peer, limits(), Duration::from_secs(2)).await;
    assert!(matches!(error.trouble, Trouble::Fault(Fault::OtherId)), "{error}");
}

/// A primary that tells one serial and sends another.
#[tokio::test]
async fn a_serial_that_is_a_lie_changes_nothing() {
    let ours = zone_of(&[soa(5), a("www.example.org.", 1)]);
    for (sent, expected) in [(5, "not newer than 5"), (4, "not newer than 5")] {
        let peer = primary(move |mut client| async move {
            let (id, rtype) = asked(&client.request().await);
            let records = match rtype {
                Rtype::SOA => vec![soa(9)],
                // No changes to be had: the whole zone is asked for then.
                Rtype::IXFR => vec![soa(9), soa(3), soa(9), soa(9)],
                _ => vec![soa(sent), a("www.example.org.", 2), soa(sent)],
            };
            client.reply(&response(id, Some(rtype), &records)).await;
            client.hang().await;
        })
        .await;
        let client = Client::new(Network::Os, peer, limits());
        let zone = name(ZONE);
        assert_eq!(client.soa(&zone).await.unwrap().serial, 9);
        let error = client.ixfr(&zone, &ours.soa(), 0).await.unwrap_err();
        assert!(error.calls_for_axfr(), "{error}");
        let error = client.axfr(&zone, Some(ours.serial()), 0).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

fn key() -> Arc<Key> {
    Arc::new(Key::from_text("hmac-sha256:k.:c2VjcmV0IG9mIHRoZSB0ZXN0cw==").unwrap())
}

/// What a signing primary does to the messages of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signing {
    All,
    /// Only the first and the last.
    Ends,
    /// The last is not signed.
    NotTheLast,
    /// None is signed.
    None,
    /// The second is changed after it was signed.
    Changed,
    /// The second and the third change places.
    Swapped,
    /// The key has another secret.
    OtherSecret,
}

#[tokio::test]
async fn signatures_must_hold_from_the_first_message_to_the_last() {
    for how in [
        Signing::All,
        Signing::Ends,
        Signing::NotTheLast,
        Signing::None,
        Signing::Changed,
        Signing::Swapped,
        Signing::OtherSecret,
    ] {
        let peer = primary(move |client| signing(client, how)).await;
        let peer = Peer { key: Some(key()), ..peer };
        let client = Client::new(Network::Os, peer, limits());
        let got = client.axfr(&name(ZONE), None, 0).await;
        let expected = match how {
            Signing::All | Signing::Ends => {
                let Outcome::Zone(zone) = got.unwrap().outcome else { panic!("{how:?}") };
                assert_eq!(zone.record_count(), 3);
                continue;
            }
            Signing::NotTheLast | Signing::None => "is not signed",
            Signing::Changed | Signing::Swapped | Signing::OtherSecret => "BADSIG",
        };
        let error = got.expect_err("nothing is handed out");
        assert!(error.to_string().contains(expected), "{how:?}: {error}");
    }
}

async fn signing(mut client: Served, how: Signing) {
    let request = client.request().await;
    let (id, _) = asked(&request);
    // The TSIG record follows the question.
    let start = 12 + name(ZONE).as_wire().len() + 4;
    let secret = match how {
        Signing::OtherSecret => Arc::new(Key::from_text("k.:b3RoZXI=").unwrap()),
        _ => key(),
    };
    let now = crate::exchange::unix_now();
    let mut session = Session::open(&request, start, now, |_| Some(secret)).unwrap();
    let records = [soa(5), a("a.example.org.", 1), a("b.example.org.", 2), soa(5)];
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for (at, one) in records.iter().enumerate() {
        let question = (at == 0).then_some(Rtype::AXFR);
        let mut message = response(id, question, std::slice::from_ref(one));
        let (first, last) = (at == 0, at == 3);
        let unsigned = match how {
            Signing::None | Signing::Ends => true,
            Signing::NotTheLast => last,
            _ => false,
        };
        if !unsigned {
            session.sign(&mut message, now);
        } else if how == Signing::Ends && (first || last) {
            // A signature covers the unsigned messages before it.
            let unsigned = messages[messages.len().min(1)..].concat();
            session = signed_over(session, &unsigned, &mut message, now);
        }
        messages.push(message);
    }
    if how == Signing::Changed {
        messages[1][12 + 15 + 10] ^= 1;
    }
    if how == Signing::Swapped {
        messages.swap(1, 2);
    }
    for message in messages {
        client.reply(&message).await;
    }
    client.hang().await;
}

/// Signs a message with the unsigned ones before it.
fn signed_over(mut session: Session, before: &[u8], message: &mut Vec<u8>, now: u64) -> Session {
    let whole = [before, message].concat();
    let rdata = session.next_rdata(&whole, now);
    let owner = session.key_name().to_vec();
    message[11] += 1;
    message.extend_from_slice(&owner);
    message.extend_from_slice(&[0, 250, 0, 255, 0, 0, 0, 0]);
    message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(&rdata);
    session
}
