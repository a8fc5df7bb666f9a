//! `keylog`: the secrets of sessions, for programs that decrypt a capture of the traffic.

use std::fmt;
use std::path::PathBuf;

use files::{Appender, PRIVATE};
use telemetry::metrics::{self, Counter, SHARED};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Lines that wait to be written. Further ones are dropped: handshakes do not wait for the disk.
const QUEUE: usize = 1024;
/// Octets of the file at which no more is written.
const MOST: u64 = 64 << 20;

/// The file, in the format of NSS.
pub(super) struct KeyLogFile {
    path: PathBuf,
    lines: Sender<String>,
    queue: Mutex<Receiver<String>>,
    dropped: Counter,
}

impl KeyLogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let (lines, queue) = channel(QUEUE);
        let dropped = metrics::counter(
            "catena_tls_keylog_dropped_total",
            "Lines of the key log that were not written.",
            &[],
            &[],
        );
        Self { path, lines, queue: Mutex::new(queue), dropped }
    }

    /// Writes lines as they come.
    pub(super) async fn write(self: std::sync::Arc<Self>) {
        telemetry::warning!(
            "plugin/tls: the secrets of TLS sessions are written to {}: whoever reads it can decrypt them",
            self.path.display()
        );
        let mut queue = self.queue.lock().await;
        let mut lines = Vec::new();
        while queue.recv_many(&mut lines, QUEUE).await > 0 {
            let (path, text, count) = (self.path.clone(), lines.concat(), lines.len() as u64);
            lines.clear();
            let written = tokio::task::spawn_blocking(move || append(&path, &text)).await;
            match written {
                Ok(Ok(())) => {}
                // The process ends.
                Err(_) => return,
                Ok(Err(what)) => {
                    self.dropped.add(SHARED, count);
                    telemetry::error!("plugin/tls: cannot write {}: {what}", self.path.display());
                }
            }
        }
    }
}

fn append(path: &std::path::Path, text: &str) -> Result<(), String> {
    let opened = match Appender::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            files::replace(path, b"", PRIVATE).and_then(|()| Appender::open(path))
        }
        opened => opened,
    };
    let mut file = opened.map_err(|error| error.to_string())?;
    if file.len() >= MOST {
        return Err("the file is full: remove it, or the option `keylog`".to_owned());
    }
    file.append(text.as_bytes()).map_err(|failed| failed.error.to_string())
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        if self.lines.try_send(line).is_err() {
            self.dropped.inc(SHARED);
        }
    }
}
