//! A server process, and how to talk to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wire::{Message, Name, Rtype};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The zone that most tests serve: small answers, one that needs TCP, a delegation.
pub(crate) const ZONE: &str = "\
$TTL 300
@       SOA ns hostmaster 1 7200 3600 1209600 300
        NS  ns
ns      A   192.0.2.1
www     A   192.0.2.80
*.wild  A   192.0.2.90
big     TXT ( \"0000000000000000000000000000000000000000000000000000000000000000\"
              \"1111111111111111111111111111111111111111111111111111111111111111\" )
        TXT \"2222222222222222222222222222222222222222222222222222222222222222222222222222222\"
        TXT \"3333333333333333333333333333333333333333333333333333333333333333333333333333333\"
        TXT \"4444444444444444444444444444444444444444444444444444444444444444444444444444444\"
        TXT \"5555555555555555555555555555555555555555555555555555555555555555555555555555555\"
        TXT \"6666666666666666666666666666666666666666666666666666666666666666666666666666666\"
";

/// A directory that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("catena-e2e-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody has on UDP nor TCP, below those that the system hands out by itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + (std::process::id() % 150) as u16 * 100;
    loop {
        let address = (Ipv4Addr::UNSPECIFIED, start + NEXT.fetch_add(1, Ordering::Relaxed) % 100);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address.1;
        }
    }
}

/// Runs the program to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut child = command(CATENA, directory, arguments).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} does not end: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program under test.
pub(crate) const CATENA: &str = env!("CARGO_BIN_EXE_catena");

fn command(program: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server; killed when the test is done with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) scratch: Scratch,
    said: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts with a Corefile in which `{port}` stands for a free port, beside `example.org.zone`.
    pub(crate) fn start(corefile: &str) -> Self {
        Self::start_with(corefile, &[])
    }

    /// Starts with more arguments; waits until the server has told that it serves.
    pub(crate) fn start_with(corefile: &str, arguments: &[&str]) -> Self {
        let port = free_port();
        let scratch = Scratch::new();
        scratch.write("example.org.zone", ZONE);
        scratch.write("Corefile", &corefile.replace("{port}", &port.to_string()));
        Self::start_in(scratch, port, &[&["-conf", "Corefile"], arguments].concat())
    }

    /// Starts with more in its environment; waits until it serves.
    pub(crate) fn start_under(corefile: &str, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let scratch = Scratch::new();
        scratch.write("example.org.zone", ZONE);
        scratch.write("Corefile", &corefile.replace("{port}", &port.to_string()));
        let mut server = Self::spawn(CATENA, scratch, port, &[], environment);
        server.wait_for("\ncatena-");
        server
    }

    /// Starts in a directory as it is; `port` is the default port.
    pub(crate) fn start_in(scratch: Scratch, port: u16, arguments: &[&str]) -> Self {
        let mut server = Self::spawn(CATENA, scratch, port, arguments, &[]);
        if !arguments.contains(&"-quiet") {
            server.wait_for("catena-");
        }
        server.wait_until("the first answer", |server| {
            server.try_ask(&question(1, "www.example.org", Rtype::A, &[])).is_some()
        });
        server
    }

    /// Starts a program in a directory as it is, and waits for nothing.
    pub(crate) fn spawn(
        program: &str,
        scratch: Scratch,
        port: u16,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let port_text = port.to_string();
        let all = [&["-dns.port", &port_text], arguments].concat();
        let mut command = command(program, scratch.path(), &all);
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let readers = streams.map(|stream| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(stream, &said))
        });
        Self { child, port, scratch, said, readers: readers.into() }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said `words`.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.wait_until(words, |server| server.said().contains(words));
    }

    /// Waits until `done` says so.
    pub(crate) fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}):\n{}", self.said());
            assert!(Instant::now() < deadline, "no {what} in time:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end; the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A socket that talks to the server only.
    pub(crate) fn udp(&self) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn try_ask(&self, message: &[u8]) -> Option<Answer> {
        let socket = self.udp();
        socket.send(message).ok()?;
        let mut buffer = [0; 65_535];
        let len = socket.recv(&mut buffer).ok()?;
        Some(Answer(buffer[..len].to_vec()))
    }

    /// Asks over UDP; must be answered.
    pub(crate) fn ask(&self, message: &[u8]) -> Answer {
        let answer = (0..3).find_map(|_| self.try_ask(message));
        answer.unwrap_or_else(|| panic!("no answer:\n{}", self.said()))
    }

    /// Asks over TCP; must be answered.
    pub(crate) fn ask_tcp(&self, message: &[u8]) -> Answer {
        let mut stream = self.tcp();
        stream.write_all(&framed(message)).unwrap();
        read_framed(&mut stream)
    }

    /// Must still answer as it does.
    pub(crate) fn assert_serves(&self) {
        let asked = question(77, "www.example.org", Rtype::A, &[]);
        for answer in [self.ask(&asked), self.ask_tcp(&asked)] {
            assert_eq!((answer.id(), answer.rcode(), answer.answers()), (77, 0, 1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut stream: impl Read, said: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        said.lock().unwrap().push_str(&text(&buffer[..len]));
    }
}

/// A question; `opt` is what stands behind it, an OPT record or nothing.
pub(crate) fn question(id: u16, name: &str, rtype: Rtype, opt: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, u16::from(!opt.is_empty())] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(Name::from_text(name).unwrap().as_wire());
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(opt);
    message
}

/// The message behind its length, as TCP wants it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

pub(crate) fn read_framed(stream: &mut TcpStream) -> Answer {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).unwrap();
    Answer(message)
}

/// A reply.
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    fn message(&self) -> Message<'_> {
        Message::new(&self.0).unwrap()
    }

    pub(crate) fn id(&self) -> u16 {
        self.message().id()
    }

    pub(crate) fn rcode(&self) -> u16 {
        self.message().flags() & 15
    }

    pub(crate) fn authoritative(&self) -> bool {
        self.message().flags() & 0x0400 != 0
    }

    pub(crate) fn truncated(&self) -> bool {
        self.message().flags() & 0x0200 != 0
    }

    /// How many records the answer section has; all records must be readable.
    pub(crate) fn answers(&self) -> usize {
        assert!(self.message().records().all(|record| record.is_ok()));
        usize::from(self.message().counts()[1])
    }
}
