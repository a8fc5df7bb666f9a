//! Flights by themselves.

use super::*;
use wire::{Name, Rtype};

fn query(text: &str) -> Query {
    let mut query = Query::new();
    let name = Name::from_text(text).unwrap();
    query.make_subquery(&Query::new(), name.as_wire(), Rtype::A, false);
    query
}

fn in_flight<T>(flights: &Flights<T>) -> usize {
    flights.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
}

async fn lead(member: Member<u32>) -> Leader<u32> {
    match member.turn().await {
        Turn::Lead(leader) => leader,
        Turn::Outcome(_) => panic!("nobody asked yet"),
    }
}

async fn outcome(member: Member<u32>) -> u32 {
    match member.turn().await {
        Turn::Outcome(outcome) => outcome,
        Turn::Lead(_) => panic!("somebody asks already"),
    }
}

#[tokio::test]
async fn one_asks_and_all_learn() {
    let flights = Flights::<u32>::new(10, 10);
    let leader = lead(flights.join(&query("a.")).unwrap()).await;
    let followers: Vec<_> =
        (0..3).map(|_| tokio::spawn(outcome(flights.join(&query("A.")).unwrap()))).collect();
    tokio::task::yield_now().await;
    assert!(leader.has_followers());
    leader.finish(7);
    for follower in followers {
        assert_eq!(follower.await.unwrap(), 7);
    }
    assert_eq!((in_flight(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn the_next_in_line_leads_when_the_leader_goes() {
    let flights = Flights::<u32>::new(10, 10);
    let leader = lead(flights.join(&query("a.")).unwrap()).await;
    let second = flights.join(&query("a.")).unwrap();
    let third = flights.join(&query("a.")).unwrap();
    drop(leader);
    let leader = lead(second).await;
    leader.finish(8);
    assert_eq!(outcome(third).await, 8);
    assert_eq!((in_flight(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn nobody_left_leaves_nothing() {
    let flights = Flights::<u32>::new(10, 10);
    let leader = lead(flights.join(&query("a.")).unwrap()).await;
    let waits = flights.join(&query("a.")).unwrap();
    drop(waits);
    drop(leader);
    assert_eq!((in_flight(&flights), flights.members.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn both_bounds_hold() {
    let flights = Flights::<u32>::new(2, 3);
    let first = flights.join(&query("a."));
    let second = flights.join(&query("a."));
    assert!(first.is_some() && second.is_some());
    assert!(flights.join(&query("a.")).is_none(), "two for each question");
    let third = flights.join(&query("b."));
    assert!(third.is_some());
    assert!(flights.join(&query("c.")).is_none(), "three in all");
    drop(first);
    assert!(flights.join(&query("c.")).is_some());
}

#[test]
fn what_an_upstream_answers_differently_is_another_question() {
    let flights = Flights::<u32>::new(10, 10);
    let mut stream = query("a.");
    stream.client.transport = wire::Transport::Tcp;
    let _held = flights.join(&query("a.")).unwrap().lead();
    assert!(flights.join(&stream).unwrap().lead().is_some());
    assert!(flights.join(&query("a.")).unwrap().lead().is_none());
}
