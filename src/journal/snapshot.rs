//! The records of one version, in blocks with a checksum each.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use wire::Name;
use zone::{Builder, RecordList, Unfit, Zone};

use crate::error::Error;
use crate::format::{self, Fields, SUM};

const MAGIC: &[u8; 8] = b"CATZONE1";
/// Octets of records in a block, before the last one that goes into it.
const BLOCK: usize = 256 << 10;
/// Octets of a block at most: a record has fewer than 66,000.
const MAX_BLOCK: usize = BLOCK + (128 << 10);
/// Octets of a snapshot that are read at most.
const MAX_SNAPSHOT: u64 = 1 << 40;

/// The version that a snapshot holds, and the log that begins with it.
pub(crate) struct Content {
    pub(crate) zone: Zone,
    pub(crate) log: u64,
}

/// Writes a version.
pub(crate) fn write(zone: &Zone, log: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&log.to_be_bytes());
    head.extend_from_slice(&zone.serial().to_be_bytes());
    head.extend_from_slice(zone.apex().as_wire());
    let head_sum = format::sum(&[&head]);
    out.write_all(&head)?;
    out.write_all(&head_sum)?;
    let mut blocks = Blocks { out, head_sum, number: 0 };
    let mut block = RecordList::default();
    let mut records = zone.records();
    while let Some(record) = records.next_record() {
        block.push(record);
        if block.as_wire().len() >= BLOCK {
            blocks.write(block.as_wire())?;
            block = RecordList::default();
        }
    }
    if !block.is_empty() {
        blocks.write(block.as_wire())?;
    }
    // An empty block ends the snapshot.
    blocks.write(&[])
}

struct Blocks<'a> {
    out: &'a mut dyn Write,
    head_sum: [u8; SUM],
    number: u64,
}

impl Blocks<'_> {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        let len = (block.len() as u32).to_be_bytes();
        let sum = format::sum(&[&self.head_sum, &self.number.to_be_bytes(), &len, block]);
        self.number += 1;
        self.out.write_all(&len)?;
        self.out.write_all(block)?;
        self.out.write_all(&sum)
    }
}

/// Reads a version.
pub(crate) fn read(path: &Path, origin: &Name) -> Result<Content, Error> {
    let failed = |error| Error::system("read", path, &error);
    let file = files::open(path, MAX_SNAPSHOT).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut file = BufReader::with_capacity(64 << 10, file);
    match content(&mut file, size, origin) {
        Ok(content) => Ok(content),
        Err(Broken::System(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Err(failed(error))
        }
        Err(Broken::System(_)) => Err(Error::corrupt(path, "it ends too early")),
        Err(Broken::Content(why)) => Err(Error::corrupt(path, why)),
    }
}

enum Broken {
    System(io::Error),
    Content(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<&str> for Broken {
    fn from(why: &str) -> Self {
        Self::Content(why.to_owned())
    }
}

fn content(file: &mut impl Read, size: u64, origin: &Name) -> Result<Content, Broken> {
    let name = origin.as_wire();
    let mut head = vec![0; MAGIC.len() + 12 + name.len()];
    file.read_exact(&mut head)?;
    let mut head_sum = [0; SUM];
    file.read_exact(&mut head_sum)?;
    let mut fields = Fields(&head);
    let magic = fields.take(MAGIC.len());
    let (Some(log), Some(serial)) = (fields.u64(), fields.u32()) else {
        return Err("it has no whole header".into());
    };
    if magic != Some(MAGIC) || fields.0 != name || head_sum != format::sum(&[&head]) {
        return Err("its header is not the one that was written for this zone".into());
    }
    let mut builder = Builder::new(origin, size);
    for number in 0u64.. {
        let block = block(file, &head_sum, number)?;
        if block.is_empty() {
            break;
        }
        let records = RecordList::from_wire(block).ok_or("a block has no whole records")?;
        for record in records.iter() {
            builder.add(record).map_err(Broken::Content)?;
        }
    }
    if file.read(&mut [0])? != 0 {
        return Err("something follows its end".into());
    }
    let zone = builder.finish().map_err(|unfit| Broken::Content(conflicts(&unfit)))?;
    if zone.serial() != serial {
        return Err("its SOA record has another serial than its header".into());
    }
    Ok(Content { zone, log })
}

/// Reads a block and its checksum.
fn block(file: &mut impl Read, head_sum: &[u8; SUM], number: u64) -> Result<Vec<u8>, Broken> {
    let mut len = [0; 4];
    file.read_exact(&mut len)?;
    let octets = u32::from_be_bytes(len) as usize;
    if octets > MAX_BLOCK {
        return Err("the length of a block is not the one that was written".into());
    }
    let mut block = vec![0; octets];
    file.read_exact(&mut block)?;
    let mut sum = [0; SUM];
    file.read_exact(&mut sum)?;
    if sum != format::sum(&[head_sum, &number.to_be_bytes(), &len, &block]) {
        return Err("the records of a block are not those that were written".into());
    }
    Ok(block)
}

fn conflicts(unfit: &[Unfit]) -> String {
    let all: Vec<String> = unfit.iter().map(ToString::to_string).collect();
    all.join("; ")
}
