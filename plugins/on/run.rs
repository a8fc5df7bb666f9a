//! Runs one command and handles its timeout, its output and its failure.
//!
//! It never waits longer than its timeout, and reads the output only to log it.

use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::config::Command;

/// The timeout of a command that is awaited.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long the output is read after the command has ended: a child process that it left may hold the
/// pipe open.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// The bound on the logged output of a command.
const MAX_OUTPUT: usize = 64 << 10;
/// A longer line is logged in pieces.
const MAX_LINE: usize = 1024;
/// The most background commands at the same time.
const MAX_BACKGROUND: usize = 64;

/// The background commands. They belong to the process, not to a configuration.
static BACKGROUND: LazyLock<Mutex<JoinSet<()>>> = LazyLock::new(Mutex::default);

/// Runs a command to its end, or only starts a background command.
pub(super) async fn run(command: Command) {
    run_within(command, TIMEOUT).await;
}

async fn run_within(command: Command, limit: Duration) {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = COUNT.fetch_add(1, Ordering::Relaxed);
    let shown = shown(&command);
    let kind = if command.background { "Nonblocking" } else { "Blocking" };
    telemetry::info!("{kind} Command \"{shown}\" with ID {id}");
    let done = match command.background {
        true => start(&command, id),
        false => wait(&command, id, limit).await,
    };
    if let Err(error) = done {
        failed(id, &error);
    }
}

fn shown(command: &Command) -> String {
    // The blank behind a command without arguments is CoreDNS's.
    escaped(&format!("{} {}", command.program, command.args.join(" ")))
}

fn failed(id: u64, why: &dyn std::fmt::Display) {
    telemetry::error!("plugin/on: command with ID {id}: {why}");
}

/// A process group of its own: killing it ends the command's children too, and an interrupt from the
/// terminal reaches the server only.
fn process(command: &Command) -> tokio::process::Command {
    let mut process = tokio::process::Command::new(&command.program);
    process.args(&command.args).stdin(Stdio::null()).process_group(0);
    process
}

/// Starts a command without waiting for it. Its failure is logged nevertheless.
fn start(command: &Command, id: u64) -> io::Result<()> {
    let mut running = BACKGROUND.lock().unwrap_or_else(PoisonError::into_inner);
    while running.try_join_next().is_some() {}
    if running.len() >= MAX_BACKGROUND {
        return Err(io::Error::other(format!(
            "{MAX_BACKGROUND} commands already run in the background"
        )));
    }
    // The command may outlive the server, so its output goes directly to the server's.
    let mut child = process(command).spawn()?;
    running.spawn(async move {
        match child.wait().await {
            Ok(status) if status.success() => {}
            Ok(status) => failed(id, &status),
            Err(error) => failed(id, &error),
        }
    });
    Ok(())
}

/// Runs a command to its end, or kills it after the timeout.
async fn wait(command: &Command, id: u64, limit: Duration) -> io::Result<()> {
    let child = process(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut group = Group(child);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let budget = AtomicUsize::new(MAX_OUTPUT);
    let mut reading = pin!(async {
        tokio::join!(log_output(stdout, id, &budget), log_output(stderr, id, &budget));
    });
    let mut all_read = false;
    let ending = async {
        loop {
            tokio::select! {
                status = group.0.wait() => break status,
                () = &mut reading, if !all_read => all_read = true,
            }
        }
    };
    let ended = timeout(limit, ending).await;
    if ended.is_ok() && !all_read {
        // A child that it left may hold the pipes open, so only their present content is read.
        let _ = timeout(DRAIN_TIME, reading).await;
    }
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(io::Error::other(status.to_string())),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other(format!("killed because it ran longer than {limit:?}"))),
    }
}

/// A command and its process group, which dies with the value.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // The id is known until the command has been awaited.
        if let Some(number) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // The group may have ended by itself.
            let _ = killpg(Pid::from_raw(number), Signal::SIGKILL);
        }
    }
}

