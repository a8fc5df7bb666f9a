//! A server of another project as a process: found, configured, watched and stopped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::ask::{Client, Question};
use crate::kit::{PATIENCE, Scratch, free_port, text};

/// How a program is started.
pub(crate) struct Recipe {
    pub(crate) program: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// The configuration for a directory and a port.
    pub(crate) config: String,
    /// What stands before the path of the configuration.
    pub(crate) arguments: &'static [&'static str],
}

/// A running peer; stopped when the test is done with it.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    child: Child,
    scratch: Scratch,
}

impl Peer {
    /// Starts on a free port; waits for an answer to `probe` that is no failure.
    pub(crate) fn start(recipe: impl Fn(&Path, u16) -> Recipe, probe: &Question) -> Self {
        Self::start_at(free_port(), recipe, probe)
    }

    /// The same with the port given.
    pub(crate) fn start_at(
        port: u16,
        recipe: impl Fn(&Path, u16) -> Recipe,
        probe: &Question,
    ) -> Self {
        let scratch = Scratch::new();
        let recipe = recipe(scratch.path(), port);
        scratch.write("peer.conf", &recipe.config);
        let log = std::fs::File::create(scratch.path().join("peer.log")).unwrap();
        let child = Command::new(program(recipe.program, recipe.package, scratch.path()))
            .args(recipe.arguments)
            .arg(scratch.path().join("peer.conf"))
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", recipe.program));
        let mut peer = Self { name: recipe.program, port, child, scratch };
        peer.wait_for(probe);
        peer
    }

    fn wait_for(&mut self, probe: &Question) {
        let client = Client::with_patience(self.port, Duration::from_millis(200));
        let deadline = Instant::now() + PATIENCE;
        while !client.try_udp(probe).is_ok_and(|reply| u16::from(reply.rcode) == 0) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, self.said());
            assert!(Instant::now() < deadline, "{} does not answer:\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything it said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("peer.log")).unwrap_or_default()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Peer {
    /// SIGTERM first: who has children of its own (nsd) ends them then.
    fn drop(&mut self) {
        let terminate = format!("kill -TERM {0}; kill -CONT {0}", self.child.id());
        let _ = Command::new("sh").args(["-c", &terminate]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, which must be a good one; what it says.
pub(crate) fn run(name: &str, package: &str, directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program(name, package, directory));
    let Output { status, stdout, stderr } =
        command.args(arguments).current_dir(directory).output().unwrap();
    assert!(status.success(), "{name}: {status}\n{}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// A copy of an installed program, found by PATH and in the places of daemons.
///
/// The profiles of AppArmor that packages bring are for a path and keep a server in its own folders;
/// a copy may read ours.
pub(crate) fn program(name: &str, package: &str, directory: &Path) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let installed = path
        .split(':')
        .chain(["/usr/sbin", "/usr/local/sbin"])
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` is missing: install the package `{package}`, as `make test` does")
        });
    let copy = directory.join(name);
    // `cp` and not std: a file that this process has open for writing might be open in a child that
    // another test starts at the same moment, and then it cannot be run.
    let copied = Command::new("cp").arg(installed).arg(&copy).status().unwrap();
    assert!(copied.success(), "{name} cannot be copied");
    copy
}
