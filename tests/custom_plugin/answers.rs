//! The program of `examples/custom-plugin`: its plugin answers, and passes other queries on.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use catena::wire::{Message, NameBuf, Rdata, Record, Rtype, Section, name, rdata};

const PROGRAM: &str = env!("CARGO_BIN_EXE_custom-plugin");
const SERVICE: &[u8] = name!("_services._tcp.example.com.");
const PATIENCE: Duration = Duration::from_secs(10);

/// The server on a port of its own; killed at the end of the test.
struct Server {
    child: Child,
    port: u16,
    directory: PathBuf,
}

impl Server {
    fn start() -> Self {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let corefile = format!(".:{port} {{\n    bind 127.0.0.1\n    custom\n    whoami\n}}\n");
        let name = format!("catena-custom-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("Corefile"), corefile).unwrap();
        let mut command = Command::new(PROGRAM);
        command.current_dir(&directory).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), port, directory }
    }

    /// The reply to a query over UDP, which is repeated until the server serves.
    fn ask(&self, name: &[u8], qtype: Rtype) -> Vec<u8> {
        let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let query = [&header[..], name, &qtype.0.to_be_bytes(), &[0, 1]].concat();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 512];
        while Instant::now() < deadline {
            let _ = socket.send(&query);
            match socket.recv(&mut buffer) {
                Ok(len) => return buffer[..len].to_vec(),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        panic!("no reply");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn records(reply: &[u8]) -> Vec<Record<'_>> {
    Message::new(reply).unwrap().records().map(Result::unwrap).collect()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[test]
fn the_plugin_answers_for_the_service_and_passes_on_the_rest() {
    let server = Server::start();
    let reply = server.ask(SERVICE, Rtype::SRV);
    let [record] = records(&reply)[..] else { panic!("one record: {reply:x?}") };
    let mut owner = NameBuf::new();
    record.owner(&mut owner).unwrap();
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    rdata::expand(record.rtype, &reply, record.rdata_at, record.end, &mut found).unwrap();
    let target = name!("service-1.example.com.");
    Rdata::Srv { priority: 10, weight: 5, port: 8080, target }.write(&mut expected);
    assert_eq!((record.section, owner.as_wire()), (Section::Answer, SERVICE));
    assert_eq!((record.rtype, record.ttl, found), (Rtype::SRV, 300, expected));

    // `whoami` answers with the client's address and port.
    for (name, qtype) in [(name!("www.example.com."), Rtype::SRV), (SERVICE, Rtype::A)] {
        let reply = server.ask(name, qtype);
        let sections: Vec<Section> = records(&reply).iter().map(|record| record.section).collect();
        assert_eq!(sections, [Section::Additional; 2]);
    }
}

#[test]
fn the_program_lists_and_explains_the_plugin() {
    let listed = run(&["-plugins"]).stdout;
    assert!(String::from_utf8(listed).unwrap().lines().any(|line| line == "custom"));
    let manual = run(&["help", "custom"]).stdout;
    assert_eq!(manual, include_bytes!("../../examples/custom-plugin/README.md"));
}
