//! Flags, exit codes and messages: those of CoreDNS 1.14.7, seen from outside, with our name.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use wire::Rtype;

use crate::kit::{Scratch, Server, free_port, question, run, text};

const USAGE: &str = "Usage of catena:
  -conf string
    \tCorefile to load (default \"Corefile\")
  -dns.port string
    \tDefault port (default \"53\")
  -p string
    \tDefault port (default \"53\")
  -pidfile string
    \tPath to write pid file
  -plugins
    \tList installed plugins
  -quiet
    \tQuiet mode (no initialization output)
  -version
    \tShow version
";

/// Runs with a Corefile in which `{port}` stands for a free port: exit code, stdout, stderr.
fn with_corefile(corefile: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    scratch.write("Corefile", &corefile.replace("{port}", &free_port().to_string()));
    let out = run(scratch.path(), arguments);
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn platform() -> String {
    let processor = std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64");
    format!("{}/{processor}", std::env::consts::OS)
}

#[test]
fn version_and_plugins() {
    let (code, out, err) = with_corefile("", &["-version"]);
    let platform = platform();
    assert_eq!(out, format!("catena-{}\n{platform}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!((code, err.as_str()), (Some(0), ""));

    let (code, out, err) = with_corefile("", &["-plugins", "-help"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(err.starts_with(USAGE) && err.contains("check [-conf FILE]"), "{err}");

    let (code, out, err) = with_corefile("", &["-plugins"]);
    let names: Vec<&str> = out.lines().filter(|name| *name != "on").collect();
    assert!(names.is_sorted() && names.contains(&"file") && !names.contains(&"import"), "{out}");
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

#[test]
fn wrong_flags() {
    let (code, out, err) = with_corefile("", &["-nosuchflag"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(err, format!("flag provided but not defined: -nosuchflag\n{USAGE}"));

    let (code, out, err) = with_corefile("", &["-conf"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(err, format!("flag needs an argument: -conf\n{USAGE}"));

    let (code, out, err) = with_corefile("", &["extra"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "extra command line arguments: [extra]\n");

    let (code, out, err) = with_corefile("", &["-conf", "missing"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.ends_with("open missing: no such file or directory\n"), "{err}");
}

/// Refused at the start: exit 1, nothing on stdout, each of the words on stderr.
fn refused(corefile: &str, words: &[&str]) {
    let (code, out, err) = with_corefile(corefile, &["-conf", "Corefile"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    for word in words {
        assert!(err.contains(word), "`{word}` is not in:\n{err}");
    }
}

#[test]
fn bad_corefiles_are_refused_with_carets() {
    refused(".:{port} {\n  nosuch\n}\n", &["nosuch", "Corefile:2:3", "^"]);
    refused(".:{port} {\n  root\n", &["Corefile:", "^"]);
    let twice = ".:{port} {\n  debug\n}\n";
    refused(&twice.repeat(2), &["cannot serve dns://.:", "it is already defined", "^"]);
    refused(
        ".:{port} {\n  bind 192.0.2.1\n  debug\n}\n",
        &["Listen: listen", "192.0.2.1:", "annot assign requested address"],
    );
    // All mistakes at once.
    refused(".:{port} {\n  nosuch\n  ready a b\n}\n", &["Corefile:2:3", "Corefile:3:"]);
}

#[test]
fn busy_ports_are_told() {
    let scratch = Scratch::new();
    let busy = |port: u16| {
        scratch.write("Corefile", &format!(".:{port} {{\n  bind 127.0.0.1\n  debug\n}}\n"));
        let out = run(scratch.path(), &[]);
        assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(1), ""));
        let err = text(&out.stderr);
        assert!(err.contains(&port.to_string()) && err.contains("in use"), "{err}");
    };
    let port = free_port();
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    busy(port);
    drop(held);
    let _held = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    busy(port);
}

const SERVES: &str = "example.org:{port} {\n  bind 127.0.0.1\n  file example.org.zone\n}\n";

#[test]
fn the_banner_and_the_pidfile() {
    let mut server = Server::start_with(SERVES, &["-pidfile", "pid"]);
    let said = server.said();
    let platform = platform();
    let zone = format!("example.org.:{} on 127.0.0.1\n", server.port);
    let version = format!("catena-{}\n{platform}\n", env!("CARGO_PKG_VERSION"));
    assert!(said.contains(&version), "{said}");
    assert!(said.contains(&zone), "{said}");
    let pidfile = server.scratch.path().join("pid");
    let pid: u32 = std::fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap();
    assert!(pid > 1);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!pidfile.exists(), "the pid file goes away");
}

/// Each line as an object, with the members that all have.
fn objects(text: &str) -> Vec<serde_json::Value> {
    let objects = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let objects: Vec<serde_json::Value> = objects.collect();
    for object in &objects {
        let time = object["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{object}");
        assert!(object["level"].is_string() && object["msg"].is_string(), "{object}");
    }
    objects
}

#[test]
fn the_whole_log_may_be_json() {
    let corefile = format!("{}reload.test:{{port}} {{\n  reload\n}}\n", SERVES)
        .replace("  file", "  log\n  file");
    let mut server = Server::start_with(&corefile, &["-quiet", "-log-format=json"]);
    server.ask(&question(7, "www.example.org", Rtype::A, &[]));
    server.scratch.write("Corefile", "mistake {\n  nosuch\n}\n");
    server.signal("USR1");
    server.wait_for("the old configuration keeps serving");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let said = objects(&server.said());
    let find = |member: &str, value: serde_json::Value| {
        said.iter().find(|object| object[member] == value).unwrap_or_else(|| panic!("{said:#?}"))
    };
    let started = find("plugin", "reload".into());
    assert!(started["msg"].as_str().unwrap().starts_with("Running configuration SHA512 = "));
    let query = find("id", 7.into());
    assert!(query["msg"].as_str().unwrap().contains(" - 7 \"A IN www.example.org. udp"), "{query}");
    for (member, value) in [
        ("level", "INFO"),
        ("plugin", "log"),
        ("client_ip", "127.0.0.1"),
        ("qname", "www.example.org."),
        ("qtype", "A"),
        ("qclass", "IN"),
        ("proto", "udp"),
        ("rcode", "NOERROR"),
        ("rflags", "qr,aa,rd"),
    ] {
        assert_eq!(query[member], value, "{query}");
    }
    assert_eq!((&query["request_bytes"], &query["do"]), (&33.into(), &false.into()), "{query}");
    assert!(query["duration_seconds"].is_number() && query["client_port"].is_u64(), "{query}");
    find("level", "ERROR".into());
    find("msg", "SIGTERM: Shutting down servers then terminating".into());

    let (code, out, err) = with_corefile("x {\n  nosuch\n}\n", &["-log-format", "json"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = objects(&err);
    assert!(told[0]["msg"].as_str().unwrap().contains("--> Corefile:2:3"), "{err}");
    let mut server = Server::start_with(SERVES, &["-log-format=json"]);
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    let version = format!("catena-{}", env!("CARGO_PKG_VERSION"));
    assert!(objects(&server.said()).iter().any(|object| object["msg"] == *version));
}

/// `/metrics` of the endpoint on this port.
pub(crate) fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_bounds_a_go_program_bounds_this_one() {
    let port = free_port();
    let corefile = format!(
        "example.org:{{port}} {{\n  bind 127.0.0.1\n  prometheus 127.0.0.1:{port} {{\n    \
         runtime_metrics\n  }}\n  cache\n  file example.org.zone\n}}\n"
    );
    let start = |workers, memory| {
        Server::start_under(&corefile, &[("GOMAXPROCS", workers), ("GOMEMLIMIT", memory)])
    };
    let server = start("3", "8MiB");
    assert!(metrics(port).contains("\ncatena_workers 3\n"));
    assert!(!server.said().contains("GOMEMLIMIT"), "{}", server.said());
    drop(server);
    let server = start("many", "a lot");
    let cores = std::thread::available_parallelism().unwrap();
    assert!(metrics(port).contains(&format!("\ncatena_workers {cores}\n")));
    let said = server.said();
    assert!(said.contains("[WARNING] GOMEMLIMIT is not used: "), "{said}");
    drop(server);
    let server = start("1", "1GiB");
    assert!(metrics(port).contains("\ncatena_workers 1\n"));
    assert!(!server.said().contains("GOMEMLIMIT"), "{}", server.said());
}

#[test]
fn quiet_says_nothing() {
    let mut server = Server::start_with(SERVES, &["-quiet"]);
    server.assert_serves();
    assert_eq!(server.said(), "");
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(server.said(), "[INFO] SIGINT: Shutting down\n");
}

#[test]
fn quitting_is_at_once() {
    let lameduck = SERVES.replace("  file", "  health 127.0.0.1:0 {\n    lameduck 1h\n  }\n  file");
    let mut server = Server::start(&lameduck);
    server.signal("QUIT");
    assert_eq!(server.wait(), Some(0));
    let said = server.said();
    assert!(said.ends_with("[INFO] SIGQUIT: Quitting process immediately\n"), "{said}");
    // In lame duck mode an interrupt is the second one.
    let mut server = Server::start(&lameduck);
    server.signal("INT");
    server.wait_for("[INFO] plugin/health: Going into lameduck mode for 1h0m0s\n");
    server.signal("INT");
    assert_eq!(server.wait(), Some(2));
}

#[test]
fn without_a_corefile_it_tells_who_you_are() {
    let empty = Scratch::new();
    empty.write("Corefile", "");
    for scratch in [Scratch::new(), empty] {
        let port = free_port();
        let server = Server::start_in(scratch, port, &[]);
        assert!(server.said().contains(&format!(".:{port}\n")), "{}", server.said());
        let answer = server.ask(&question(5, "any.name", Rtype::A, &[]));
        assert_eq!((answer.rcode(), answer.answers(), answer.authoritative()), (0, 0, true));
    }
}

#[test]
fn a_missing_zone_file_is_waited_for() {
    let server = Server::start("example.org:{port} {\n  bind 127.0.0.1\n  file nothere\n}\n");
    let told = "[WARNING] plugin/file: Failed to open \"open nothere: no such file or directory\": \
                trying again in 1m0s\n";
    assert!(server.said().starts_with(told), "{}", server.said());
    assert_eq!(server.ask(&question(6, "www.example.org", Rtype::A, &[])).rcode(), 2);
}

#[test]
fn the_example_is_without_mistakes() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = run(root, &["check", "-conf", "Corefile.example"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
}

#[test]
fn check_tells_without_serving() {
    let good = "example.org:{port} {\n  debug\n  root .\n}\n";
    let (code, out, err) = with_corefile(good, &["check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (code, _, err) = with_corefile(good, &["check", "-conf", "missing"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("missing"), "{err}");

    let bad = ".:{port} {\n  nosuch\n  ready a b\n}\nexa..mple:{port} {\n  debug\n}\n\
               .:{port} {\n  debug\n}\norg:99999 {\n  debug x\n}\n";
    let (code, out, _) = with_corefile(bad, &["check", "-conf", "Corefile"]);
    assert_eq!(code, Some(1));
    let findings = out.matches(" --> Corefile:").count();
    assert!(findings >= 5, "{findings} of 5 mistakes are shown:\n{out}");

    let (code, out, _) = with_corefile(bad, &["check", "--format", "json"]);
    assert_eq!(code, Some(1));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert!(findings.len() >= 5, "{out}");
    for finding in &findings {
        assert_eq!(finding["severity"], "error", "{finding}");
        assert_eq!(finding["file"], "Corefile", "{finding}");
        assert!(finding["line"].is_u64() && finding["column"].is_u64(), "{finding}");
    }
    let (_, out, _) = with_corefile(good, &["check", "--format", "json"]);
    assert_eq!(out.trim(), "[]");
}
