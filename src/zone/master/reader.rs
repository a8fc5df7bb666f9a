//! Reads a file entry by entry through one buffer, and keeps the state that one entry leaves to the next.

use std::io::Read;

use wire::{Class, Name, Rtype};

use super::error::ZoneError;
use super::fault::{Extent, Fault, Parse, fault, fault_help, quote};
use super::lexer::{Lexer, Token};
use super::options::{FALLBACK_TTL, Findings, Includes, Options, Refusal};
use super::rdata::fields::Fields;
use super::rdata::schema;
use super::strings::{MAX_STRING, push_name, unescape};
use super::{generate, number};
use crate::RecordRef;

/// Buffer size of a file.
pub(super) const BUFFER: usize = 1 << 20;
/// Initial buffer size of an included file.
const SMALL_BUFFER: usize = 1 << 16;
/// The longest entry, for which the buffer grows.
const MAX_ENTRY: usize = 1 << 24;
/// TTLs are 31-bit numbers (RFC 2181 section 8).
const MAX_TTL: u32 = 0x7FFF_FFFF;

type Each<'e> = &'e mut dyn FnMut(RecordRef<'_>) -> Result<(), Refusal>;

pub(super) fn read(
    source: &mut dyn Read,
    options: &Options<'_>,
    includes: &dyn Includes,
    buffer: usize,
    each: Each<'_>,
) -> Findings {
    let mut shared = Shared {
        includes,
        each,
        findings: Findings::default(),
        max_errors: options.max_errors,
        max_warnings: options.max_warnings,
        rdata: Vec::with_capacity(buffer.min(1 << 16)),
        deepest: options.include_depth,
        includes_left: options.include_count,
    };
    let mut state = State {
        file: options.file.into(),
        depth: 0,
        origin: options.origin.clone(),
        owner: Vec::with_capacity(buffer.min(512)),
        default_ttl: options.default_ttl,
        last_ttl: None,
        soa_minimum: None,
        class: Class::IN,
        include: None,
    };
    file(source, &mut state, &mut shared, buffer);
    shared.findings
}

/// State that all files of one reading share.
struct Shared<'r> {
    includes: &'r dyn Includes,
    each: Each<'r>,
    findings: Findings,
    max_errors: usize,
    max_warnings: usize,
    rdata: Vec<u8>,
    deepest: u32,
    /// How many more files `$INCLUDE` may read.
    includes_left: u32,
}

impl Shared<'_> {
    fn is_full(&self) -> bool {
        self.findings.errors.len() >= self.max_errors
    }

    fn push(&mut self, error: ZoneError, extent: Extent) {
        match extent {
            Extent::LeftOut => self.findings.warnings.push(ZoneError {
                label: "left out".into(),
                help: error
                    .help
                    .or_else(|| Some("remove it, or put it into the file of its own zone".into())),
                ..error
            }),
            Extent::Word | Extent::Record => self.findings.errors.push(error),
        }
    }

    /// Adds a warning about the entry `here`, which starts on line `line`.
    #[cold]
    fn warn(
        &mut self,
        (check, label): (&'static str, &str),
        file: &str,
        here: &[u8],
        line: u32,
        fault: Fault,
    ) {
        if self.findings.counts(check, self.max_warnings) {
            let at = fault.at;
            let found = ZoneError::locate(file, here, line, at, fault);
            self.findings.warnings.push(ZoneError { check, label: label.into(), ..found });
        }
    }
}

/// The warning about a string at byte `at` that was split; the entry starts at byte `start`.
#[cold]
fn split_string((at, length): (usize, usize), start: usize) -> Fault {
    let message = format!("this string has {length} bytes; a string holds up to {MAX_STRING}");
    let help = "write several strings: `\"…\" \"…\"`; applications join them";
    Fault { help: Some(help.into()), ..Fault::warning(at.saturating_sub(start), message) }
}

