//! One scenario put to one server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wire::Transport;

use crate::ask::{self, Question};
use crate::markdown::{Scenario, Step};
use crate::peer::Peer;
use crate::upstream::World;

/// How long a server may take to come up.
const START: Duration = Duration::from_secs(10);

/// A reply in lines; `None` is silence.
pub(crate) struct Answer(Option<Vec<String>>);

impl Answer {
    pub(crate) fn is_silence(&self) -> bool {
        self.0.is_none()
    }

    /// What theirs has and this has not, and the other way round.
    pub(crate) fn differences(&self, theirs: &Self) -> Vec<String> {
        let silence = vec!["no answer".to_owned()];
        let mine = self.0.as_ref().unwrap_or(&silence);
        let theirs = theirs.0.as_ref().unwrap_or(&silence);
        let mut left: Vec<&String> = mine.iter().collect();
        let mut lines = Vec::new();
        for line in theirs {
            match left.iter().position(|known| same(known, line)) {
                Some(at) => drop(left.remove(at)),
                None => lines.push(format!("- {line}")),
            }
        }
        lines.extend(left.into_iter().map(|line| format!("+ {line}")));
        lines
    }
}

/// Equal, but for a second that passed while something was cached.
fn same(a: &str, b: &str) -> bool {
    let ttl = |line: &str| -> Option<(String, u32)> {
        let mut words = line.split(' ');
        let (section, owner, ttl) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        Some((format!("{section} {owner} {}", words.collect::<Vec<_>>().join(" ")), ttl))
    };
    match (ttl(a), ttl(b)) {
        (Some((a, a_ttl)), Some((b, b_ttl))) => a == b && a_ttl.abs_diff(b_ttl) <= 1,
        _ => a == b,
    }
}

/// Asks a server all that can be asked of it; each question with its answer, if that came before
/// `patience` ended.
///
/// # Errors
/// The server does not load the Corefile, or there is nothing to ask.
pub(crate) fn play(
    program: &Path,
    scenario: &Scenario,
    patience: Duration,
) -> Result<Vec<(String, Answer)>, String> {
    let mut corefile = None;
    let mut questions = Vec::new();
    let directory = Scratch::new();
    let world = Arc::new(World::default());
    let mut peers: Vec<Peer> = Vec::new();
    for step in &scenario.steps {
        match step {
            Step::Corefile(text) if corefile.is_none() => corefile = Some(text),
            Step::Ask { question, .. } => questions.push(question.as_str()),
            // What is checked inside the process has no place here.
            Step::Command { text, .. } if !text.starts_with("time") => {}
            Step::File(name, text) if questions.is_empty() => directory.write(name, text),
            Step::Upstream(address, text) if questions.is_empty() => {
                world.set(address, text)?;
                let named = address
                    .parse()
                    .or_else(|_| address.parse().map(|ip| SocketAddr::new(ip, 53)))
                    .map_err(|_| format!("{address} is not an address"))?;
                peers.push(Peer::start(named, &world));
            }
            // Other times, other Corefiles, other files: only what comes before is compared.
            _ => break,
        }
    }
    let corefile = corefile.ok_or("no Corefile")?;
    if questions.is_empty() {
        return Err("no questions".to_owned());
    }
    directory.write("Corefile", on_loopback(corefile, &peers).as_bytes());
    let server = Server::start(program, &directory.0, patience)?;
    let mut answers = Vec::new();
    for more in ["", " +tcp", " +do"] {
        for question in &questions {
            let bare = question.split(" ;").next().unwrap_or(question);
            if !more.is_empty() && bare.contains(more.trim_start_matches(" ")) {
                continue;
            }
            let asked = format!("{bare}{more}");
            let parsed = ask::question(&asked, answers.len() as u16 + 1)?;
            // Another client cannot be had here.
            if parsed.peer.ip() != Ipv4Addr::LOCALHOST {
                continue;
            }
            let answer = server.ask(&parsed);
            answers.push((asked, answer));
        }
    }
    Ok(answers)
}

