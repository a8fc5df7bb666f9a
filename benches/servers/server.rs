//! Starting a server under test on one core, and reading what it has used.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Core of the server; the load runs on the other one.
pub(crate) const SERVER_CORE: usize = 0;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// From exec to the first answer.
    pub(crate) ready: Duration,
}

/// CPU seconds of a process and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Server {
    /// Starts `program` pinned to the server's core and waits until `probe` is answered on `port`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
        port: u16,
        probe: &[u8],
    ) -> Result<Self, String> {
        let log = std::fs::File::create(std::env::temp_dir().join("catena-bench-server.log"))
            .map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let start = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", &SERVER_CORE.to_string()])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Self { child, ready: Duration::ZERO };
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(Duration::from_millis(1))).map_err(|e| e.to_string())?;
        let mut buffer = [0; 4096];
        while start.elapsed() < Duration::from_secs(60) {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("{} ended: {status}", program.display()));
            }
            let _ = socket.send_to(probe, ("127.0.0.1", port));
            if let Ok(len) = socket.recv(&mut buffer)
                && len > 12
                && matches!(buffer[3] & 15, 0 | 3)
            {
                server.ready = start.elapsed();
                return Ok(server);
            }
        }
        Err(format!("{} did not answer within a minute", program.display()))
    }

    /// CPU time so far, of the process and its children.
    pub(crate) fn cpu(&self) -> Cpu {
        let mut cpu = Cpu::default();
        for pid in family(self.child.id()) {
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let Some((_, rest)) = stat.rsplit_once(')') else { continue };
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
            cpu.user += ticks(11).unwrap_or(0.0) / 100.0;
            cpu.system += ticks(12).unwrap_or(0.0) / 100.0;
        }
        cpu
    }

    /// Resident and proportional memory in MiB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let (mut rss, mut pss) = (0.0, 0.0);
        for pid in family(self.child.id()) {
            let path = format!("/proc/{pid}/smaps_rollup");
            for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
                match line.split(':').next() {
                    Some("Rss") => rss += kib.unwrap_or(0.0) / 1024.0,
                    Some("Pss") => pss += kib.unwrap_or(0.0) / 1024.0,
                    _ => {}
                }
            }
        }
        (rss, pss)
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak(&self) -> f64 {
        let of = |pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        family(self.child.id()).into_iter().filter_map(of).sum::<f64>() / 1024.0
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let family = family(self.child.id());
        let _ = self.child.kill();
        for pid in family {
            if pid != self.child.id() {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
        let _ = self.child.wait();
    }
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        at += 1;
    }
    found
}

/// Where a program is, by PATH and the usual places of daemons.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/local/sbin"])
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
}

/// Writes a file into the bench directory.
pub(crate) fn write(path: &Path, text: &str) -> String {
    let mut file = std::fs::File::create(path).expect("the bench directory is writable");
    file.write_all(text.as_bytes()).expect("the bench directory is writable");
    path.display().to_string()
}
