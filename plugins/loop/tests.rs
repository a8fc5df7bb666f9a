use std::sync::Mutex;

use chain::setup::BlockSetup;
use chain::{BoxFuture, Chain, Clock, Kept, Key, Link, Next, Services};

use super::*;

/// Stands for `forward`: what it is asked comes back through the chain, as by a listener.
struct Mirror {
    chain_ref: ChainRef,
    rounds: AtomicU32,
    /// After this many it answers.
    most: u32,
    /// Never answers at all.
    silent: bool,
}

impl ServeDns for Mirror {
    fn on_query(&self, _: &mut Query, _: &mut Reply) -> Served {
        Ok(Step::Wait)
    }

    fn serve_dns<'a>(
        &'a self,
        query: &'a mut Query,
        reply: &'a mut Reply,
        _: Next<'a>,
    ) -> BoxFuture<'a, Served> {
        Box::pin(async move {
            if self.silent {
                std::future::pending::<()>().await;
            }
            if self.rounds.fetch_add(1, Ordering::Relaxed) < self.most {
                let chain = self.chain_ref.chain().unwrap();
                let mut again = Query::new();
                again.receive(query.bytes()).unwrap();
                again.client.peer = SocketAddr::from(([192, 0, 2, 99], 4242));
                let mut answer = Reply::new();
                answer.begin(&again);
                if let Some(at) = chain.run(&mut again, &mut answer) {
                    chain.resume(at, &mut again, &mut answer).await;
                }
            }
            reply.set_rcode(wire::Rcode::NXDOMAIN);
            Ok(Step::Done)
        })
    }
}

static FATAL: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn remember(message: &str) {
    FATAL.lock().unwrap().push(message.to_owned());
}

/// Runs the prober over a mirror; what it said when it ended the process, and how long it took.
async fn run(zone: &str, most: u32, silent: bool) -> (Option<String>, Duration, Arc<Shared>) {
    let clock = Clock { now: || Moment(0), unix: |_| 0 };
    let zone = Name::from_text(zone).unwrap();
    let shared = Arc::new(Shared::new(zone, random().unwrap()));
    let chain_ref = ChainRef::default();
    let mirror = Mirror { chain_ref: chain_ref.clone(), rounds: AtomicU32::new(0), most, silent };
    let links = vec![
        Link { name: "loop", plugin: Box::new(Loop(Arc::clone(&shared))) },
        Link { name: "forward", plugin: Box::new(mirror) },
    ];
    let chain = Arc::new(Chain::new(links, clock));
    chain_ref.set(&chain);
    let prober = Prober {
        shared: Arc::clone(&shared),
        chain_ref,
        now: clock.now,
        address: ":53".to_owned(),
        fatal: Arc::new(remember),
    };
    let begun = Instant::now();
    prober.run().await;
    let secret = shared.secret.to_string();
    let said = FATAL.lock().unwrap().iter().find(|said| said.contains(&secret)).cloned();
    (said, begun.elapsed(), shared)
}

#[tokio::test(start_paused = true)]
async fn a_loop_ends_the_process_with_coredns_words() {
    for zone in [".", "example.org."] {
        let (said, took, shared) = run(zone, u32::MAX, false).await;
        let said = said.expect("a loop is found");
        let start = "plugin/loop: Loop (192.0.2.99:4242 -> :53) detected for zone \"";
        assert!(said.starts_with(start), "{said}");
        let end = format!(".{}.{}\"", shared.secret, zone.trim_start_matches('.'));
        let middle = format!("\"{zone}\", see https://coredns.io/plugins/loop#troubleshooting. ");
        assert!(said.contains(&middle), "{said}");
        assert!(said.ends_with(&end), "{said} {end}");
        assert!(took < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn no_loop_and_it_is_over_two_seconds_after_the_answer() {
    let (said, took, shared) = run(".", 0, false).await;
    assert_eq!(said, None);
    assert_eq!(took.as_secs(), 2);
    assert!(shared.off.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_comes_back_once_is_no_loop() {
    let (said, ..) = run(".", 1, false).await;
    assert_eq!(said, None);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_tries_for_half_a_minute() {
    let (said, took, _) = run(".", 0, true).await;
    assert_eq!(said, None);
    assert_eq!(took.as_secs(), 30);
}

#[test]
fn nobody_else_can_make_a_probe() {
    let shared = Shared::new(Name::from_text("example.org.").unwrap(), 17);
    let probe = |text: &str| {
        let mut query = Query::new();
        let name = Name::from_text(text).unwrap();
        query.make_subquery(&Query::new(), name.as_wire(), Rtype::HINFO, false);
        shared.is_probe(&query)
    };
    let unsent = format!("{}.17.example.org.", u64::MAX - 1);
    assert!(!probe("5.17.example.org."), "not sent yet");
    assert!(!probe(&unsent));
    shared.latest[0].store(5, Ordering::Relaxed);
    assert!(probe("5.17.Example.org."));
    for other in ["17.example.org.", "6.17.example.org.", "5.18.example.org.", "5.17.example.net."]
    {
        assert!(!probe(other), "{other}");
    }
    assert!(!probe("x.5.17.example.org.") && !probe("."));
}

#[test]
fn it_takes_no_arguments() {
    let keys = [Key::new(Name::root(), wire::Endpoint::any(wire::Scheme::Dns, 53))];
    let clock = Clock { now: || Moment(0), unix: |_| 0 };
    let services = Services::new(1, clock, Kept::default());
    for (text, good) in [("loop", true), ("loop x", false), ("loop {\n a\n }", false)] {
        let text = format!(". {{\n {text}\n}}\n");
        let (parsed, _) = corefile::parse("Corefile", &text, &corefile::NoFiles);
        let uses: Vec<&Directive> = parsed.blocks[0].directives.iter().collect();
        let mut block = BlockSetup::default();
        let set_up = (PLUGIN.setup)(&uses, &mut block.plugin("loop", &keys, &services));
        assert_eq!(set_up.is_ok(), good, "{text}");
        assert_eq!(block.requests.tasks.len(), usize::from(good));
    }
}
