//! One scenario from start to end, on simulated time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use catena::server::sim::{Ask, Sim};
use chain::Registry;
use corefile::OsLoader;
use net::client::Network;

use crate::ask::{self, Question, Shown};
use crate::markdown::{Scenario, Step, certificate};
use crate::upstream::World;

/// Lines of the file to be replaced when expectations are updated.
pub(crate) type Updates = Vec<(Range<usize>, Vec<String>)>;

struct State {
    sim: Sim,
    world: Arc<World>,
    directory: PathBuf,
    metrics: BTreeMap<String, f64>,
    log: String,
    id: u16,
    /// How long the last question waited for its answer.
    took: Duration,
}

/// Collects log lines while it lives. The log is the process's: one test at a time.
struct Recording(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Recording {
    fn start() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        telemetry::log::capture(true);
        Self(one)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        telemetry::log::capture(false);
    }
}

/// Runs a scenario; the error tells every expectation that did not hold.
pub(crate) fn run(scenario: &Scenario, updates: &mut Updates) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let directory = scratch();
    std::fs::create_dir_all(&directory).unwrap();
    let recording = Recording::start();
    let result = runtime.block_on(async {
        let world = Arc::new(World::default());
        let network = Network::Simulated(Arc::clone(&world) as Arc<dyn net::client::Simulated>);
        let mut sim = Sim::new(registry(), network);
        sim.root.clone_from(&directory);
        let metrics = metrics();
        let mut state = State {
            sim,
            world,
            directory: directory.clone(),
            metrics,
            log: String::new(),
            id: 1,
            took: Duration::ZERO,
        };
        // Files and upstreams that stand before the first question are there from the start.
        let first = scenario.steps.iter().position(|step| matches!(step, Step::Ask { .. }));
        for step in &scenario.steps[..first.unwrap_or(scenario.steps.len())] {
            match step {
                Step::File(name, text) => state.write(name, text)?,
                Step::Upstream(address, text) => state.world.set(address, text)?,
                _ => {}
            }
        }
        let mut problems = Vec::new();
        for step in &scenario.steps {
            if let Err(problem) = state.step(step, updates).await {
                problems.push(problem);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    });
    drop(runtime);
    drop(recording);
    let _ = std::fs::remove_dir_all(&directory);
    result
}

/// A key of session tickets.
const TICKETS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// Loads a Corefile as far as that goes without serving: what READMEs show must load.
pub(crate) fn load_only(text: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = scratch();
    std::fs::create_dir_all(&directory).unwrap();
    let recording = Recording::start();
    let loaded = runtime.block_on(async {
        let world = Arc::new(World::default());
        let mut sim = Sim::new(registry(), Network::Simulated(world));
        sim.root.clone_from(&directory);
        // Examples may name the files of a certificate.
        for name in
            ["cert", "other", "ca"].into_iter().filter(|name| text.contains(&format!("{name}.pem")))
        {
            for (name, bytes) in certificate(name, vec!["dns.example".to_owned()])? {
                std::fs::write(directory.join(name), bytes).map_err(|error| error.to_string())?;
            }
        }
        if text.contains("tickets.txt") {
            std::fs::write(directory.join("tickets.txt"), TICKETS)
                .map_err(|error| error.to_string())?;
        }
        sim.load("Corefile", text, &OsLoader, false)
    });
    drop(recording);
    let _ = std::fs::remove_dir_all(&directory);
    loaded.map(drop)
}

/// All plugins, and the example of CONTRIBUTING.md.
fn registry() -> Registry {
    static REGISTRY: LazyLock<Registry> =
        LazyLock::new(|| plugins::REGISTRY.before("file", &crate::hello::PLUGIN));
    *REGISTRY
}

fn scratch() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("catena-scenario-{}-{number}", std::process::id()))
}

impl State {
    async fn step(&mut self, step: &Step, updates: &mut Updates) -> Result<(), String> {
        match step {
            Step::Corefile(text) => {
                self.sim.load("Corefile", text, &OsLoader, true)?;
                self.settle().await;
                Ok(())
            }
            Step::File(name, text) => self.write(name, text),
            Step::Upstream(address, text) => self.world.set(address, text),
            Step::Refused(text, lines) => self.refused(text, lines),
            Step::Command { line, text } => {
                self.command(text).await.map_err(|problem| format!("  line {line}: {problem}"))
            }
            Step::Ask { line, question, expected, lines } => self
                .ask(question, expected, lines, updates)
                .await
                .map_err(|problem| format!("  line {line}: {question}\n{problem}")),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        }
        std::fs::write(path, bytes).map_err(|error| error.to_string())
    }

