//! What other users of a machine may put where files are read and written.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]

use std::fs;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use files::{Appender, Lock, PRIVATE, PUBLIC};
use nix::sys::stat::Mode;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("catena-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("entries");
        let mut names: Vec<String> =
            entries.flatten().filter_map(|it| it.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn problem(path: &Path) -> String {
    files::read(path, 1 << 20).expect_err("a refusal").to_string()
}

#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new("regular");
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    // Nobody writes to it: to wait for a writer would be to wait for ever.
    assert_eq!(problem(&fifo), "it is not a regular file but a pipe");
    let socket = folder.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(problem(&socket), "it is not a regular file but a socket");
    assert_eq!(problem(Path::new("/dev/zero")), "it is not a regular file but a device");
    let link = folder.path("link");
    symlink("/dev/zero", &link).unwrap();
    assert_eq!(problem(&link), "it is not a regular file but a device");
    assert_eq!(files::read(&folder.0, 9).unwrap_err().kind(), ErrorKind::IsADirectory);
    assert_eq!(files::read(&folder.path("no"), 9).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files::read(Path::new("/dev/null"), 9).unwrap(), b"");
}

#[test]
fn links_to_files_are_followed_when_reading() {
    let folder = Folder::new("links");
    fs::write(folder.path("there"), "text").unwrap();
    symlink("there", folder.path("here")).unwrap();
    assert_eq!(files::read_text(&folder.path("here"), 4).unwrap(), "text");
}

#[test]
fn a_larger_file_is_refused() {
    let folder = Folder::new("larger");
    let path = folder.path("file");
    fs::write(&path, "12345").unwrap();
    let refused = files::read(&path, 4).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    assert_eq!(refused.to_string(), "it is larger than 4 octets");
    assert_eq!(files::read(&path, 5).unwrap(), b"12345");
    // It grows while it is read.
    let mut file = files::open(&path, 6).unwrap();
    let mut octets = [0; 5];
    file.read_exact(&mut octets).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"678").unwrap();
    assert_eq!(file.read_to_end(&mut Vec::new()).unwrap_err().kind(), ErrorKind::FileTooLarge);
    // A sparse file costs nobody anything and would fill the memory.
    fs::File::create(folder.path("sparse")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(problem(&folder.path("sparse")), "it is larger than 1 MiB");
    // The kernel does not say how long its files are.
    assert!(files::read_text(Path::new("/proc/self/status"), 1 << 20).unwrap().contains("VmRSS"));
    assert_eq!(
        files::read(Path::new("/proc/self/status"), 9).unwrap_err().kind(),
        ErrorKind::FileTooLarge
    );
}

#[test]
fn lines_are_bounded() {
    let text = "one\ntwelve octet\nfour";
    let mut reader = BufReader::with_capacity(3, text.as_bytes());
    let mut line = Vec::new();
    assert_eq!(files::read_line(&mut reader, &mut line, 12).unwrap(), 4);
    line.clear();
    assert_eq!(files::read_line(&mut reader, &mut line, 12).unwrap(), 13);
    line.clear();
    assert_eq!(files::read_line(&mut reader, &mut line, 12).unwrap(), 4);
    assert_eq!(line, b"four");
    assert_eq!(files::read_line(&mut reader, &mut line, 12).unwrap(), 0);
    let endless = std::io::repeat(b'x');
    let refused = files::read_line(&mut BufReader::new(endless), &mut line, 1 << 20).unwrap_err();
    assert_eq!(refused.to_string(), "a line is longer than 1 MiB");
}

#[test]
fn pipes_are_read_where_they_are_permitted() {
    let folder = Folder::new("pipes");
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::write(fifo, "from a pipe").unwrap())
    };
    assert_eq!(files::read_pipe(&fifo, 100).unwrap().as_deref(), Some("from a pipe"));
    writer.join().unwrap();
    fs::write(folder.path("file"), "").unwrap();
    assert_eq!(files::read_pipe(&folder.path("file"), 100).unwrap(), None);
    let endless = files::read_stream(std::io::repeat(b'x'), 100).unwrap_err();
    assert_eq!(endless.kind(), ErrorKind::FileTooLarge);
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let folder = Folder::new("replaced");
    let path = folder.path("file");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    files::replace(&path, b"new", PRIVATE).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    files::replace(&path, b"newer", PUBLIC).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o077 & !0o044, 0, "nobody else writes it");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn links_are_replaced_not_followed() {
    let folder = Folder::new("planted");
    fs::write(folder.path("victim"), "precious").unwrap();
    symlink("victim", folder.path("file")).unwrap();
    // The name that was written to before, for whoever remembers it.
    symlink("victim", folder.path("file.new")).unwrap();
    files::replace(&folder.path("file"), b"new", PRIVATE).unwrap();
    assert_eq!(fs::read(folder.path("victim")).unwrap(), b"precious");
    assert!(fs::symlink_metadata(folder.path("file")).unwrap().is_file());
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"new");
}

