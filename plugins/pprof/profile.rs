//! Profiles in the format of `go tool pprof`:
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>.
//!
//! A profile contains addresses and the files that they belong to, not names: a stripped binary has no
//! names, and the reader of the profile may have an unstripped copy.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use pprof::UnresolvedReport;
use prost::Message;

use super::symbols::{self, Function as Symbol};

/// The whole file. Only the fields in use are declared; their numbers are the format's.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(super) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(super) period: i64,
}

/// The type of a value, and its unit.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) kind: i64,
    #[prost(int64, tag = "2")]
    pub(super) unit: i64,
}

/// One stack, innermost first, and how often it was seen.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) label: Vec<Label>,
}

/// A label of a sample.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub(super) key: i64,
    #[prost(int64, tag = "2")]
    pub(super) text: i64,
}

/// A part of a file with code, and its place in memory.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) start: u64,
    #[prost(uint64, tag = "3")]
    pub(super) limit: u64,
    #[prost(uint64, tag = "4")]
    pub(super) offset: u64,
    #[prost(int64, tag = "5")]
    pub(super) file: i64,
    #[prost(bool, tag = "7")]
    pub(super) has_functions: bool,
}

/// A place in the code.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(super) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

/// A line of a function; several are inlined into each other.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(super) line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    pub(super) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(super) file: i64,
}

/// The profile of these samples.
pub(super) fn write(report: UnresolvedReport) -> Vec<u8> {
    let timing = &report.timing;
    let period = 1_000_000_000 / i64::from(timing.frequency.max(1));
    let mut writer = Writer::new(&files::read_kernel("/proc/self/maps").unwrap_or_default());
    for (stack, count) in &report.data {
        let count = *count as i64;
        let name = &stack.thread_name[..stack.thread_name_length];
        let thread = String::from_utf8_lossy(name).into_owned();
        let addresses = stack.frames.iter().map(|frame| frame.ip);
        writer.sample(addresses, count, count * period, thread);
    }
    let started = timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut profile = writer.finish(period);
    profile.time_nanos = started.as_nanos() as i64;
    profile.duration_nanos = timing.duration.as_nanos() as i64;
    profile.encode_to_vec()
}

struct Writer {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<Symbol, u64>,
    locations: HashMap<usize, u64>,
}

impl Writer {
    /// Nothing yet; `maps` is `/proc/self/maps`.
    fn new(maps: &str) -> Self {
        let mut writer = Self {
            profile: Profile::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        // The format requires an empty first string.
        writer.string(String::new());
        for line in maps.lines() {
            if let Some((start, limit, offset, file)) = code(line) {
                let id = writer.profile.mapping.len() as u64 + 1;
                let file = writer.string(file.to_owned());
                let mapping = Mapping { id, start, limit, offset, file, has_functions: false };
                writer.profile.mapping.push(mapping);
            }
        }
        writer
    }

    fn string(&mut self, text: String) -> i64 {
        let table = &mut self.profile.string_table;
        *self.strings.entry(text).or_insert_with_key(|text| {
            table.push(text.clone());
            table.len() as i64 - 1
        })
    }

    fn sample(
        &mut self,
        addresses: impl Iterator<Item = usize>,
        count: i64,
        nanos: i64,
        thread: String,
    ) {
        let location_id = addresses
            .enumerate()
            // All but the innermost are return addresses: the call is before them.
            .map(|(depth, address)| self.location(address - usize::from(depth > 0 && address > 0)))
            .collect();
        let label = Label { key: self.string("thread".into()), text: self.string(thread) };
        let value = vec![count, nanos];
        self.profile.sample.push(Sample { location_id, value, label: vec![label] });
    }

    fn location(&mut self, address: usize) -> u64 {
        if let Some(known) = self.locations.get(&address) {
            return *known;
        }
        let symbols = symbols::functions(address);
        let line = symbols.into_iter().map(|symbol| self.line(symbol)).collect::<Vec<_>>();
        let inside = |it: &&mut Mapping| (it.start..it.limit).contains(&(address as u64));
        let mapping = self.profile.mapping.iter_mut().find(inside);
        let mapping_id = mapping.map_or(0, |mapping| {
            mapping.has_functions |= !line.is_empty();
            mapping.id
        });
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location { id, mapping_id, address: address as u64, line });
        self.locations.insert(address, id);
        id
    }

