//! Behaviour with chains built by hand.

use super::*;
use chain::setup::{BlockSetup, Key};
use chain::{
    Batch, BoxFuture, Chain, Clock, Kept, Query, Reply, Resolve, ServeDns, Served, Services, Step,
};
use exchange::Place;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wire::{Moment, Rcode, Rdata, Rtype, Section};

const CLOCK: Clock = Clock { now: || Moment(0), unix: |_| 0 };

const ZONE: &str = "$TTL 300\n\
    @ SOA ns hostmaster 1 7200 3600 1209600 60\n\
    @ NS ns\n\
    ns A 192.0.2.1\n\
    a.ent A 192.0.2.2\n\
    *.wild A 192.0.2.3\n\
    sub NS ns.sub\n\
    ns.sub A 192.0.2.4\n\
    out CNAME www.example.net.\n\
    lost CNAME nothere.example.net.\n\
    away CNAME www.example.com.\n\
    renamed DNAME wild\n";

/// A directory of its own, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("catena-file-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Replaces the file as tools do: another one takes its name.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.0.join(name)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn token(text: &str) -> corefile::Token {
    corefile::Token { text: text.into(), span: Span::default(), quoted: false }
}

/// `file db zone { option; option }`.
fn directive(words: &str, options: &[&str]) -> Directive {
    let mut words = words.split_whitespace();
    Directive {
        name: token(words.next().unwrap()),
        args: words.map(token).collect(),
        body: (!options.is_empty()).then(|| options.iter().map(|o| directive(o, &[])).collect()),
        span: Span::default(),
        end: Span::default(),
    }
}

fn services() -> Services {
    Services::new(1, CLOCK, Kept::default())
}

fn block(services: &Services, root: &Path, uses: &[Directive]) -> Result<BlockSetup, Diagnostics> {
    let keys = [Key::new(Name::root(), wire::Endpoint::any(wire::Scheme::Dns, 53))];
    let mut block = BlockSetup::default();
    let uses: Vec<&Directive> = uses.iter().collect();
    let mut plugin = block.plugin("file", &keys, services);
    plugin.set_root(root.to_owned(), Span::default());
    plugin.collect_metadata(chain::ZoneSet::all(), Span::default());
    setup(&uses, &mut plugin)?;
    Ok(block)
}

fn chain_of(block: &mut BlockSetup) -> Arc<Chain> {
    let chain = Arc::new(Chain::new(std::mem::take(&mut block.links), CLOCK));
    block.chain_ref.set(&chain);
    chain
}

/// Says that it was asked.
struct Behind;
impl ServeDns for Behind {
    fn on_query(&self, _: &mut Query, reply: &mut Reply) -> Served {
        assert!(!reply.authoritative() && reply.count(Section::Authority) == 0, "left clean");
        reply.set_rcode(Rcode::NOTZONE);
        Ok(Step::Done)
    }
}

struct Asked {
    rcode: Rcode,
    aa: bool,
    counts: [u16; 3],
    wildcard: Option<String>,
    waited: Option<Place>,
}

async fn ask(chain: &Arc<Chain>, name: &str, qtype: Rtype) -> Asked {
    let (mut query, mut reply) = (Query::new(), Reply::new());
    let name = Name::from_text(name).unwrap();
    query.make_subquery(&Query::new(), name.as_wire(), qtype, false);
    query.state.depth = 0;
    query.collect_metadata();
    reply.begin(&query);
    for stage in 0..chain.prefetch_stages() {
        chain.prefetch(Batch::new(&[&query]), stage);
    }
    let waited = chain.run(&mut query, &mut reply);
    if let Some(at) = waited {
        chain.resume(at, &mut query, &mut reply).await;
    }
    Asked {
        rcode: reply.rcode(),
        aa: reply.authoritative(),
        counts: [0, 1, 2].map(|section| reply.count(Section::ALL[section])),
        wildcard: query.metadata("zone/wildcard").map(ToOwned::to_owned),
        waited,
    }
}

