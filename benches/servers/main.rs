//! `make bench`: the real binary beside its peers and beside the limit, in one run.
//!
//! Server on one core, load on the other, alternating servers within each round; the key figure is
//! CPU microseconds per answered query (user and system apart), and its ratio to the echo of the
//! same round. `benches/README.md` tells how to read it.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops if it cannot run"
)]
#![allow(missing_docs, reason = "a program")]

mod blocks;
mod changes;
mod data;
mod echo;
mod load;
mod matrix;
mod outage;
mod paced;
mod peers;
mod secure;
mod server;
mod transfers;
mod upstream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use data::Set;
use load::Shape;
use peers::{Over, Recipe, Work};
use secure::Secure;
use server::Server;
use wire::Rtype;

const PORT: u16 = 15353;
const UPSTREAM_PORT: u16 = 15354;

/// One server's figures in one round.
#[derive(Clone, Copy, Default)]
struct Figures {
    user_us: f64,
    system_us: f64,
    rate: f64,
    busy: f64,
    p50_us: f64,
    p99_us: f64,
    lost: f64,
    failed: f64,
    rss: f64,
    pss: f64,
    ready_ms: f64,
}

impl Figures {
    fn cpu(&self) -> f64 {
        self.user_us + self.system_us
    }
}

struct Settings {
    rounds: usize,
    time: Duration,
    binary: PathBuf,
    /// Other builds, measured beside it.
    against: Vec<PathBuf>,
    dir: PathBuf,
    only: String,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("echo") {
        echo::run(arguments.next().and_then(|port| port.parse().ok()).unwrap());
    }
    pin_to_load_core();
    let env = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = Settings {
        rounds: env("ROUNDS", "5").parse().unwrap(),
        time: Duration::from_secs_f64(env("SECONDS_EACH", "3").parse().unwrap()),
        binary: env("CATENA", root.join("target/dist/catena").to_str().unwrap()).into(),
        against: env("AGAINST", "").split_terminator(':').map(PathBuf::from).collect(),
        dir: root.join("bench-data"),
        only: env("ONLY", ""),
    };
    std::fs::create_dir_all(&settings.dir).unwrap();
    assert!(settings.binary.is_file(), "build {} first", settings.binary.display());
    if wanted(&settings, "authority 10k") {
        authority(
            &settings,
            "authority 10k",
            &data::zone(&settings.dir, "bench.lab.", 10_000, 20_000),
        );
    }
    if wanted(&settings, "authority 1M") {
        let set = data::zone(&settings.dir, "mil.lab.", 1_000_000, 200_000);
        authority(&settings, "authority 1M", &set);
    }
    if wanted(&settings, "transfers out") {
        transfers::run(&settings);
    }
    if wanted(&settings, "changes") {
        changes::run(&settings);
    }
    if wanted(&settings, "many rules") {
        many_rules(&settings, &data::zone(&settings.dir, "bench.lab.", 10_000, 20_000));
    }
    if wanted(&settings, "many blocks") {
        blocks::run(&settings);
    }
    if wanted(&settings, "cache hits") {
        forwarding(&settings, "cache hits", 5_000, None);
    }
    // As many in flight as a busy forwarder sees.
    let many = Shape { window: 16, ..Shape::saturating(settings.time) };
    if wanted(&settings, "forward misses") {
        forwarding(&settings, "forward misses", 1_500_000, Some(many));
    }
    // The same from clients that do not wait for each other, as those of dnsperf.
    let single = Shape { sockets: 16, window: 12, batch: 1, ..many };
    if wanted(&settings, "forward misses one by one") {
        forwarding(&settings, "forward misses one by one", 1_500_000, Some(single));
    }
    for (title, https) in [("forward DoT misses", false), ("forward DoH misses", true)] {
        if wanted(&settings, title) {
            secure_misses(&settings, title, https);
        }
    }
    if wanted(&settings, "upstream matrix") {
        matrix::run(&settings);
    }
    if wanted(&settings, "outage") {
        let seconds = env("OUTAGE_SECONDS", "20").parse().unwrap();
        outage::run(&settings, Duration::from_secs_f64(seconds));
    }
}

fn wanted(settings: &Settings, work: &str) -> bool {
    work.contains(&settings.only)
}

fn pin_to_load_core() {
    use nix::sched::{CpuSet, sched_setaffinity};
    let mut cores = CpuSet::new();
    cores.set(1).unwrap();
    if sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores).is_err() {
        println!("warning: there is only one core, which server and load share");
    }
}