/// The Corefile with the scenario's upstreams where they really are. Those that it does not have lie
/// on a port where nobody listens: nothing leaves this machine.
fn on_loopback(corefile: &str, peers: &[Peer]) -> String {
    let mut text = String::new();
    for line in corefile.lines() {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let address = word
                .parse::<SocketAddr>()
                .or_else(|_| word.parse().map(|ip| SocketAddr::new(ip, 53)));
            let is_upstream = line.trim_start().starts_with("forward");
            let word = match address {
                Ok(named) if is_upstream => {
                    let peer = peers.iter().find(|peer| peer.named == named);
                    peer.map_or_else(|| "127.0.0.1:9".to_owned(), |peer| peer.at.to_string())
                }
                _ => word.to_owned(),
            };
            words.push(word);
        }
        text.push_str(&words.join(" "));
        text.push('\n');
    }
    text
}

/// A directory that goes away with the scenario.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("catena-compare-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server process; ends with the scenario.
struct Server {
    child: Child,
    port: u16,
    /// One socket for all: what a reply says of the client's port is the same then.
    socket: UdpSocket,
    /// How long a reply may take.
    patience: Duration,
}

impl Server {
    fn start(program: &Path, directory: &Path, patience: Duration) -> Result<Self, String> {
        let port = free_port();
        let mut child = Command::new(program)
            .args(["-conf", "Corefile", "-dns.port", &port.to_string()])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(stream, &said));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        let mut server = Self { child, port, socket, patience };
        let deadline = Instant::now() + START;
        loop {
            let text = said.lock().unwrap().clone();
            // The banner comes when all sockets are open.
            if text.contains("linux/") {
                return Ok(server);
            }
            if server.child.try_wait().map_or(true, |ended| ended.is_some()) {
                return Err(text
                    .lines()
                    .rfind(|line| !line.is_empty())
                    .unwrap_or("it ended")
                    .to_owned());
            }
            if Instant::now() > deadline {
                return Err("it does not come up".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, question: &Question) -> Answer {
        let port = if question.port == 53 { self.port } else { question.port };
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (own, bytes) = match question.transport {
            Transport::Udp => (self.socket.local_addr().unwrap(), self.datagram(to, question)),
            _ => match stream(to, &question.message, self.patience) {
                Some((own, bytes)) => (own, Some(bytes)),
                None => (to, None),
            },
        };
        let Some(bytes) = bytes else { return Answer(None) };
        let mut lines = match ask::show(question, &bytes) {
            Ok(shown) => {
                let mut lines = vec![format!("rcode {}", shown.rcode)];
                lines.extend(shown.flags.iter().map(|flag| format!("flag {flag}")));
                lines.extend(shown.options.iter().map(|option| format!("option {option}")));
                for (tag, section) in ["an", "ns", "ar"].iter().zip(&shown.sections) {
                    let lower = |line: &String| format!("{tag} {}", line.to_ascii_lowercase());
                    lines.extend(section.iter().map(lower));
                }
                lines
            }
            Err(why) => vec![why],
        };
        for line in &mut lines {
            *line = line.replace(&format!(" {} ", own.port()), " PORT ");
        }
        Answer(Some(lines))
    }

    fn datagram(&self, to: SocketAddr, question: &Question) -> Option<Vec<u8>> {
        self.socket.send_to(&question.message, to).ok()?;
        let mut buffer = vec![0; 65_535];
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline {
            let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
            // Late replies to questions before this one.
            if from == to && buffer[..2] == question.message[..2] {
                return Some(buffer[..len].to_vec());
            }
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stream(to: SocketAddr, message: &[u8], patience: Duration) -> Option<(SocketAddr, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], message].concat()).ok()?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply).ok()?;
    Some((stream.local_addr().ok()?, reply))
}

fn listen(mut stream: impl Read, said: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        said.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
}

/// A port below those that the system hands out by itself, another one each time: sockets of the
/// server before may linger.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 21_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 8_000;
        if UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
