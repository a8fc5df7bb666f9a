//! `dnstap` read by the programs that operators use: `fstrm_capture` takes it, `dnstap-read` shows it.

use std::process::{Command, Stdio};
use std::time::Instant;

use hickory_server::proto::rr::RecordType;

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, Server, free_port};
use crate::peer;

#[test]
fn a_capture_has_each_query_its_reply_and_the_upstream_s() {
    let folder = Scratch::new();
    let (socket, file) = (folder.path().join("tap.sock"), folder.path().join("log.dnstap"));
    let mut capture = Command::new(peer::program("fstrm_capture", "fstrm-bin", folder.path()))
        .args(["-t", "protobuf:dnstap.Dnstap", "-u"])
        .arg(&socket)
        .arg("-w")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !socket.exists() {
        assert!(Instant::now() < deadline, "fstrm_capture does not listen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Its own upstream: a second server block.
    let upstream = free_port();
    let corefile = format!(
        ".:{{port}} {{\n    dnstap {} full\n    forward . 127.0.0.1:{upstream}\n}}\n\
         example.org:{upstream} {{\n    file example.org.zone\n}}\n",
        socket.display()
    );
    let mut server = Server::start(&corefile);
    let client = Client::new(server.port);
    let question = Question::new("ns.example.org.", RecordType::A);
    client.ask_udp(&question);
    client.ask_tcp(&question);
    // What waits is sent before the process ends.
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    // It writes what it has when it is told to stop.
    let stop = format!("kill -TERM {}", capture.id());
    assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
    capture.wait().unwrap();
    let file = file.display().to_string();
    let shown = peer::run("dnstap-read", "bind9-dnsutils", folder.path(), &[&file]);
    // `DATE TIME CQ 127.0.0.1:40000 -> 127.0.0.1:53 UDP 33b ns.example.org/IN/A`
    // without what was asked to see that the server is there.
    let ours = shown.lines().filter(|line| line.contains(" ns."));
    let lines: Vec<Vec<&str>> = ours.map(|line| line.split(' ').collect()).collect();
    let (here, there) = (server.port.to_string(), upstream.to_string());
    let exchange = |proto| {
        let one = |kind, port| [kind, port, proto, "ns.example.org/IN/A"].map(str::to_owned);
        [one("CQ", &here), one("FQ", &there), one("FR", &there), one("CR", &here)]
    };
    let said: Vec<[String; 4]> = lines
        .iter()
        .map(|line| {
            let port = line[5].rsplit_once(':').unwrap().1;
            [line[2], port, line[6], line[8]].map(str::to_owned)
        })
        .collect();
    assert_eq!(said, [exchange("UDP"), exchange("TCP")].concat(), "{shown}");
}
