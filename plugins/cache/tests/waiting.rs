//! Clients that ask the same at the same time.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use super::*;

#[tokio::test(start_paused = true)]
async fn identical_misses_ask_once() {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (chain, query) = (Arc::clone(&block.chain), question("a.", ""));
            tokio::task::spawn(async move { show(&serve(&chain, query).await.0) })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "NOERROR 1@300");
    }
    assert_eq!(block.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_came_after_the_first_look_is_found() {
    for (say, told) in
        [(Say::Address(1, 300), "NOERROR 1@300"), (Say::NameError(30), "NXDOMAIN @30")]
    {
        let block = block(&["cache"]);
        block.says(say);
        let mut slow = question("a.", "");
        let mut reply = Reply::new();
        reply.begin(&slow);
        let Some(at) = block.chain.run(&mut slow, &mut reply) else { panic!("it is a miss") };
        // Something else in the same store, and then the same.
        for name in ["b.", "a."] {
            assert_eq!(block.ask(name).await, told, "{say:?}");
        }
        let asked = block.asked();
        Arc::clone(&block.chain).resume(at, &mut slow, &mut reply).await;
        assert_eq!((&*show(&reply), block.asked()), (told, asked), "{say:?}");
    }
}

/// As many clients as may ask for the same at the same moment; the first `gone` of them leave while
/// they wait. How many of the others were answered, and how often the upstream was asked.
async fn crowd(clients: usize, gone: usize) -> (usize, u64) {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let mut all: Vec<_> = (0..clients)
        .map(|_| {
            let (chain, query) = (Arc::clone(&block.chain), question("a.", ""));
            tokio::task::spawn(async move { show(&serve(&chain, query).await.0) })
        })
        .collect();
    // All of them have come; the first asks.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(block.asked(), 1);
    let leaving: Vec<_> = all.drain(..gone).collect();
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    for one in leaving {
        assert!(one.await.is_err_and(|error| error.is_cancelled()));
    }
    let mut answered = 0;
    for one in all {
        answered += usize::from(one.await.unwrap() == "NOERROR 1@300");
    }
    (answered, block.asked())
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_ask_once() {
    assert_eq!(crowd(10_000, 0).await, (10_000, 1));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_are_answered_though_those_who_asked_first_leave() {
    assert_eq!(crowd(10_003, 3).await, (10_000, 2), "one more asks, and no other");
}

#[tokio::test(start_paused = true)]
async fn each_has_a_deadline_of_its_own() {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let patient = block.ask("a.");
    let hasty = async {
        let mut query = question("a.", "");
        query.state.deadline = Some(time::now().plus(Duration::from_millis(5)));
        let begin = tokio::time::Instant::now();
        let reply = serve(&block.chain, query).await.0;
        (show(&reply), begin.elapsed())
    };
    let (patient, (hasty, took)) = tokio::join!(patient, hasty);
    assert_eq!((&*patient, &*hasty), ("NOERROR 1@300", "SERVFAIL ede=0"));
    assert_eq!((took, block.asked()), (Duration::from_millis(5), 1));
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_are_refused() {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let all: Vec<_> = (0..=crate::cache::flight::MAX_PER_FLIGHT)
        .map(|_| {
            let (chain, query) = (Arc::clone(&block.chain), question("a.", ""));
            tokio::task::spawn(async move { serve(&chain, query).await.0.rcode() })
        })
        .collect();
    let mut refused = 0;
    for one in all {
        refused += usize::from(one.await.unwrap() == Rcode::REFUSED);
    }
    assert_eq!((refused, block.asked()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_shared_all_the_same() {
    for (say, told) in [
        (Say::Dead, "SERVFAIL ede=22"),
        (Say::Code(Rcode::REFUSED), "REFUSED"),
        (Say::Nothing, "drop"),
        (Say::Bare, "NXDOMAIN"),
        (Say::Cut, "NOERROR tc"),
    ] {
        let block = block(&["cache"]);
        block.says(say).delay(Duration::from_millis(20));
        let ask = || async { block.ask("a.").await };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!([&*one, &*two, &*three], [told; 3]);
        assert_eq!(block.asked(), 1, "{say:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_goes_away_loses_nobody() {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let mut leader = Box::pin(block.ask("a."));
    let first = std::future::poll_fn(|cx| Poll::Ready(leader.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    let mut follower = pin!(block.ask("a."));
    assert!(std::future::poll_fn(|cx| Poll::Ready(follower.as_mut().poll(cx))).await.is_pending());
    assert_eq!(block.asked(), 1);
    drop(leader);
    assert_eq!(follower.await, "NOERROR 1@300");
    assert_eq!(block.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_panics_loses_nobody() {
    let block = block(&["cache"]);
    block.says(Say::Panic).delay(Duration::from_millis(20));
    let spawn = || {
        let (chain, query) = (Arc::clone(&block.chain), question("a.", ""));
        tokio::task::spawn(async move { show(&serve(&chain, query).await.0) })
    };
    let (leader, follower) = (spawn(), spawn());
    assert!(leader.await.is_err());
    block.says(Say::Address(1, 300));
    assert_eq!(follower.await.unwrap(), "NOERROR 1@300");
}

#[tokio::test(start_paused = true)]
async fn lookups_of_our_own_do_not_wait_for_others() {
    let block = block(&["cache"]);
    block.delay(Duration::from_millis(20));
    let deeper = async {
        let mut query = Query::new();
        query.make_subquery(&question("x.", ""), &wire("a."), Rtype::A, false);
        show(&serve(&block.chain, query).await.0)
    };
    let (one, two) = tokio::join!(block.ask("a."), deeper);
    assert_eq!([&*one, &*two], ["NOERROR 1@300"; 2]);
    assert_eq!(block.asked(), 2, "or a loop of aliases would wait for itself");
}

/// A question from 10.0.N.0/24.
fn question_within(third: u8) -> Query {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend(wire("a."));
    bytes.extend([0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11]);
    bytes.extend([0, 8, 0, 7, 0, 1, 24, 0, 10, 0, third]);
    let mut query = Query::new();
    query.receive(&bytes).unwrap();
    query.client.now = time::now();
    query
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_one_network_is_shared_within_it_only() {
    for lines in [&["cache"][..], &["cache", "ecs"]] {
        let block = block(lines);
        block.says(Say::Scoped).delay(Duration::from_millis(20));
        // More networks than may ask at the same time, each with three clients.
        let all: Vec<_> = (0..120u8)
            .map(|number| {
                let (chain, third) = (Arc::clone(&block.chain), number / 3);
                let query = question_within(third);
                tokio::task::spawn(async move { (third, show(&serve(&chain, query).await.0)) })
            })
            .collect();
        for one in all {
            let (third, answer) = one.await.unwrap();
            assert!(answer.starts_with(&format!("NOERROR {third}@60")), "{third}: {answer}");
        }
        assert!(block.asked() >= 40, "{}", block.asked());
        if lines.len() > 1 {
            assert_eq!(block.asked(), 40, "what is kept is not asked for again");
        }
    }
}