#[tokio::test]
async fn the_table_of_outcomes() {
    let files = Scratch::new();
    files.write("db", ZONE);
    let services = services();
    let uses = [directive("file db example.org", &[])];
    let mut block = block(&services, &files.0, &uses).unwrap();
    let chain = chain_of(&mut block);
    for (name, qtype, rcode, aa, counts) in [
        ("ns.example.org.", Rtype::A, Rcode::NOERROR, true, [1, 1, 0]),
        ("NS.Example.Org.", Rtype::AAAA, Rcode::NOERROR, true, [0, 1, 0]),
        ("ent.example.org.", Rtype::A, Rcode::NOERROR, true, [0, 1, 0]),
        ("no.example.org.", Rtype::A, Rcode::NXDOMAIN, true, [0, 1, 0]),
        ("x.sub.example.org.", Rtype::A, Rcode::NOERROR, false, [0, 1, 1]),
        ("example.org.", Rtype::SOA, Rcode::NOERROR, true, [1, 1, 1]),
        ("away.example.org.", Rtype::A, Rcode::NOERROR, true, [1, 1, 0]),
        ("example.org.", Rtype::AXFR, Rcode::REFUSED, false, [0, 0, 0]),
        ("example.com.", Rtype::A, Rcode::REFUSED, false, [0, 0, 0]),
    ] {
        let asked = ask(&chain, name, qtype).await;
        assert_eq!((asked.rcode, asked.aa), (rcode, aa), "{name} {qtype}");
        // Whether glue-like addresses are added for the apex NS is the zone's business.
        assert_eq!(asked.counts[..2], counts[..2], "{name} {qtype}");
        assert_eq!(asked.waited, None);
    }
    let asked = ask(&chain, "x.wild.example.org.", Rtype::A).await;
    assert_eq!((asked.rcode, asked.counts[0]), (Rcode::NOERROR, 1));
    assert_eq!(asked.wildcard.as_deref(), Some("*.wild.example.org."));
    assert_eq!(ask(&chain, "ns.example.org.", Rtype::A).await.wildcard, None);
    let asked = ask(&chain, "x.renamed.example.org.", Rtype::TXT).await;
    assert_eq!((asked.counts[0], asked.wildcard), (2, None), "a DNAME is no wildcard");

    let mut query = Query::new();
    let name = Name::from_text("example.org.").unwrap();
    query.make_subquery(&Query::new(), name.as_wire(), Rtype::SOA, false);
    let mut notify = query.bytes().to_vec();
    notify[2] |= 4 << 3;
    query.receive(&notify).unwrap();
    let mut reply = Reply::new();
    reply.begin(&query);
    let place = chain.run(&mut query, &mut reply).expect("a hook of its own takes it");
    chain.resume(place, &mut query, &mut reply).await;
    assert!(reply.is_silent(), "a NOTIFY gets no answer");
}

#[tokio::test]
async fn fallthrough_is_for_names_that_do_not_exist() {
    let files = Scratch::new();
    files.write("db", ZONE);
    let services = services();
    let uses = [
        directive("file db example.org", &[]),
        directive("file db example.net", &["fallthrough example.org", "upstream 192.0.2.1"]),
    ];
    let mut block = block(&services, &files.0, &uses).unwrap();
    assert_eq!(block.requests.warnings.0.len(), 1, "upstream is ignored, with a word");
    block.links.push(chain::Link { name: "behind", plugin: Box::new(Behind) });
    let chain = chain_of(&mut block);
    let behind = Rcode::NOTZONE;
    for (name, rcode) in [
        ("no.example.org.", behind),
        ("ent.example.org.", behind),
        ("no.example.net.", Rcode::NXDOMAIN),
        ("ns.example.org.", Rcode::NOERROR),
        ("other.example.", behind),
    ] {
        assert_eq!(ask(&chain, name, Rtype::A).await.rcode, rcode, "{name}");
    }
    let asked = ask(&chain, "ns.example.org.", Rtype::TXT).await;
    assert_eq!(asked.rcode, Rcode::NOERROR, "NODATA stays");
}

