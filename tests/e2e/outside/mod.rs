//! The same outside as CoreDNS: log lines, banner, probes and metrics, compared with what a real one
//! showed.
//!
//! A folder of `outside/` is a case: a Corefile, files beside it, a `script.txt` of steps and what
//! CoreDNS 1.14.7 showed then, `recorded.txt`. `RECORD=/path/to/coredns cargo test --test e2e outside`
//! writes that file. `differences.txt` has the lines that differ on purpose: `-` CoreDNS, `+` ours,
//! and above them the reason.
//!
//! Steps: `ask NAME TYPE [do cd ad nord noedns tcp other]`, `get ENDPOINT PATH`, `metrics [PREFIX]`,
//! `write FILE` (over the Corefile), `signal NAME`, `wait WORDS` (for the next log line with them) and
//! `stop SIGNAL`.

mod exposition;
mod lines;
mod upstream;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wire::{Name, Rtype};

use crate::kit::{CATENA, PATIENCE, Scratch, Server, framed, free_port, read_framed};

#[test]
fn as_kubeadm_sets_it_up() {
    compare("kubeadm");
}

#[test]
fn with_more_plugins() {
    compare("plugins");
}

#[test]
fn own_metrics_are_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = documented();
    let mut folders = vec![root.join("src"), root.join("plugins")];
    let mut used = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = std::fs::read_to_string(path).unwrap();
                let product = text.split("#[cfg(test)]").next().unwrap().to_owned();
                let own = literals_after(&product, "\"catena_");
                used.extend(own.map(|word| format!("catena_{word}")));
                for family in literals_after(&product, "metric_names!(\"") {
                    let names = literals_after(OWNER, "concat!(\"catena_\", $family, \"");
                    used.extend(names.map(|name| format!("catena_{family}{name}")));
                }
            }
        }
    }
    assert_eq!(used, listed, "used in the sources, and listed in the README of prometheus");
}

/// Where `metric_names!` puts names together.
const OWNER: &str = include_str!("../../../src/upstream/config/owner.rs");

/// The names behind `before`, each up to the end of its literal.
fn literals_after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let literals = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
    literals.filter(|word| is_metric(word))
}