/// State that the entries of a file leave to the next ones.
struct State {
    file: String,
    depth: u32,
    origin: Name,
    /// The owner of the last record; empty when there is none yet.
    owner: Vec<u8>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    soa_minimum: Option<u32>,
    class: Class,
    /// The file of an `$INCLUDE`.
    include: Option<Box<Include>>,
}

/// A file to be read once the entry that names it is known to be whole.
struct Include {
    path: String,
    origin: Name,
    at: usize,
}

fn file(source: &mut dyn Read, state: &mut State, shared: &mut Shared<'_>, buffer: usize) {
    let mut buffer = vec![0u8; buffer];
    let (mut start, mut end, mut complete) = (0, 0, false);
    let mut line = 1u32;
    loop {
        if let Err(error) = fill(source, &mut buffer, &mut end, &mut complete) {
            let message = format!("cannot read the file: {error}");
            shared.findings.errors.push(ZoneError::new(&state.file, line, 0, &message, ""));
            return;
        }
        if line == 1 && start == 0 && buffer[..end].starts_with(b"\xEF\xBB\xBF") {
            start = 3;
        }
        let text = &buffer[..end];
        while start < end && !shared.is_full() {
            let mut lexer = Lexer::new(text, start, complete);
            let mut result = state.entry(&mut lexer, shared);
            if !lexer.starved && (result.is_err() || lexer.at >= end || text[lexer.at] != b'\n') {
                lexer.leave();
            } else if !lexer.starved {
                lexer.at += 1;
            }
            if lexer.starved {
                state.include = None;
                break;
            }
            let here = &text[start..lexer.at];
            if let Some(request) = state.include.take()
                && result.is_ok()
            {
                result = include(*request, state, shared, here, (start, line));
            }
            if let Err(mut fault) = result {
                hint_long_quote(&mut fault, lexer.long_quote, here, start, line);
                let at = fault.at.saturating_sub(start);
                let (extent, more) = (fault.extent, fault.more);
                let error = ZoneError::locate(&state.file, here, line, at, *fault);
                for _ in 0..more {
                    shared.push(error.clone(), extent);
                }
                shared.push(error, extent);
            }
            if let Some(split) = lexer.split {
                let fault = split_string(split, start);
                let said = ("long-string", "split into several");
                shared.warn(said, &state.file, here, line, fault);
            }
            line = line.saturating_add(if lexer.long { newlines(here) } else { 1 });
            start = lexer.at;
        }
        if shared.is_full() || (complete && start >= end) {
            return;
        }
        // The entry at `start` goes on beyond the buffer.
        if start == 0 && end == buffer.len() {
            if buffer.len() >= MAX_ENTRY {
                let message = format!("this entry is longer than {} MiB", MAX_ENTRY >> 20);
                let fault = Fault {
                    at: 0,
                    message: message.into(),
                    help: Some("is a `(` or a `\"` never closed?".into()),
                    extent: Extent::Word,
                    more: 0,
                };
                shared.findings.errors.push(ZoneError::locate(
                    &state.file,
                    &buffer,
                    line,
                    0,
                    fault,
                ));
                return;
            }
            let double = buffer.len() * 2;
            buffer.resize(double, 0);
        }
        buffer.copy_within(start..end, 0);
        end -= start;
        start = 0;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(
    source: &mut dyn Read,
    buffer: &mut [u8],
    end: &mut usize,
    complete: &mut bool,
) -> std::io::Result<()> {
    while *end < buffer.len() && !*complete {
        match source.read(&mut buffer[*end..]) {
            Ok(0) => *complete = true,
            Ok(count) => *end += count.min(buffer.len() - *end),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many lines an entry of more than one has ended.
#[cold]
fn newlines(entry: &[u8]) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', entry).count()).unwrap_or(u32::MAX)
}

/// A quoted string that swallowed the next lines is the likely cause of an error behind it.
fn hint_long_quote(fault: &mut Fault, long: Option<usize>, here: &[u8], start: usize, line: u32) {
    let Some(open) = long.filter(|&open| fault.help.is_none() && open >= start) else {
        return;
    };
    let before = here.get(..open - start).unwrap_or_default();
    let line = line.saturating_add(memchr::memchr_iter(b'\n', before).count() as u32);
    fault.help = Some(format!(
        "a quoted string that begins on line {line} runs over the end of the line: is its closing \
         `\"` missing?"
    ));
}

/// Reads an included file. `here` is the entry that names it, which starts at byte `start` on line `line`.
#[cold]
fn include(
    request: Include,
    state: &State,
    shared: &mut Shared<'_>,
    here: &[u8],
    (start, line): (usize, u32),
) -> Parse<()> {
    let Include { path, origin, at } = request;
    if state.depth >= shared.deepest {
        return fault_help(
            at,
            format!("`$INCLUDE` is nested more than {} deep", shared.deepest),
            "does a file include itself?",
        );
    }
    let Some(left) = shared.includes_left.checked_sub(1) else {
        return fault_help(
            at,
            "too many files are included",
            "does a file include itself? join the files, or split the zone",
        );
    };
    shared.includes_left = left;
    let mut source = match shared.includes.open(&path, &state.file) {
        Ok(source) => source,
        Err(error) => return fault(at, format!("cannot include `{path}`: {error}")),
    };
    if let Some((message, help)) = shared.includes.doubt(&path, &state.file) {
        let fault = Fault { help: Some(help), ..Fault::warning(at.saturating_sub(start), message) };
        shared.warn(("include-outside", "included from here"), &state.file, here, line, fault);
    }
    // As in CoreDNS, what the included file sets ends with it.
    let mut inner = State {
        file: shared.includes.name(&path, &state.file),
        depth: state.depth + 1,
        origin,
        owner: Vec::with_capacity(512),
        default_ttl: state.default_ttl,
        last_ttl: state.last_ttl,
        soa_minimum: state.soa_minimum,
        class: state.class,
        include: None,
    };
    file(&mut *source, &mut inner, shared, SMALL_BUFFER);
    Ok(())
}

impl State {
    /// Reads one entry, up to but not over its newline.
    #[inline]
    fn entry(&mut self, lexer: &mut Lexer<'_>, shared: &mut Shared<'_>) -> Parse<()> {
        let blank = lexer.starts_blank();
        let Some(first) = lexer.next()? else {
            return Ok(());
        };
        if blank {
            if self.owner.is_empty() && !lexer.starved {
                return fault_help(
                    first.at,
                    "this record has no owner",
                    "a line that starts with a blank takes the owner name of the record before it, \
                     and there is none",
                );
            }
            return self.record(Some(first), lexer, shared);
        }
        if first.raw.first() == Some(&b'$') && !first.quoted {
            return self.directive(first, lexer, shared);
        }
        self.owner(first)?;
        let second = lexer.next()?;
        self.record(second, lexer, shared)
    }

    fn owner(&mut self, token: Token<'_>) -> Parse<()> {
        if token.quoted {
            return fault(token.at, "an owner name must not be quoted");
        }
        self.owner.clear();
        let result = push_name(token, self.origin.as_wire(), &mut self.owner);
        if result.is_err() {
            self.owner.clear();
            // The lines below that continue this owner are not to be reported one by one.
            self.owner.extend_from_slice(self.origin.as_wire());
        }
        result
    }

    /// Reads what follows the owner: TTL and class in any order, type, RDATA.
    #[inline]
    fn record<'a>(
        &mut self,
        mut token: Option<Token<'a>>,
        lexer: &mut Lexer<'a>,
        shared: &mut Shared<'_>,
    ) -> Parse<()> {
        let mut ttl = None;
        let mut class = None;
        let rtype = loop {
            let Some(word) = token else {
                return fault(lexer.at, "the type is missing");
            };
            if word.quoted {
                return fault(word.at, "expected the record type, found a quoted string");
            }
            if word.raw.first().is_some_and(u8::is_ascii_digit) && ttl.is_none() {
                ttl = Some(read_ttl(word)?);
            } else if let Some(rtype) = schema::type_of(word.raw)
                && rtype != Rtype::ANY
            {
                if schema::is_meta(rtype) {
                    return fault(
                        word.at,
                        format!("`{rtype}` is a type for queries and messages, not for zones"),
                    );
                }
                break rtype;
            } else if let Some(number) = read_class(word.raw)
                && class.is_none()
            {
                class = Some(number);
            } else {
                return unknown_word(word, ttl.is_some(), class.is_some());
            }
            token = lexer.next()?;
        };
        let mut fields = Fields { lexer, origin: self.origin.as_wire() };
        fields.rdata(rtype, &mut shared.rdata)?;
        lexer.end()?;
        if lexer.starved {
            return Ok(());
        }
        if let Some(ttl) = ttl {
            self.last_ttl = Some(ttl);
        }
        if rtype == Rtype::SOA
            && let Some((_, minimum)) = shared.rdata.split_last_chunk()
        {
            self.soa_minimum = Some(u32::from_be_bytes(*minimum).min(MAX_TTL));
        }
        if let Some(class) = class {
            self.class = class;
        }
        let inherited = self.default_ttl.or(self.last_ttl).or(self.soa_minimum);
        let record = RecordRef {
            owner: &self.owner,
            rtype,
            class: class.unwrap_or(self.class),
            ttl: ttl.or(inherited).unwrap_or(FALLBACK_TTL),
            rdata: &shared.rdata,
        };
        match (shared.each)(record) {
            Ok(()) => Ok(()),
            Err(refusal) => refused(refusal, &mut shared.findings, shared.max_warnings),
        }
    }

    #[cold]
    fn directive(
        &mut self,
        word: Token<'_>,
        lexer: &mut Lexer<'_>,
        shared: &mut Shared<'_>,
    ) -> Parse<()> {
        let mut fields = Fields { lexer, origin: self.origin.as_wire() };
        if word.raw.eq_ignore_ascii_case(b"$ORIGIN") {
            let mut name = Vec::new();
            fields.name("origin", &mut name)?;
            lexer.end()?;
            if !lexer.starved {
                self.origin = to_name(&name, word)?;
            }
        } else if word.raw.eq_ignore_ascii_case(b"$TTL") {
            let ttl = read_ttl(fields.word("TTL")?)?;
            lexer.end()?;
            if !lexer.starved {
                self.default_ttl = Some(ttl);
            }
        } else if word.raw.eq_ignore_ascii_case(b"$INCLUDE") {
            let token = fields.token("file name")?;
            let mut path = Vec::new();
            unescape(token, token.raw, &mut path)?;
            let origin = match fields.lexer.next()? {
                None => self.origin.clone(),
                Some(token) => {
                    let mut name = Vec::new();
                    push_name(token, self.origin.as_wire(), &mut name)?;
                    to_name(&name, token)?
                }
            };
            lexer.end()?;
            let path = String::from_utf8_lossy(&path).into_owned();
            self.include = Some(Box::new(Include { path, origin, at: token.at }));
        } else if word.raw.eq_ignore_ascii_case(b"$GENERATE") {
            self.generate(lexer, shared)?;
        } else {
            return fault_help(
                word.at,
                format!("`{}` is not a directive", quote(word.raw)),
                "the directives are `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`; write an owner \
                 name that starts with `$` as `\\$`",
            );
        }
        Ok(())
    }

    fn generate(&mut self, lexer: &mut Lexer<'_>, shared: &mut Shared<'_>) -> Parse<()> {
        let Some(token) = lexer.next()? else {
            return fault(lexer.at, "the range of `$GENERATE` is missing");
        };
        let range = generate::range(token)?;
        let Some(first) = lexer.next()? else {
            return fault(lexer.at, "the owner name of `$GENERATE` is missing");
        };
        // What follows is read again for each number, so go to its end first.
        while lexer.next()?.is_some() {}
        if lexer.starved {
            return Ok(());
        }
        let template = &lexer.text()[first.at..lexer.at];
        let mut line = Vec::new();
        let mut left_out = Ok(());
        // Records whose place is wanted: they have that of the entry.
        let mut marked = 0usize;
        for value in range {
            generate::expand(template, first.at, value, &mut line)?;
            let mut inner = Lexer::new(&line, 0, true);
            let made = match inner.next()? {
                Some(owner) => self.owner(owner).and_then(|()| {
                    let second = inner.next()?;
                    self.record(second, &mut inner, shared)
                }),
                None => Ok(()),
            };
            if let Some((_, length)) = inner.split {
                lexer.split.get_or_insert((first.at, length));
            }
            if let Err(mut inner) = made {
                if inner.extent == Extent::Record && inner.message.is_empty() {
                    marked += 1;
                    continue;
                }
                let made = String::from_utf8_lossy(&line).into_owned();
                inner.help = Some(format!("with {value} the line is `{made}`"));
                if inner.extent == Extent::LeftOut {
                    left_out = left_out.and(Err(inner));
                    continue;
                }
                (inner.at, inner.extent) = (first.at, Extent::Word);
                return Err(inner);
            }
        }
        if let Some(more) = marked.checked_sub(1) {
            return Err(Box::new(Fault { more, ..Fault::warning(first.at, String::new()) }));
        }
        left_out
    }
}

/// The fault of a record that its receiver refuses. The reader of the entry knows its position.
#[cold]
fn refused(refusal: Refusal, findings: &mut Findings, max_warnings: usize) -> Parse<()> {
    let (message, extent) = match refusal {
        Refusal::Mistake(message) => (message, Extent::Record),
        Refusal::LeftOut(message) => {
            if !findings.counts("", max_warnings) {
                return Ok(());
            }
            (message, Extent::LeftOut)
        }
    };
    Err(Box::new(Fault { at: 0, message: message.into(), help: None, extent, more: 0 }))
}

fn to_name(wire: &[u8], token: Token<'_>) -> Parse<Name> {
    Name::from_wire(wire).or_else(|error| fault(token.at, error.to_string()))
}

fn read_ttl(token: Token<'_>) -> Parse<u32> {
    match number::ttl(token.raw) {
        // Values with the highest bit set count as zero.
        Some(ttl) => Ok(if ttl > MAX_TTL { 0 } else { ttl }),
        None => fault_help(
            token.at,
            format!("`{}` is not a TTL", quote(token.raw)),
            "write a number of seconds, or a sum such as `1h30m` or `1w2d`",
        ),
    }
}

fn read_class(raw: &[u8]) -> Option<Class> {
    if raw == b"IN" {
        return Some(Class::IN);
    }
    let class = std::str::from_utf8(raw).ok().and_then(Class::from_text)?;
    if matches!(class, Class::ANY | Class::NONE) { None } else { Some(class) }
}

#[cold]
fn unknown_word<T>(word: Token<'_>, ttl: bool, class: bool) -> Parse<T> {
    let given = quote(word.raw);
    let upper = word.raw.to_ascii_uppercase();
    let near = Rtype::KNOWN
        .iter()
        .filter_map(|rtype| rtype.mnemonic())
        .find(|name| name.len() > 2 && is_near(name.as_bytes(), &upper))
        .filter(|_| read_class(word.raw).is_none());
    let message = match (ttl, class) {
        (true, true) => format!("`{given}` is not a record type"),
        (true, false) => format!("`{given}` is neither a class nor a record type"),
        (false, true) => format!("`{given}` is neither a TTL nor a record type"),
        (false, false) => format!("`{given}` is neither a TTL nor a class nor a record type"),
    };
    match near {
        Some(name) => fault_help(word.at, message, format!("did you mean `{name}`?")),
        None => fault(word.at, message),
    }
}

/// Whether one inserted, dropped, changed or swapped letter makes one word of the other.
fn is_near(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([_, x @ ..], y) | (y, [_, x @ ..]) if x == y => true,
        ([_, x @ ..], [_, y @ ..]) if x == y => true,
        ([p, q, x @ ..], [r, s, y @ ..]) => p == s && q == r && x == y,
        _ => false,
    }
}