fn authority(settings: &Settings, title: &str, set: &Set) {
    let work = Work::Authority { origin: set.origin, zone: &set.zone };
    let probe = data::query(set.origin, Rtype::SOA);
    let mut recipes = vec![echo_recipe()];
    recipes.push(peers::catena(&settings.binary, &settings.dir, PORT, work, false));
    add_other_builds(settings, &mut recipes);
    recipes.extend(peers::peers(&settings.dir, PORT, work));
    let results = saturate(settings, &recipes, &probe, set);
    report(title, &recipes, &results);
}

/// What rules cost queries that none of them matches.
fn many_rules(settings: &Settings, set: &Set) {
    let probe = data::query(set.origin, Rtype::SOA);
    let mut recipes = vec![echo_recipe()];
    recipes.extend(peers::with_rules(&settings.binary, &settings.dir, PORT, set.origin, &set.zone));
    let results = saturate(settings, &recipes, &probe, set);
    report("many rules", &recipes, &results);
    println!();
    for plain in (1..recipes.len().saturating_sub(1)).step_by(2) {
        let pairs = || results[plain].iter().zip(&results[plain + 1]);
        let cpu = pairs().map(|(plain, ruled)| ruled.cpu() / plain.cpu()).collect();
        let user = pairs().map(|(plain, ruled)| ruled.user_us / plain.user_us).collect();
        println!(
            "{}: with rules {:.2} times the CPU time of the plain one, {:.2} times its user time",
            recipes[plain].name,
            median(cpu),
            median(user)
        );
    }
}

/// Each server as busy as can be with the questions of a set.
fn saturate(settings: &Settings, recipes: &[Recipe], probe: &[u8], set: &Set) -> Vec<Vec<Figures>> {
    rounds(settings, recipes, |recipe, _| {
        let server =
            Server::start(&recipe.program, &recipe.arguments, &recipe.environment, PORT, probe)?;
        load::press(PORT, &set.queries, 0, Shape::saturating(settings.time / 4));
        Ok(measure(&server, &set.queries, 0, Shape::saturating(settings.time)))
    })
}

/// Names that were not asked for before in the shape of `misses`, or such that are cached.
fn forwarding(settings: &Settings, title: &str, names: usize, misses: Option<Shape>) {
    let set = data::wildcard(&settings.dir, "wild.lab.", names);
    let work = Work::Forward { to: UPSTREAM_PORT, over: Over::Plain };
    let probe = data::query("probe.wild.lab.", Rtype::A);
    let upstream_work = Work::Authority { origin: set.origin, zone: &set.zone };
    let upstream =
        peers::catena(&settings.binary, &settings.dir, UPSTREAM_PORT, upstream_work, false);
    let mut recipes = vec![echo_recipe()];
    // Two recipes of one name would share a Corefile, so the upstream's is written under another.
    let own = settings.dir.join("server");
    std::fs::create_dir_all(&own).unwrap();
    recipes.push(peers::catena(&settings.binary, &own, PORT, work, false));
    recipes.push(peers::catena(&settings.binary, &own, PORT, work, true));
    add_other_builds(settings, &mut recipes);
    recipes.extend(peers::peers(&own, PORT, work));
    let results = rounds(settings, &recipes, |recipe, round| {
        let _upstream = Upstream::start(&upstream, &data::query("ns1.wild.lab.", Rtype::A))?;
        let server =
            Server::start(&recipe.program, &recipe.arguments, &recipe.environment, PORT, &probe)?;
        let Some(shape) = misses else {
            let gentle =
                Shape { rate: Some(10_000.0), ..Shape::saturating(Duration::from_secs(1)) };
            load::press(PORT, &set.queries, 0, gentle);
            load::press(PORT, &set.queries, 0, Shape::saturating(settings.time / 4));
            return Ok(measure(&server, &set.queries, 0, Shape::saturating(settings.time)));
        };
        // Names that no round has asked before.
        let first = round * names / 8;
        Ok(measure(&server, &set.queries, first, shape))
    });
    report(title, &recipes, &results);
}

/// Misses whose upstream is asked over TLS or HTTPS, on connections that are open.
fn secure_misses(settings: &Settings, title: &str, https: bool) {
    let upstream = Secure::start(&settings.dir).unwrap();
    let (to, authority) =
        (if https { upstream.https_port } else { upstream.tls_port }, &*upstream.authority);
    let over = if https { Over::Https { authority } } else { Over::Tls { authority } };
    let work = Work::Forward { to, over };
    let probe = data::query("probe.lab.", Rtype::A);
    let mut recipes = vec![echo_recipe()];
    recipes.push(peers::catena(&settings.binary, &settings.dir, PORT, work, false));
    add_other_builds(settings, &mut recipes);
    recipes.extend(peers::peers(&settings.dir, PORT, work));
    let queries: Vec<Vec<u8>> =
        (0..1_000_000).map(|i| data::query(&format!("u{i:07x}.lab."), Rtype::A)).collect();
    let results = rounds(settings, &recipes, |recipe, _| {
        let server =
            Server::start(&recipe.program, &recipe.arguments, &recipe.environment, PORT, &probe)?;
        let shape = Shape { sockets: 8, window: 16, ..Shape::saturating(settings.time) };
        // Connections open, and are used, before it counts.
        let warm = Shape { time: settings.time / 4, ..shape };
        let (_, first) = load::press(PORT, &queries, 0, warm);
        Ok(measure(&server, &queries, first, shape))
    });
    report(title, &recipes, &results);
}