fn is_metric(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The metrics of our own that the README of `prometheus` lists.
fn documented() -> BTreeSet<String> {
    let readme = include_str!("../../../plugins/prometheus/README.md");
    let names = readme.split('`').skip(1).step_by(2).filter_map(|code| code.split('{').next());
    names.filter(|name| name.starts_with("catena_")).map(ToOwned::to_owned).collect()
}

/// Runs a case and compares it with the recording, or records it.
fn compare(case: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/outside").join(case);
    let recorded = folder.join("recorded.txt");
    if let Ok(coredns) = std::env::var("RECORD") {
        let shown = Run::of(&coredns, &folder).shown;
        std::fs::write(recorded, shown.join("\n") + "\n").unwrap();
        return;
    }
    let mut run = Run::of(CATENA, &folder);
    let mut own: BTreeSet<String> = BTreeSet::new();
    run.shown.retain(|line| {
        let is_own = line.starts_with("catena_");
        own.extend(is_own.then(|| line.split([' ', '{']).next().unwrap_or(line).to_owned()));
        !is_own
    });
    let listed = documented();
    let undocumented: Vec<&String> = own.difference(&listed).collect();
    assert!(undocumented.is_empty(), "not in the README of prometheus: {undocumented:?}");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let expected = lines::with_differences(&text("recorded.txt"), &text("differences.txt"));
    let differ = lines::differ(&expected, &run.shown);
    assert!(
        differ.is_empty(),
        "{case}: - CoreDNS, + ours\n{differ}\nall of the log:\n{}",
        run.said
    );
}

/// A server that goes through a script.
struct Run {
    server: Server,
    /// Names of ports in Corefiles and scripts.
    ports: Vec<(&'static str, u16)>,
    folder: PathBuf,
    /// What it showed, ports and times taken out.
    shown: Vec<String>,
    /// How much of what it said was waited for.
    waited: usize,
    id: u16,
    said: String,
}

impl Run {
    fn of(program: &str, folder: &Path) -> Self {
        let upstream = upstream::Upstream::start();
        let mut ports: Vec<(&'static str, u16)> =
            ["port", "other", "health", "ready", "metrics"].map(|name| (name, free_port())).into();
        ports.push(("upstream", upstream.port));
        let scratch = Scratch::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            scratch.write(name, &with_ports(&text, &ports));
        }
        let server = Server::spawn(program, scratch, ports[0].1, &["-conf", "Corefile"], &[]);
        let folder = folder.to_owned();
        let (shown, said) = (Vec::new(), String::new());
        let mut run = Self { server, ports, folder, shown, waited: 0, id: 0, said };
        // The platform, the end of the banner, and the probe of `loop`.
        run.server.wait_for("\nlinux/");
        run.server.wait_for("HINFO");
        let script = std::fs::read_to_string(run.folder.join("script.txt")).unwrap();
        for step in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            run.step(step);
        }
        run.said = run.server.said();
        let log = lines::of_log(&run.said);
        run.shown.extend(log.into_iter().map(|line| without_ports(&line, &run.ports)));
        run
    }

    fn step(&mut self, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "ask" => self.ask(rest),
            "get" => self.get(rest),
            "metrics" => {
                let scrape = || exposition::lines(&self.fetch("metrics", "/metrics").2, rest);
                // CoreDNS counts a query a moment after its answer is out.
                let mut lines = scrape();
                loop {
                    std::thread::sleep(Duration::from_millis(20));
                    let again = scrape();
                    if again == lines {
                        break;
                    }
                    lines = again;
                }
                let [request, reply] = lines::probe(&self.server.said());
                let known = |line: &str| {
                    let line = without_ports(line, &self.ports);
                    let line = exposition::without(&line, "request", request);
                    exposition::without(&line, "response", reply)
                };
                self.shown.extend(lines.iter().map(|line| known(line)));
            }
            "write" => {
                let text = std::fs::read_to_string(self.folder.join(rest)).unwrap();
                // In one go: a Corefile seen half written would be another one.
                self.server.scratch.write("next", &with_ports(&text, &self.ports));
                let path = |name| self.server.scratch.path().join(name);
                std::fs::rename(path("next"), path("Corefile")).unwrap();
            }
            "signal" => self.server.signal(rest),
            "wait" => self.wait(rest),
            "stop" => {
                let start = Instant::now();
                self.server.signal(rest);
                let code = self.server.wait();
                let corefile = std::fs::read_to_string(self.folder.join("Corefile")).unwrap();
                let waits = corefile.contains("lameduck 1s");
                assert!(!waits || start.elapsed() >= Duration::from_secs(1), "no lame duck");
                self.shown.push(format!("SIG{rest}: exit {code:?}"));
            }
            _ => panic!("no such step: {step}"),
        }
    }

    /// Waits for the next line with these words.
    fn wait(&mut self, words: &str) {
        let from = self.waited;
        self.server.wait_until(words, |server| {
            server.said()[from..].split_inclusive('\n').any(|line| line.contains(words))
        });
        let said = self.server.said();
        self.waited = from + said[from..].find(words).unwrap() + words.len();
    }

    fn port(&self, wanted: &str) -> u16 {
        self.ports.iter().find(|(name, _)| *name == wanted).unwrap().1
    }

    /// Asks and waits for the answer: the next query is logged after this one.
    fn ask(&mut self, step: &str) {
        let words: Vec<&str> = step.split(' ').collect();
        let has = |option| words[2..].contains(&option);
        self.id += 1;
        let flags = [("nord", 0x0100), ("ad", 0x20), ("cd", 0x10)];
        let bits =
            flags.iter().filter(|(name, _)| has(name)).fold(0x0100, |bits, (_, bit)| bits ^ bit);
        let mut message = Vec::new();
        for word in [self.id, bits, 1, 0, 0, u16::from(!has("noedns"))] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message.extend_from_slice(Name::from_text(words[0]).unwrap().as_wire());
        let rtype = Rtype::from_text(words[1]).unwrap();
        message.extend_from_slice(&[(rtype.0 >> 8) as u8, rtype.0 as u8, 0, 1]);
        if !has("noedns") {
            let dnssec_ok = if has("do") { 0x80 } else { 0 };
            message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, dnssec_ok, 0, 0, 0]);
        }
        let port = self.port(if has("other") { "other" } else { "port" });
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if has("tcp") {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&framed(&message)).unwrap();
            assert_eq!(read_framed(&mut stream).id(), self.id, "{step}");
        } else {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(&message, server).unwrap();
            let mut reply = [0; 4096];
            let len = socket.recv(&mut reply).unwrap_or_else(|_| panic!("{step}: no answer"));
            assert!(len >= 12 && reply[..2] == message[..2], "{step}");
        }
        if !has("other") {
            self.server.wait_for(&format!(" - {} \"", self.id));
        }
    }

    fn get(&mut self, step: &str) {
        let (endpoint, path) = step.split_once(' ').unwrap();
        let (status, kind, body) = self.fetch(endpoint, path);
        self.shown.push(format!("GET {endpoint}{path}: {status}, {kind}, {body:?}"));
    }

    /// Status, content type and body.
    fn fetch(&self, endpoint: &str, path: &str) -> (String, String, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port(endpoint))).unwrap();
        stream.set_read_timeout(Some(PATIENCE + Duration::from_secs(5))).unwrap();
        // HTTP/1.0: the body is neither in chunks nor compressed.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
        };
        let kind = head.lines().find_map(header).unwrap_or_default();
        (status.to_owned(), kind, body.to_owned())
    }
}

fn with_ports(text: &str, ports: &[(&str, u16)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (name, port)| {
        text.replace(&format!("{{{name}}}"), &port.to_string())
    })
}

fn without_ports(text: &str, ports: &[(&str, u16)]) -> String {
    ports.iter().fold(text.to_owned(), |text, (name, port)| {
        text.replace(&format!(":{port}"), &format!(":{{{name}}}"))
    })
}
