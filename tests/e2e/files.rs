//! Files that change are read again at once, long before the next regular look; files that are none
//! are not read.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use wire::Rtype;

use crate::kit::{CATENA, PATIENCE, Scratch, Server, ZONE, free_port, question, run, text};

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

#[test]
fn a_corefile_may_come_from_a_pipe_and_from_no_device() {
    let (scratch, port) = (Scratch::new(), free_port());
    scratch.write("example.org.zone", ZONE);
    let pipe = scratch.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut server = Server::spawn(CATENA, scratch, port, &["-conf", "pipe"], &[]);
    let corefile = SERVES.replace("{port}", &port.to_string());
    // Opening it waits for the server, which waits for the text.
    std::fs::write(&pipe, corefile.split("hosts.test").next().unwrap()).unwrap();
    server.wait_for("\ncatena-");
    server.assert_serves();
    server.signal("HUP");
    server.wait_for("the configuration was not read from a file");
    server.assert_serves();

    let refused = run(server.scratch.path(), &["-conf", "/dev/zero"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("open /dev/zero: it is not a regular file but a device"), "{said}");
}

#[test]
fn a_planted_link_is_not_written_through() {
    let (scratch, port) = (Scratch::new(), free_port());
    scratch.write("example.org.zone", ZONE);
    scratch.write("Corefile", &SERVES.replace("{port}", &port.to_string()));
    scratch.write("names", "");
    scratch.write("victim", "precious");
    let path = |name: &str| scratch.path().join(name);
    let (pid, victim) = (path("pid"), path("victim"));
    symlink(&victim, &pid).unwrap();
    let mut server = Server::start_in(scratch, port, &["-pidfile", "pid"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(&pid).unwrap(), format!("{}\n", server.id()));
    // That of another process is left to it.
    std::fs::write(&pid, "1\n").unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(std::fs::read_to_string(&pid).unwrap(), "1\n");
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