/// The upstream runs on the load's core, so that the server has its own to itself.
struct Upstream(std::process::Child);

impl Upstream {
    fn start(recipe: &Recipe, probe: &[u8]) -> Result<Self, String> {
        let child = std::process::Command::new(&recipe.program)
            .args(&recipe.arguments)
            .envs(recipe.environment.iter().copied())
            .stdout(std::process::Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let upstream = Self(child);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(Duration::from_millis(5))).map_err(|e| e.to_string())?;
        let mut buffer = [0; 512];
        for _ in 0..2_000 {
            let _ = socket.send_to(probe, ("127.0.0.1", UPSTREAM_PORT));
            if socket.recv(&mut buffer).is_ok() {
                return Ok(upstream);
            }
        }
        Err("the upstream does not answer".to_owned())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn echo_recipe() -> Recipe {
    Recipe {
        name: "echo".into(),
        program: std::env::current_exe().unwrap(),
        arguments: vec!["echo".into(), PORT.to_string()],
        environment: Vec::new(),
    }
}

/// Each recipe of ours again, with every other build.
fn add_other_builds(settings: &Settings, recipes: &mut Vec<Recipe>) {
    let ours: Vec<Recipe> =
        recipes.iter().filter(|recipe| recipe.program == settings.binary).cloned().collect();
    for program in &settings.against {
        recipes.extend(ours.iter().cloned().map(|recipe| Recipe {
            name: format!("{} ({})", recipe.name, program.display()),
            program: program.clone(),
            ..recipe
        }));
    }
}

fn rounds(
    settings: &Settings,
    recipes: &[Recipe],
    mut run: impl FnMut(&Recipe, usize) -> Result<Figures, String>,
) -> Vec<Vec<Figures>> {
    let mut results = vec![Vec::new(); recipes.len()];
    for round in 0..settings.rounds {
        for (recipe, results) in recipes.iter().zip(&mut results) {
            match run(recipe, round) {
                Ok(figures) => results.push(figures),
                Err(problem) => println!("{} skipped in round {round}: {problem}", recipe.name),
            }
        }
    }
    results
}

fn measure(server: &Server, queries: &[Vec<u8>], first: usize, shape: Shape) -> Figures {
    let before = server.cpu();
    let (seen, _) = load::press(PORT, queries, first, shape);
    let after = server.cpu();
    let (rss, pss) = server.memory();
    let answered = seen.answered.max(1) as f64;
    let (user, system) = (after.user - before.user, after.system - before.system);
    assert!(server.pid() > 0);
    Figures {
        user_us: user / answered * 1e6,
        system_us: system / answered * 1e6,
        rate: answered / seen.seconds,
        busy: (user + system) / seen.seconds,
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
        lost: seen.lost as f64,
        failed: (seen.rcodes[1] + seen.rcodes[3]) as f64,
        rss,
        pss,
        ready_ms: server.ready.as_secs_f64() * 1e3,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(title: &str, recipes: &[Recipe], results: &[Vec<Figures>]) {
    println!("\n## {title}\n");
    println!(
        "| server | CPU µs/query (range) | user | system | × echo | q/s | busy | p50 µs | p99 µs | lost | failed | RSS MiB | PSS MiB | first answer ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let echo = &results[0];
    for (recipe, figures) in recipes.iter().zip(results) {
        if figures.is_empty() {
            continue;
        }
        let of = |pick: fn(&Figures) -> f64| median(figures.iter().map(pick).collect());
        let cpu: Vec<f64> = figures.iter().map(Figures::cpu).collect();
        let ratio =
            median(figures.iter().zip(echo).map(|(own, echo)| own.cpu() / echo.cpu()).collect());
        let low = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let high = cpu.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {:.2} ({low:.2}–{high:.2}) | {:.2} | {:.2} | {ratio:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} |",
            recipe.name,
            median(cpu),
            of(|f| f.user_us),
            of(|f| f.system_us),
            of(|f| f.rate),
            of(|f| f.busy),
            of(|f| f.p50_us),
            of(|f| f.p99_us),
            of(|f| f.lost),
            of(|f| f.failed),
            of(|f| f.rss),
            of(|f| f.pss),
            of(|f| f.ready_ms),
        );
    }
}
