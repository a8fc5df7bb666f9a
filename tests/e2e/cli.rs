//! Flags, exit codes and messages: those of CoreDNS 1.14.7, seen from outside, with our name.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use wire::Rtype;

use crate::kit::{CATENA, Scratch, Server, free_port, question, run, text};

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
    let failed: Vec<_> = said.iter().filter(|object| object["message"].is_string()).collect();
    assert_eq!(failed.len(), 1, "one record for each mistake: {said:#?}");
    let help = "`catena -plugins` lists the plugins of this build";
    let text = format!("Restart failed: Corefile:2:3: Unknown directive 'nosuch'; {help}");
    for (member, value) in [
        ("level", "ERROR"),
        ("msg", &text),
        ("file", "Corefile"),
        ("message", "Unknown directive 'nosuch'"),
        ("help", help),
    ] {
        assert_eq!(failed[0][member], value, "{}", failed[0]);
    }
    assert_eq!((&failed[0]["line"], &failed[0]["column"]), (&2.into(), &3.into()), "{}", failed[0]);
    find("msg", "SIGTERM: Shutting down servers then terminating".into());

    let (code, out, err) = with_corefile("x {\n  nosuch\n}\n", &["-log-format", "json"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = objects(&err);
    assert_eq!(told.len(), 1, "{err}");
    assert!(told[0]["msg"].as_str().unwrap().starts_with("Corefile:2:3: Unknown"), "{err}");
    assert_eq!((&told[0]["file"], &told[0]["line"]), (&"Corefile".into(), &2.into()), "{err}");
    let mut server = Server::start_with(SERVES, &["-log-format=json"]);
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    let version = format!("catena-{}", env!("CARGO_PKG_VERSION"));
    assert!(objects(&server.said()).iter().any(|object| object["msg"] == *version));
}

#[test]
fn each_mistake_of_a_reload_is_one_record() {
    let mut server = Server::start(&format!("{SERVES}reload.test:{{port}} {{\n  reload\n}}\n"));
    let before = server.said().lines().count();
    server.scratch.write("Corefile", "mistake {\n  nosuch\n  ready a b\n  file nothere\n}\n");
    server.signal("USR1");
    server.wait_for("the old configuration keeps serving");
    let said = server.said();
    let lines: Vec<&str> = said.lines().skip(before).collect();
    let failed: Vec<_> = lines.iter().filter(|line| line.contains("Restart failed")).collect();
    assert_eq!(failed.len(), 2 + usize::from(failed.len() > 2), "{said}");
    assert!(failed[0].starts_with("[ERROR] Restart failed: Corefile:2:3: Unknown dir"), "{said}");
    assert!(failed[1].starts_with("[ERROR] Restart failed: Corefile:3:"), "{said}");
    assert!(lines.iter().all(|line| line.starts_with('[')), "no pictures:\n{said}");
    assert!(said.contains("[WARNING] plugin/file: Failed to open"), "{said}");
    server.assert_serves();
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
    assert!(said.contains("[WARNING] GOMEMLIMIT is ignored: "), "{said}");
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = run(root, &["check", "-conf", "Corefile.example"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
}

#[test]
fn check_tells_without_serving() {
    let good = "example.org:{port} {\n  debug\n  root .\n}\n";
    let (code, out, err) = with_corefile(good, &["check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for (arguments, named) in
        [(&["check", "-conf", "missing"][..], "missing"), (&["check"], "Corefile")]
    {
        let out = run(Scratch::new().path(), arguments);
        let said = text(&out.stdout);
        assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(1), ""), "{said}");
        let told = format!("cannot read the Corefile `{named}`: no such file or directory\n");
        assert!(said.contains(&told), "{said}");
        assert!(said.ends_with(&format!("\n{named}: 1 error, 0 warnings\n")), "{said}");
    }

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

/// What a server says in its log, `check` says as a finding with a place.
#[test]
fn missing_files_are_warnings_with_their_places() {
    let scratch = Scratch::new();
    let tls = "  dnstap listen tls://127.0.0.1:1 {\n    tls no.crt no.key\n  }\n";
    let weights = "  loadbalance weighted no.weights\n";
    let snapshot = "  cache {\n    snapshot nodir/snapshot\n  }\n";
    let corefile = format!(
        "example.org {{\n  file no.zone\n  hosts no.hosts\n{tls}{weights}{snapshot}  \
         file outside.zone\n}}\n"
    );
    scratch.write("Corefile", &corefile);
    let records = "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\na.example.net. 60 A 192.0.2.1\n";
    scratch.write("outside.zone", records);
    let run = |arguments: &[&str]| {
        let out = run(scratch.path(), &[&["check"], arguments].concat());
        assert_eq!(text(&out.stderr), "", "all is told in one way");
        (out.status.code(), text(&out.stdout))
    };
    let (code, out) = run(&["-format", "json"]);
    assert_eq!(code, Some(0), "{out}");
    let findings: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    for (line, word) in [
        (2, "no.zone"),
        (3, "no.hosts"),
        (5, "no.crt"),
        (7, "no.weights"),
        (9, "nodir"),
        // The place in the zone file itself.
        (3, "a.example.net"),
    ] {
        let told = findings.iter().any(|finding| {
            finding["severity"] == "warning"
                && finding["line"] == line
                && finding["message"].as_str().unwrap().contains(word)
        });
        assert!(told, "no warning in line {line} about {word}: {out}");
    }
    let (code, out) = run(&[]);
    assert_eq!(code, Some(0), "{out}");
    let count = findings.len();
    assert!(out.ends_with(&format!("\nCorefile: 0 errors, {count} warnings\n")), "{out}");
    let (code, out) = run(&["-strict"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.ends_with(&format!("\nCorefile: {count} errors, 0 warnings\n")), "{out}");
}

/// Runs the program with a pipe that nobody reads as its stdout or stderr: exit code and the other
/// of the two.
fn unread(directory: &Path, arguments: &[&str], closed: &str) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(CATENA);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    match closed {
        "stdout" => command.stdout(writer).stderr(Stdio::piped()),
        _ => command.stderr(writer).stdout(Stdio::piped()),
    };
    let out = command.spawn().unwrap().wait_with_output().unwrap();
    (out.status.code(), text(&out.stdout) + &text(&out.stderr))
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let scratch = Scratch::new();
    scratch.write("good", ". {\n  whoami\n}\n");
    scratch.write("bad", ". {\n  nosuch\n}\n");
    for (arguments, code) in [
        (&["help"][..], 0),
        (&["help", "cache"], 0),
        (&["-plugins"], 0),
        (&["-version"], 0),
        (&["check", "--help"], 0),
        (&["cache", "--help"], 0),
        (&["check", "good"], 0),
        (&["check", "bad"], 1),
        (&["check", "-format", "json", "bad"], 1),
    ] {
        let ended = unread(scratch.path(), arguments, "stdout");
        assert_eq!(ended, (Some(code), String::new()), "{arguments:?}");
    }
    for (arguments, code) in
        [(&["-help"][..], 0), (&["-nosuch"], 2), (&["extra"], 1), (&["-conf", "bad"], 1)]
    {
        let ended = unread(scratch.path(), arguments, "stderr");
        assert_eq!(ended, (Some(code), String::new()), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(CATENA);
    let out = command.arg("-plugins").stdout(full).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let err = text(&out.stderr);
    assert!(err.starts_with("cannot write the output: No space left"), "{err}");
}

#[test]
fn what_was_meant_is_suggested() {
    for (arguments, code, told) in [
        (&["chek"][..], 1, "did you mean `catena check`?"),
        (&["version"], 1, "did you mean `catena -version`?"),
        (&["forwrd"], 1, "did you mean `catena help forward`?"),
        (&["Corefile"], 1, "to serve this Corefile, write `catena -conf Corefile`"),
        (&["-cnof", "X"], 2, "-cnof; did you mean `-conf`?"),
        (&["check", "-fromat", "json"], 2, "-fromat; did you mean `-format`?"),
        (&["cache", "flsh"], 2, "did you mean `flush`?"),
        (&["help", "forwrd"], 1, "did you mean `forward`?"),
        (&["help", "chek"], 1, "did you mean `check`?"),
        (&["help", "xyzzy"], 1, "`catena -plugins` lists the plugins"),
    ] {
        let (ended, out, err) = with_corefile("", arguments);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{arguments:?}");
        assert!(err.contains(told), "{arguments:?}: {err}");
    }
    let (code, out, err) = with_corefile("", &["check", "--help"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("Usage of catena check:\n") && out.contains("-strict"), "{out}");
    assert_eq!(with_corefile("", &["help", "check"]).1, out);
}