/// Logs the output line by line, up to `budget` octets. It reads beyond that, so that the command does
/// not block on a full pipe.
async fn log_output(pipe: Option<impl AsyncRead + Unpin>, id: u64, budget: &AtomicUsize) {
    let Some(mut pipe) = pipe else { return };
    let mut line = Line { id, bytes: Vec::new() };
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = pipe.read(&mut buffer).await {
        let left = budget.load(Ordering::Relaxed);
        for &byte in &buffer[..len.min(left)] {
            line.push(byte);
        }
        budget.store(left.saturating_sub(len), Ordering::Relaxed);
        if left > 0 && left <= len {
            line.end();
            telemetry::warning!(
                "plugin/on: command with ID {id}: too much output, the rest is not logged"
            );
        }
    }
}

/// An unfinished line of output.
struct Line {
    id: u64,
    bytes: Vec<u8>,
}

impl Line {
    fn push(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end(),
            _ => self.bytes.push(byte),
        }
        if self.bytes.len() == MAX_LINE {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.bytes.is_empty() {
            let text = escaped(&String::from_utf8_lossy(&self.bytes));
            telemetry::info!("plugin/on: command with ID {}: {text}", self.id);
            self.bytes.clear();
        }
    }
}

impl Drop for Line {
    /// Logs the text behind the last line end.
    fn drop(&mut self) {
        self.end();
    }
}

/// The text without control characters: it cannot forge a line of the log.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command {
            program: "sh".to_owned(),
            args: vec!["-c".to_owned(), script.to_owned()],
            background: false,
        }
    }

    async fn outcome(command: &Command, limit: Duration) -> Result<(), String> {
        wait(command, 0, limit).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn commands_end_well_or_tell_why_not() {
        assert_eq!(outcome(&shell("exit 0"), TIMEOUT).await, Ok(()));
        assert_eq!(outcome(&shell("exit 3"), TIMEOUT).await, Err("exit status: 3".to_owned()));
        let gone = Command { program: "/no/such/program".to_owned(), ..shell("") };
        assert!(outcome(&gone, TIMEOUT).await.unwrap_err().contains("No such file"));
        // Its output is closed long before it ends.
        assert_eq!(outcome(&shell("exec >&- 2>&-; sleep 0.1"), TIMEOUT).await, Ok(()));
        // More than the pipes and the log take, in lines that are not logged.
        let much = "head -c 200000 /dev/zero | tr '\\0' '\\n'";
        assert_eq!(outcome(&shell(much), TIMEOUT).await, Ok(()));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let mark = std::env::temp_dir().join(format!("catena-on-{}", std::process::id()));
        let script = format!("sh -c 'echo $$ >{}; sleep 600'; true", mark.display());
        let killed = outcome(&shell(&script), Duration::from_millis(300)).await;
        assert_eq!(killed, Err("killed because it ran longer than 300ms".to_owned()));
        let inner: i32 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
        std::fs::remove_file(&mark).unwrap();
        // Gone, or a zombie whose parent was killed before it; `init` looks after it then.
        let state = || std::fs::read_to_string(format!("/proc/{inner}/stat")).unwrap_or_default();
        while !(state().is_empty() || state().contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_is_not_waited_for() {
        let begin = tokio::time::Instant::now();
        assert_eq!(outcome(&shell("sleep 20 & echo done"), TIMEOUT).await, Ok(()));
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn the_background_is_bounded() {
        let mut commands = shell("exec sleep 5");
        commands.background = true;
        for _ in 0..MAX_BACKGROUND {
            start(&commands, 0).unwrap();
        }
        assert!(start(&commands, 0).is_err());
    }

    #[test]
    fn output_cannot_forge_lines() {
        assert_eq!(escaped("a\tb\r\u{1b}[0m\né"), "a\tb\\r\\u{1b}[0m\\né");
    }
}