    fn refused(&mut self, text: &str, lines: &[String]) -> Result<(), String> {
        let Err(message) = self.sim.load("Corefile", text, &OsLoader, false) else {
            return Err("  the Corefile was accepted".to_owned());
        };
        match lines.iter().find(|line| !message.contains(line.trim())) {
            Some(line) => Err(format!("  the message lacks `{line}`:\n{message}")),
            None => Ok(()),
        }
    }

    /// Lets background work of this moment happen.
    async fn settle(&mut self) {
        // Files are read on other threads, which simulated time does not wait for.
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.log.push_str(&String::from_utf8_lossy(&telemetry::log::capture(true)));
    }

    async fn ask(
        &mut self,
        text: &str,
        expected: &[String],
        lines: &Range<usize>,
        updates: &mut Updates,
    ) -> Result<(), String> {
        let times = ask::question(text, 0)?.times;
        for _ in 0..times {
            if let Some(problem) = self.ask_once(text, expected, lines, updates).await? {
                return Err(problem);
            }
        }
        Ok(())
    }

    /// Asks, and tells what is not as expected.
    async fn ask_once(
        &mut self,
        text: &str,
        expected: &[String],
        lines: &Range<usize>,
        updates: &mut Updates,
    ) -> Result<Option<String>, String> {
        self.id += 1;
        let question = ask::question(text, self.id)?;
        let ask = Ask {
            message: &question.message,
            peer: question.peer,
            transport: question.transport,
            port: question.port,
        };
        let begun = tokio::time::Instant::now();
        let replies = all((0..question.together).map(|_| self.sim.ask(&ask)).collect()).await;
        self.took = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(1)).await;
        if question.within.is_some_and(|within| self.took > within) {
            return Ok(Some(format!("    it took {:?}", self.took)));
        }
        for bytes in replies {
            let problem = self.judge(&question, bytes.as_deref(), expected, lines, updates)?;
            if problem.is_some() {
                return Ok(problem);
            }
        }
        Ok(None)
    }

    /// What is not as expected of a reply.
    fn judge(
        &self,
        question: &Question,
        bytes: Option<&[u8]>,
        expected: &[String],
        lines: &Range<usize>,
        updates: &mut Updates,
    ) -> Result<Option<String>, String> {
        let shown = bytes.map(|bytes| ask::show(question, bytes)).transpose()?;
        let actual = long_form(shown.as_ref());
        let held = compare(expected, shown.as_ref(), question.ordered)?;
        let Some(differs) = held else { return Ok(None) };
        if std::env::var_os("UPDATE").is_some() {
            updates.push((lines.clone(), actual));
            return Ok(None);
        }
        let want = expected.join("\n      ");
        let got = actual.join("\n      ");
        Ok(Some(format!("    {differs}\n    expected\n      {want}\n    got\n      {got}")))
    }

    async fn command(&mut self, text: &str) -> Result<(), String> {
        let text = text.split(" ;").next().unwrap_or(text).trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "time" => {
                let time = ask::duration(rest.trim_start_matches('+'))?;
                tokio::time::sleep(time).await;
                self.settle().await;
                Ok(())
            }
            "took" => {
                let want = ask::duration(rest)?;
                // Timers of simulated time go in whole milliseconds.
                if self.took.abs_diff(want) <= Duration::from_millis(1) {
                    Ok(())
                } else {
                    Err(format!("it took {:?}", self.took))
                }
            }
            "upstream" => {
                let (address, count) =
                    rest.split_once(" asked ").ok_or("say `upstream ADDRESS asked N`")?;
                let (want, got): (usize, _) = (
                    count.trim().parse().map_err(|_| "N is a number")?,
                    self.world.asked(address.trim())?,
                );
                if want == got { Ok(()) } else { Err(format!("asked {got} times, not {want}")) }
            }
            "metric" => {
                let (name, value) = rest.rsplit_once(' ').ok_or("say `metric NAME VALUE`")?;
                let want: f64 = value.parse().map_err(|_| "VALUE is a number")?;
                let got = self.metric(name.trim());
                if (want - got).abs() < 1e-9 { Ok(()) } else { Err(format!("it is {got}")) }
            }
            "log" => {
                self.settle().await;
                if self.log.contains(rest) {
                    Ok(())
                } else {
                    Err(format!("not in the log:\n{}", self.log))
                }
            }
            "nolog" => {
                self.settle().await;
                if self.log.contains(rest) { Err(format!("the log has `{rest}`")) } else { Ok(()) }
            }
            "remove" => {
                let path = self.directory.join(rest);
                let gone = if path.is_dir() {
                    std::fs::remove_dir_all(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                gone.map_err(|error| format!("cannot remove {rest}: {error}"))
            }
            // The block that follows does the work; the line is for the reader.
            "file" | "reload" => Ok(()),
            _ => Err(format!("unknown command `{word}`")),
        }
    }

    /// What was counted in this scenario (or the value of a gauge), over all children whose labels
    /// include those given.
    fn metric(&self, selector: &str) -> f64 {
        let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
        let labels: Vec<&str> =
            labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
        metrics()
            .iter()
            .filter(|(key, _)| {
                let (known, rest) = key.split_once('{').unwrap_or((key, ""));
                known == name && labels.iter().all(|label| rest.contains(label.trim()))
            })
            .map(|(key, value)| {
                let counts = name.ends_with("_total")
                    || name.ends_with("_count")
                    || name.ends_with("_sum")
                    || name.ends_with("_bucket");
                let before = if counts { self.metrics.get(key).copied() } else { None };
                value - before.unwrap_or(0.0)
            })
            .sum()
    }
}

