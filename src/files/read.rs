//! Reads regular files, up to a bound.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The null device is as good as an empty file: `hosts /dev/null { … }` is a known idiom.
const NULL: u64 = libc::makedev(1, 3);

/// A regular file that ends with an error where it is larger than it may be.
#[derive(Debug)]
pub struct Reader {
    file: File,
    most: u64,
    left: u64,
}

impl Reader {
    /// The facts of the open file, which the path may no longer lead to.
    ///
    /// # Errors
    /// Those of the system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // One octet beyond the bound shows that there is more.
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let room = room.min(into.len());
        let got = self.file.read(&mut into[..room])?;
        self.left = self.left.checked_sub(got as u64).ok_or_else(|| too_large(self.most))?;
        Ok(got)
    }
}

/// Opens a regular file of at most `most` octets. Does not wait for the other end of a pipe.
///
/// # Errors
/// The path leads to something else (`InvalidInput`), the file is larger (`FileTooLarge`), or the
/// system says why not.
pub fn open(path: &Path, most: u64) -> io::Result<Reader> {
    // Opening a device can have effects of its own, so the path is looked at first; what was opened
    // counts.
    refuse_special(&std::fs::metadata(path)?)?;
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    refuse_special(&found)?;
    if found.len() > most {
        return Err(too_large(most));
    }
    Ok(Reader { file, most, left: most })
}

/// The content of a regular file of at most `most` octets.
///
/// # Errors
/// Those of [`open`], and those of reading.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path, most)?;
    let len = file.metadata()?.len();
    let mut octets = Vec::new();
    octets
        .try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX))
        .map_err(|_| ErrorKind::OutOfMemory)?;
    file.read_to_end(&mut octets)?;
    Ok(octets)
}

/// The content of a regular text file of at most `most` octets.
///
/// # Errors
/// Those of [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text(read(path, most)?)
}

/// The text that a pipe brings until its other end is closed; `None` if the path does not lead to a
/// pipe. For paths of the command line that are read once, as in `-conf <(generate)`.
///
/// # Errors
/// Those of the system and of [`read_stream`].
pub fn read_pipe(path: &Path, most: u64) -> io::Result<Option<String>> {
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return Ok(None);
    }
    read_stream(File::open(path)?, most).map(Some)
}

/// The text of a file of the kernel, in `/proc` or `/sys`. Such a file reports no length, ends by
/// itself, and nobody else can put it there.
///
/// # Errors
/// Those of the system.
pub fn read_kernel(path: impl AsRef<Path>) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// The text of a stream to its end, at most `most` octets.
///
/// # Errors
/// There is more (`FileTooLarge`), it is not UTF-8 (`InvalidData`), or the system says why not.
pub fn read_stream(stream: impl Read, most: u64) -> io::Result<String> {
    let mut octets = Vec::new();
    stream.take(most.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > most {
        return Err(too_large(most));
    }
    text(octets)
}

/// Appends the next line, with its line feed, to `line`; 0 at the end of the text.
///
/// # Errors
/// The line has more than `most` octets (`InvalidData`), or the system says why not.
pub fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, most: u64) -> io::Result<usize> {
    let got = reader.by_ref().take(most.saturating_add(1)).read_until(b'\n', line)?;
    if got as u64 > most && line.last() != Some(&b'\n') {
        let problem = format!("a line is longer than {}", Size(most));
        return Err(io::Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(got)
}

/// Refuses files that are not regular: reading a device or a pipe may never end.
pub(crate) fn refuse_special(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_file() || kind.is_char_device() && found.rdev() == NULL {
        return Ok(());
    }
    let what = if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let problem = format!("it is not a regular file but {what}");
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}

fn text(octets: Vec<u8>) -> io::Result<String> {
    let wrong = |_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(octets).map_err(wrong)
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {}", Size(most)))
}

/// Octets in the largest unit that divides them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size > 0 && size % (1 << 30) == 0 => write!(f, "{} GiB", size >> 30),
            size if size > 0 && size % (1 << 20) == 0 => write!(f, "{} MiB", size >> 20),
            size if size > 0 && size % (1 << 10) == 0 => write!(f, "{} KiB", size >> 10),
            size => write!(f, "{size} octets"),
        }
    }
}