#[test]
fn devices_are_not_replaced() {
    let folder = Folder::new("devices");
    symlink("/dev/null", folder.path("file")).unwrap();
    let refused = files::replace(&folder.path("file"), b"new", PRIVATE).unwrap_err();
    assert_eq!(refused.to_string(), "it is not a regular file but a device");
    assert!(files::replace(&folder.0, b"new", PRIVATE).is_err(), "a directory");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn what_a_killed_process_left_behind_is_removed() {
    let folder = Folder::new("killed");
    let old = SystemTime::now() - Duration::from_secs(7200);
    for (name, time) in [
        ("file.new-0123456789abcdef", old),
        ("file.new-1123456789abcdef", SystemTime::now()),
        ("file.new-note", old),
        ("other.new-0123456789abcdef", old),
    ] {
        fs::File::create(folder.path(name)).unwrap().set_modified(time).unwrap();
    }
    files::replace(&folder.path("file"), b"", PRIVATE).unwrap();
    let left = ["file", "file.new-1123456789abcdef", "file.new-note", "other.new-0123456789abcdef"];
    assert_eq!(folder.names(), left);
}

/// A bound on the size of files stands for a full disk; it is the process's, and so is its signal.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const CHILD: &str = "CATENA_FILES_FULL_DISK";
    if let Some(path) = std::env::var_os(CHILD) {
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 4096, hard).unwrap();
        let written = files::replace(Path::new(&path), &[7; 8192], PRIVATE);
        assert_eq!(written.unwrap_err().kind(), ErrorKind::FileTooLarge);
        return;
    }
    let folder = Folder::new("full");
    let path = folder.path("file");
    fs::write(&path, "old").unwrap();
    let child = std::process::Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" a_full_disk_leaves_nothing_behind --exact"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(folder.names(), ["file"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_log_grows_at_its_end_and_is_cut() {
    let folder = Folder::new("appended");
    let path = folder.path("log");
    assert_eq!(Appender::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    files::replace_with(&path, PRIVATE, |file| file.write_all(b"head")).unwrap();
    files::sync_directory(&folder.0).unwrap();
    let mut log = Appender::open(&path).unwrap();
    log.append(b" one").unwrap();
    log.append(b" two").unwrap();
    assert_eq!((log.len(), log.is_empty()), (12, false));
    log.cut(8).unwrap();
    log.append(b"!").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head one!");
    assert!(Appender::open(&folder.0).is_err(), "a directory");
    symlink(&path, folder.path("link")).unwrap();
    assert!(Appender::open(&folder.path("link")).is_err(), "a link is not followed");
    let failed = files::replace_with(&path, PRIVATE, |file| {
        file.write_all(b"half")?;
        Err(ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).unwrap(), b"head one!", "nothing of it is left");
}

#[test]
fn a_lock_is_held_by_one() {
    let folder = Folder::new("locked");
    let directory = folder.path("made");
    files::make_private_directory(&directory).unwrap();
    files::make_private_directory(&directory).unwrap();
    let path = directory.join("lock");
    let lock = Lock::take(&path).unwrap().unwrap();
    assert!(Lock::take(&path).unwrap().is_none());
    drop(lock);
    assert!(Lock::take(&path).unwrap().is_some());
    assert!(files::make_private_directory(&path).is_err(), "a file");
    assert!(Lock::take(&directory).is_err(), "a directory");
}