/// Waits for all of them at once.
async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (place, future) in done.iter_mut().zip(&mut waiting) {
            if let Some(running) = future
                && let Poll::Ready(value) = running.as_mut().poll(context)
            {
                *place = Some(value);
                *future = None;
            }
        }
        if waiting.iter().all(Option::is_none) {
            Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
        } else {
            Poll::Pending
        }
    })
    .await
}

fn metrics() -> BTreeMap<String, f64> {
    telemetry::metrics::text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            Some((key.to_owned(), value.parse().ok()?))
        })
        .collect()
}

fn long_form(shown: Option<&Shown>) -> Vec<String> {
    let Some(shown) = shown else { return vec!["DROP".to_owned()] };
    let mut head = shown.rcode.clone();
    for flag in ["aa", "tc", "ra", "ad"] {
        let set = shown.flags.iter().any(|known| known == flag);
        head.push_str(&format!(" {flag}={}", u8::from(set)));
    }
    for flag in shown.flags.iter().filter(|flag| flag.contains('=')) {
        head.push_str(&format!(" {flag}"));
    }
    let mut lines = vec![head];
    for (section, records) in wire::Section::ALL.into_iter().zip(&shown.sections) {
        lines.extend(records.iter().map(|record| format!("{} {record}", ask::tag(section))));
    }
    lines.extend(shown.options.iter().map(|option| format!("opt {option}")));
    lines
}

/// What differs, if anything; an error if the expectation itself cannot be read.
fn compare(
    expected: &[String],
    shown: Option<&Shown>,
    ordered: bool,
) -> Result<Option<String>, String> {
    let Some(head) = expected.first() else { return Ok(Some("nothing is expected".to_owned())) };
    let Some(shown) = shown else {
        return Ok((head.trim() != "DROP").then(|| "no reply".to_owned()));
    };
    let (head, short) = match head.split_once('|') {
        Some((head, answers)) => (head.trim(), Some(answers)),
        None => (head.trim(), None),
    };
    let mut words = head.split_whitespace();
    let rcode = words.next().unwrap_or_default();
    if rcode != shown.rcode {
        return Ok(Some(format!("rcode {} instead of {rcode}", shown.rcode)));
    }
    for word in words {
        let (flag, value) = word.split_once('=').unwrap_or((word, "1"));
        let differs = match flag {
            "ede" if value == "none" => shown.flags.iter().any(|known| known.starts_with("ede=")),
            "tsig" => !shown.flags.iter().any(|known| known == word),
            "ede" => !shown.flags.iter().any(|known| known == word),
            _ => shown.flags.iter().any(|known| known == flag) != (value == "1"),
        };
        if differs {
            return Ok(Some(format!("{flag} is not {value}")));
        }
    }
    let mut want: [Option<Vec<String>>; 3] = Default::default();
    let mut options = Vec::new();
    match short {
        Some(answers) => {
            let records = answers.split(';').map(str::trim).filter(|text| !text.is_empty());
            want[0] = Some(records.map(ask::normal).collect::<Result<_, _>>()?);
        }
        None => {
            want = [Some(Vec::new()), Some(Vec::new()), Some(Vec::new())];
            for line in &expected[1..] {
                let (tag, text) = line.split_once(' ').unwrap_or((line, ""));
                let section = match tag {
                    "an" => 0,
                    "ns" => 1,
                    "ar" => 2,
                    "opt" => {
                        options.push(text.trim().to_owned());
                        continue;
                    }
                    _ => return Err(format!("    `{line}` starts with an, ns, ar or opt")),
                };
                if text.trim() == "*" {
                    want[section] = None;
                } else if let Some(records) = &mut want[section] {
                    records.push(ask::normal(text)?);
                }
            }
        }
    }
    for (section, want) in wire::Section::ALL.into_iter().zip(want) {
        let Some(mut want) = want else { continue };
        let mut got = shown.sections[section as usize].clone();
        if !ordered {
            want.sort();
            got.sort();
        }
        if want != got {
            return Ok(Some(format!("section {} differs", ask::tag(section))));
        }
    }
    if options != shown.options && (short.is_none() || !options.is_empty()) {
        return Ok(Some("options differ".to_owned()));
    }
    Ok(None)
}
