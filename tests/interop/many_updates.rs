//! Updates by the thousand, one record each: a knotd, a named and a Catena follow by NOTIFY and IXFR, and have
//! the same zone in the end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{self, PATIENCE, Scratch, Server, free_port};
use crate::peer::{Peer, Recipe};

const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
const UPDATES: u32 = 1000;
/// Updates without a pause.
const TOGETHER: u32 = 50;

/// A primary that takes updates and notifies these ports.
fn primary(ports: &[u16]) -> Server {
    let scratch = Scratch::new();
    let mut seed =
        "$TTL 60\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n".to_owned();
    for host in 0..300 {
        seed += &format!("host{host} A 192.0.2.7\nhost{host} MX 5 host{host}\n");
    }
    scratch.write("seed", &seed);
    let to: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    scratch.write(
        "Corefile",
        &format!(
            "example.org {{\n bind 127.0.0.1\n tsig {{\n secret k. {SECRET}\n }}\n transfer {{\n to {} {{\n key \
             k.\n }}\n notify_delay 50ms\n }}\n dynupdate {{\n file seed\n database db\n allow k. * *\n \
             }}\n}}\n",
            to.join(" ")
        ),
    );
    Server::start_in(scratch, free_port(), &["-conf", "Corefile"])
}

/// A Catena that follows.
fn catena(primary: u16, port: u16) -> Server {
    let scratch = Scratch::new();
    scratch.write(
        "Corefile",
        &format!(
            "example.org:{port} {{\n bind 127.0.0.1\n tsig {{\n secret k. {SECRET}\n }}\n transfer {{\n to \
             127.0.0.1 {{\n notify off\n }}\n }}\n secondary {{\n transfer from 127.0.0.1:{primary}\n key \
             k.\n }}\n}}\n"
        ),
    );
    Server::start_in(scratch, port, &["-conf", "Corefile"])
}

fn knotd(primary: u16, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: info\nkey:\n  - id: k.\n    algorithm: hmac-sha256\n    secret: \
         {SECRET}\nremote:\n  - id: primary\n    address: 127.0.0.1@{primary}\n    key: k.\nacl:\n  - id: \
         notify\n    key: k.\n    action: notify\n  - id: open\n    address: 127.0.0.1\n    action: \
         transfer\nzone:\n  - domain: example.org\n    storage: \"{directory}\"\n    master: primary\n    \
         acl: [notify, open]\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn named(primary: u16, directory: &Path, port: u16) -> Recipe {
    let directory = directory.display();
    let config = format!(
        "options {{ directory \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ \
         none; }}; pid-file \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; \
         managed-keys-directory \"{directory}\"; notify no; empty-zones-enable no; recursion no; \
         dnssec-validation no; serial-query-rate 1000; allow-transfer {{ 127.0.0.1; }}; }};\ncontrols \
         {{}};\nkey \"k.\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\nzone \"example.org\" {{ \
         type secondary; primaries port {primary} {{ 127.0.0.1 key \"k.\"; }}; file \"secondary\"; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}

/// Sends these updates, one message each: names come, and sets of others come and go.
fn update(server: &Server, numbers: std::ops::Range<u32>) {
    let mut script = format!("server 127.0.0.1 {}\nzone example.org.\n", server.port);
    for number in numbers {
        script += &match number % 4 {
            1 => format!("update delete host{}.example.org. MX\n", number / 4),
            3 => format!("update add host{}.example.org. 60 TXT \"{number}\"\n", number / 4),
            _ => format!("update add new{number}.example.org. 60 A 192.0.2.1\n"),
        };
        script += "send\n";
    }
    let key = format!("hmac-sha256:k.:{SECRET}");
    let mut child = Command::new("nsupdate")
        .args(["-v", "-t", "30", "-y", &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate: install bind9-dnsutils, as `make need-peers` does");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = kit::text(&output.stdout) + &kit::text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

fn serial(port: u16) -> Option<u32> {
    let client = Client::with_patience(port, Duration::from_millis(500));
    let reply = client.try_udp(&Question::new("example.org.", RecordType::SOA)).ok()?;
    reply.answer.first()?.rdata.split(' ').nth(2)?.parse().ok()
}

/// The zone of a server, as a master file.
fn fetch(directory: &Scratch, port: u16, name: &str, arguments: &[&str]) {
    let server = format!("@127.0.0.1:{port}");
    let out = kit::run(directory.path(), &[&["axfr", &server, "example.org"], arguments].concat());
    assert!(out.status.success(), "{name}: {}", kit::text(&out.stderr));
    directory.write(name, &kit::text(&out.stdout));
}

#[test]
fn a_thousand_updates_reach_a_knotd_a_named_and_a_catena() {
    let ports = [free_port(), free_port(), free_port()];
    let ours = primary(&ports);
    let probe = Question::new("example.org.", RecordType::SOA);
    let knotd = Peer::start_at(ports[0], |at, port| knotd(ours.port, at, port), &probe);
    let named = Peer::start_at(ports[1], |at, port| named(ours.port, at, port), &probe);
    let catena = catena(ours.port, ports[2]);
    let all =
        || format!("ours:\n{}\n{}\n{}\n{}", ours.said(), knotd.said(), named.said(), catena.said());
    let wait = |wanted: u32| {
        let deadline = Instant::now() + 3 * PATIENCE;
        for port in ports {
            while serial(port) != Some(wanted) {
                let name = ports.iter().position(|one| *one == port);
                assert!(Instant::now() < deadline, "secondary {name:?} is late:\n{}", all());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    wait(1);
    // Secondaries that are far behind get the whole zone, as it is smaller than what changed: they have to come
    // along.
    for first in (0..UPDATES).step_by(TOGETHER as usize) {
        update(&ours, first..first + TOGETHER);
        assert_eq!(serial(ours.port), Some(1 + first + TOGETHER));
        wait(1 + first + TOGETHER);
    }
    let said = ours.said();
    let count = |text: &str| said.lines().filter(|line| line.contains(text)).count();
    assert!(
        count("Outgoing incremental transfer of") as u32 >= 3 * UPDATES / TOGETHER,
        "{}",
        all()
    );
    assert_eq!(count("Outgoing transfer of"), 3, "each came as a whole once: {}", all());

    let files = Scratch::new();
    fetch(&files, ours.port, "ours", &["-y", &format!("hmac-sha256:k.:{SECRET}")]);
    for (port, name) in ports.into_iter().zip(["knotd", "named", "catena"]) {
        fetch(&files, port, name, &[]);
        let out = kit::run(files.path(), &["zone", "diff", "ours", name]);
        let said = kit::text(&out.stdout) + &kit::text(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{name}: {said}");
    }
}