    fn line(&mut self, mut symbol: Symbol) -> Line {
        let line = i64::from(std::mem::take(&mut symbol.line));
        if let Some(&function_id) = self.functions.get(&symbol) {
            return Line { function_id, line };
        }
        let id = self.profile.function.len() as u64 + 1;
        let name = self.string(symbol.name.clone());
        let system_name = self.string(symbol.system_name.clone());
        let file = self.string(symbol.file.clone());
        self.profile.function.push(Function { id, name, system_name, file });
        self.functions.insert(symbol, id);
        Line { function_id: id, line }
    }

    fn finish(mut self, period: i64) -> Profile {
        let mut kind = |kind: &str, unit: &str| ValueType {
            kind: self.string(kind.to_owned()),
            unit: self.string(unit.to_owned()),
        };
        let (samples, cpu) = (kind("samples", "count"), kind("cpu", "nanoseconds"));
        self.profile.sample_type = vec![samples, cpu];
        self.profile.period_type = Some(cpu);
        self.profile.period = period;
        self.profile
    }
}

/// Start, limit, offset and file of a line of `/proc/self/maps` that is code.
fn code(line: &str) -> Option<(u64, u64, u64, &str)> {
    let mut words = line.splitn(6, ' ');
    let (start, limit) = words.next()?.split_once('-')?;
    if !words.next()?.contains('x') {
        return None;
    }
    let number = |word| u64::from_str_radix(word, 16).ok();
    let offset = number(words.next()?)?;
    let file = words.nth(2)?.trim();
    Some((number(start)?, number(limit)?, offset, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Profile {
        pub(in super::super) fn string(&self, index: i64) -> &str {
            &self.string_table[index as usize]
        }
    }

    const MAPS: &str = "\
55d0c0000000-55d0c0100000 r--p 00000000 fd:01 131 /usr/bin/catena
55d0c0100000-55d0c0400000 r-xp 00100000 fd:01 131 /usr/bin/catena
7f0000000000-7f0000100000 r-xp 00028000 fd:01 977                        /lib/libc.so.6
7ffd00000000-7ffd00002000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn addresses_without_names_keep_their_file() {
        let mut writer = Writer::new(MAPS);
        let (leaf, caller) = (0x55d0_c010_0010, 0x55d0_c010_0800);
        writer.sample([leaf, caller].into_iter(), 3, 30, "worker-0".into());
        writer.sample([caller - 1].into_iter(), 1, 10, "worker-1".into());
        let profile = writer.finish(10);
        let files: Vec<&str> = profile.mapping.iter().map(|it| profile.string(it.file)).collect();
        assert_eq!(files, ["/usr/bin/catena", "/lib/libc.so.6"]);
        let addresses: Vec<u64> = profile.location.iter().map(|it| it.address).collect();
        assert_eq!(addresses, [leaf as u64, caller as u64 - 1]);
        assert!(profile.location.iter().all(|it| it.mapping_id == 1 && it.line.is_empty()));
        assert_eq!(profile.sample[0].location_id, [1, 2]);
        assert_eq!(profile.sample[1].location_id, [2], "a place is written once");
        assert_eq!(profile.sample[0].value, [3, 30]);
        assert_eq!(profile.string(profile.sample[1].label[0].text), "worker-1");
        let kinds = profile.sample_type.iter().map(|it| profile.string(it.kind));
        assert_eq!(kinds.collect::<Vec<_>>(), ["samples", "cpu"]);
        assert_eq!(profile.string(0), "");
    }

    #[test]
    fn functions_are_written_once() {
        let own = functions_are_written_once as *const () as usize;
        let mut writer = Writer::new("");
        writer.sample([own, own + 2, own + 1].into_iter(), 1, 10, String::new());
        let profile = writer.finish(10);
        let named =
            |it: &&Function| profile.string(it.name).ends_with("functions_are_written_once");
        assert_eq!(profile.function.iter().filter(named).count(), 1);
    }
}
