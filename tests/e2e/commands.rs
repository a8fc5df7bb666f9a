//! Commands that `on` runs.

use crate::kit::Server;

/// A Corefile with commands that add a word to the file `seen`.
fn corefile(lines: &[&str]) -> String {
    let lines = lines.join("\n  ");
    format!("example.org:{{port}} {{\n  bind 127.0.0.1\n  file example.org.zone\n  {lines}\n}}\n")
}

fn seen(server: &Server) -> String {
    let seen = std::fs::read_to_string(server.scratch.path().join("seen")).unwrap_or_default();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn commands_run_at_the_start_at_each_reload_and_at_the_end() {
    let mut server = Server::start(&corefile(&[
        "on startup sh -c 'echo one >>seen'",
        "on startup sh -c 'echo two >>seen; echo said; echo complained >&2; exit 3'",
        "on startup \"sh -c 'echo three >>seen'\"",
        "on startup sh -c 'echo beside >>beside' &",
        "on startup /no/such/program",
        "on shutdown sh -c 'echo end >>seen'",
    ]));
    server.wait_until("three commands", |server| seen(server) == "one two three");
    server.wait_until("one beside them", |server| server.scratch.path().join("beside").exists());
    for words in [
        "[INFO] Blocking Command \"sh -c echo one >>seen\" with ID ",
        "[INFO] Nonblocking Command \"sh -c echo beside >>beside\" with ID ",
        ": said\n",
        ": complained\n",
        ": exit status: 3\n",
        ": No such file or directory",
    ] {
        server.wait_for(words);
    }
    server.assert_serves();

    // A reload runs the startup commands of the new configuration, and no others.
    let reloaded = corefile(&[
        "on startup sh -c 'echo again >>seen'",
        "on shutdown sh -c 'echo over >>seen'",
        "on shutdown sh -c 'sleep 0.2; echo late >>seen' &",
    ]);
    let port = server.port.to_string();
    server.scratch.write("Corefile", &reloaded.replace("{port}", &port));
    server.signal("HUP");
    server.wait_until("the new command", |server| seen(server) == "one two three again");

    // One that fails runs nothing.
    let broken = corefile(&["on startup sh -c 'echo never >>seen'", "nonsense"]);
    server.scratch.write("Corefile", &broken.replace("{port}", &port));
    server.signal("HUP");
    server.wait_for("the old configuration keeps serving");
    server.assert_serves();

    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    // The one in the background outlives the server, whose pipes it has.
    assert_eq!(seen(&server), "one two three again over late");
}

#[test]
fn the_server_serves_while_a_command_runs() {
    let mut server = Server::start(&corefile(&[
        "on startup sh -c 'echo begun; while ! [ -e go ]; do sleep 0.01; done; echo gone'",
        "on shutdown sh -c 'echo ending; while ! [ -e stop ]; do sleep 0.01; done'",
    ]));
    server.wait_for(": begun\n");
    server.assert_serves();
    server.scratch.write("go", "");
    server.wait_for(": gone\n");
    server.signal("TERM");
    server.wait_for(": ending\n");
    server.assert_serves();
    server.scratch.write("stop", "");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn an_event_that_never_happens_is_warned_of() {
    let mut server = Server::start(&corefile(&["on certrenew sh -c 'echo renewed >>seen'"]));
    server.wait_for("the event `certrenew` never occurs");
    server.assert_serves();
    assert_eq!(seen(&server), "");
}