/// Answers for `example.net` as if from another block.
struct Other;
impl Resolve for Other {
    fn is_served(&self, _: &Query, name: &[u8]) -> bool {
        wire::name::is_under(name, Name::from_text("example.net.").unwrap().as_wire())
    }
    fn resolve<'a>(&'a self, query: &'a mut Query, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(query.state.depth, 1);
            reply.begin(query);
            if query.name().starts_with(b"\x03www") {
                reply.answer(9, Rdata::A([192, 0, 2, 9].into()));
            } else {
                reply.set_rcode(Rcode::NXDOMAIN);
            }
        })
    }
}

#[tokio::test]
async fn aliases_to_other_zones_of_this_server_are_followed() {
    let files = Scratch::new();
    files.write("db", ZONE);
    let services = services();
    let other: Arc<dyn Resolve> = Arc::new(Other);
    services.resolver.set(Arc::downgrade(&other));
    let uses = [directive("file db example.org", &[])];
    let mut block = block(&services, &files.0, &uses).unwrap();
    let chain = chain_of(&mut block);
    let found = ask(&chain, "out.example.org.", Rtype::A).await;
    assert_eq!((found.waited, found.rcode, found.aa), (Some(Place::In(0)), Rcode::NOERROR, true));
    assert_eq!(found.counts[..2], [2, 1]);
    let lost = ask(&chain, "lost.example.org.", Rtype::A).await;
    assert_eq!((lost.rcode, lost.counts[0], lost.counts[1]), (Rcode::NXDOMAIN, 1, 1));
    let away = ask(&chain, "away.example.org.", Rtype::A).await;
    assert_eq!((away.waited, away.rcode, away.counts[0]), (None, Rcode::NOERROR, 1));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_comes_later_is_loaded_later() {
    let files = Scratch::new();
    let services = services();
    let never = [directive("file db example.org", &["reload 0"])];
    let errors = block(&services, &files.0, &never).err().unwrap();
    assert!(errors.0[0].message.contains("no such file"), "{errors:?}");

    let uses = [directive("file db example.org", &["reload 10s"])];
    let mut block = block(&services, &files.0, &uses).unwrap();
    let chain = chain_of(&mut block);
    let task = tokio::spawn(block.requests.tasks.remove(0)());
    let serial = async || {
        let asked = ask(&chain, "ns.example.org.", Rtype::A).await;
        (asked.rcode, asked.counts[0])
    };
    assert_eq!(serial().await, (Rcode::SERVFAIL, 0));
    files.write("db", ZONE);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(serial().await, (Rcode::NOERROR, 1));
    // The same serial: what changed is not looked at.
    files.write("db", &ZONE.replace("ns A 192.0.2.1\n", ""));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(serial().await, (Rcode::NOERROR, 1));
    // A mistake: what serves goes on.
    files.write(
        "db",
        &ZONE.replace("hostmaster 1", "hostmaster 0").replace("192.0.2.2", "nonsense"),
    );
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(serial().await, (Rcode::NOERROR, 1));
    // A serial that went down is a change as well.
    files
        .write("db", &ZONE.replace("ns A 192.0.2.1\n", "").replace("hostmaster 1", "hostmaster 0"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(serial().await, (Rcode::NXDOMAIN, 0));
    fs::remove_file(files.0.join("db")).unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(serial().await, (Rcode::NXDOMAIN, 0));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn reload_by_mtime_does_not_ask_for_the_serial() {
    let files = Scratch::new();
    files.write("db", ZONE);
    let services = services();
    let uses = [directive("file db example.org", &["reload 10s", "reload_by_mtime"])];
    let mut block = block(&services, &files.0, &uses).unwrap();
    let chain = chain_of(&mut block);
    let task = tokio::spawn(block.requests.tasks.remove(0)());
    files.write("db", &ZONE.replace("ns A 192.0.2.1\n", ""));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(ask(&chain, "ns.example.org.", Rtype::A).await.rcode, Rcode::NXDOMAIN);
    task.abort();
}

#[test]
fn an_unchanged_zone_is_handed_over() {
    let files = Scratch::new();
    files.write("db", ZONE);
    files.write("inc", "inc A 192.0.2.5\n");
    files.write("db2", &format!("{ZONE}$INCLUDE inc\n"));
    let services = services();
    let uses = [directive("file db example.org", &[]), directive("file db2 example.net", &[])];
    let _first = block(&services, &files.0, &uses).unwrap();
    let origins = ["example.org.", "example.net."].map(|name| Name::from_text(name).unwrap());
    let open_all = |services: &Services| {
        let keys = [];
        let mut block = BlockSetup::default();
        let setup = block.plugin("file", &keys, services);
        let path = ["db", "db2"].map(|file| files.0.join(file));
        [0, 1].map(|at| open(&setup, &path[at], &origins[at], OnError::Stop).0)
    };
    let before = open_all(&services);
    let next = Services::new(1, CLOCK, services.kept.successor());
    let after = open_all(&next);
    assert!(before.iter().zip(&after).all(|(a, b)| Arc::ptr_eq(a, b)));
    files.write("inc", "inc A 192.0.2.6\n");
    let last = open_all(&Services::new(1, CLOCK, next.kept.successor()));
    assert!(Arc::ptr_eq(&last[0], &before[0]));
    assert!(!Arc::ptr_eq(&last[1], &before[1]), "what it includes changed");
}

#[test]
fn mistakes_in_a_zone_file_point_at_the_place() {
    let files = Scratch::new();
    files.write("db", &format!("{ZONE}bad A nonsense\n"));
    files.write("empty", "");
    let services = services();
    let wrong = |words: &str, options: &[&str]| {
        let errors = block(&services, &files.0, &[directive(words, options)]).err().unwrap();
        errors.0
    };
    let found = wrong("file db example.org", &[]);
    let place = &found[0].places[0];
    assert_eq!(place.file, files.0.join("db").display().to_string());
    assert_eq!((place.line, place.column, place.length), (13, 7, 8));
    assert!(wrong("file empty example.org", &[])[0].message.contains("SOA"));
    assert_eq!(wrong("file", &[]).len(), 1);
    assert_eq!(wrong("file db example.org", &["reload", "nonsense", "reload 1x"]).len(), 3);
    let none: [Directive; 0] = [];
    assert!(block(&services, &files.0, &none).is_ok());
}

#[tokio::test]
async fn readiness_tells_of_zones_that_were_skipped() {
    let files = Scratch::new();
    files.write("db", "@ 300 SOA ns hostmaster 1 7200 3600 1209600 60\n@ 300 CNAME ns\n");
    let services = services();
    let ready = |block: &BlockSetup| {
        let roles = block.links[0].plugin.roles();
        roles.ready.map(Ready::ready)
    };
    let uses = [directive("file db example.org", &["on_error skip"])];
    let skipping = block(&services, &files.0, &uses).unwrap();
    assert_eq!(skipping.requests.warnings.0.len(), 1);
    assert_eq!(ready(&skipping), Some(Err("not loaded: example.org.".to_owned())));
    assert!(block(&services, &files.0, &[directive("file db example.org", &[])]).is_err());
    files.write("db", ZONE);
    let mended = block(&services, &files.0, &uses).unwrap();
    assert_eq!(ready(&mended), Some(Ok(())));
    // As in CoreDNS a file that may come later is nothing to wait for.
    let later = block(&services, &files.0, &[directive("file none example.org", &[])]).unwrap();
    assert_eq!(ready(&later), None);
}
