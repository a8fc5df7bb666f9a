//! Files that change are read again at once, long before the next regular look.

use std::time::{Duration, Instant};

use wire::Rtype;

use crate::kit::{PATIENCE, Server, ZONE, question};

const SERVES: &str = "\
example.org:{port} {
  bind 127.0.0.1
  file example.org.zone {
    reload 1h
  }
}
hosts.test:{port} {
  bind 127.0.0.1
  hosts names {
    reload 1h
  }
}
";

/// Until a query of type A has that many answers.
fn wait_for(server: &Server, name: &str, answers: usize) {
    let deadline = Instant::now() + PATIENCE;
    let asked = question(5, name, Rtype::A, &[]);
    while server.ask(&asked).answers() != answers {
        assert!(Instant::now() < deadline, "{name}:\n{}", server.said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_changed_file_is_read_at_once() {
    let server = Server::start(SERVES);
    wait_for(&server, "new.example.org", 0);
    // Renamed into place, as careful writers do.
    server.scratch.write("next", &ZONE.replace("1 7200", "2 7200").replace("www  ", "new  "));
    let path = |name| server.scratch.path().join(name);
    std::fs::rename(path("next"), path("example.org.zone")).unwrap();
    wait_for(&server, "new.example.org", 1);
    wait_for(&server, "www.example.org", 0);
    // Written in place; the file is not there at the start.
    wait_for(&server, "a.hosts.test", 0);
    server.scratch.write("names", "192.0.2.1 a.hosts.test\n");
    wait_for(&server, "a.hosts.test", 1);
    // A broken zone changes nothing, the next good one is taken.
    server.scratch.write("example.org.zone", "@ SOA ns hostmaster 3 7200 3600 (\n");
    server.scratch.write("example.org.zone", &ZONE.replace("1 7200", "4 7200"));
    wait_for(&server, "www.example.org", 1);
}

/// A log that is written beside a broken zone makes nobody read the zone again, or tell of it.
#[test]
fn a_broken_file_is_told_once_however_busy_its_directory_is() {
    let server = Server::start(SERVES);
    wait_for(&server, "www.example.org", 1);
    let mistakes = || server.said().matches("plugin/file: Parsing zone").count();
    let broken = ZONE.replace("1 7200", "2 7200").replace("192.0.2.80", "192.0.2.800");
    server.scratch.write("example.org.zone", &broken);
    let deadline = Instant::now() + PATIENCE;
    while mistakes() == 0 {
        assert!(Instant::now() < deadline, "{}", server.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(server.said().contains("example.org.zone:5:"), "{}", server.said());
    // For longer than a notice needs, which used to be ten a second.
    for line in 0..60 {
        server.scratch.write("busy.log", &"a line\n".repeat(line));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Written again as it is: another version, whose mistakes wait for the next regular look.
    server.scratch.write("example.org.zone", &broken);
    server
        .scratch
        .write("example.org.zone", &ZONE.replace("1 7200", "3 7200").replace("www ", "new "));
    wait_for(&server, "new.example.org", 1);
    assert_eq!(mistakes(), 1, "{}", server.said());
}
