//! `log`: writes a line about every query.
//!
//! It reads the query and the reply on the way out, formats the line into a thread-local buffer and
//! hands it to `telemetry::log`. It never changes a reply, never waits for a terminal or a disk, and does
//! not allocate once its buffer has grown.

mod class;
mod config;
mod format;
mod json;

use std::cell::RefCell;

use chain::{Clock, Kind, Query, Reply, Roles, Sees, ServeDns, Setup};
use corefile::{Diagnostics, Directive};
use telemetry::record::LogRecord;

use config::Rule;
use format::Format;

/// The `log` directive.
pub static PLUGIN: Kind = Kind {
    name: "log",
    doc: include_str!("README.md"),
    setup,
    without_corefile: Some("queries are logged"),
    ..Kind::DEFAULT
};

/// The longest line buffer that a thread keeps.
const MAX_KEPT: usize = 64 << 10;

thread_local! {
    /// The line being built, and a buffer for its parts.
    static LINE: RefCell<[Vec<u8>; 2]> = RefCell::new([Vec::with_capacity(512), Vec::new()]);
}

struct Log {
    rules: Vec<Rule>,
    clock: Clock,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let has_metadata = setup.has_metadata();
    let (rules, warnings) = config::parse(uses, has_metadata)?;
    setup.warn_all(warnings);
    setup.link(Log { rules, clock: setup.clock() });
    Ok(())
}

impl ServeDns for Log {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        // The first rule for the name decides, even if its classes say no.
        let Some(rule) = self.rules.iter().find(|rule| rule.zones.contains(query)) else { return };
        let kind = class::kind(query, reply, || (self.clock.unix)(query.client.now));
        query.set_metadata("log/type", || kind.as_str().to_owned());
        query.set_metadata("log/class", || kind.class().as_str().to_owned());
        if !rule.classes.contains(kind.class()) {
            return;
        }
        let record = LogRecord { query, reply: Some(reply) };
        LINE.with_borrow_mut(|[line, part]| {
            line.clear();
            match &rule.format {
                Format::Text(text) if telemetry::log::is_json() => {
                    part.clear();
                    text.write(part, &record);
                    let message = String::from_utf8_lossy(part);
                    json::write_around(
                        line,
                        &message,
                        &record,
                        (self.clock.unix)(query.client.now),
                    );
                }
                Format::Text(text) => {
                    line.extend_from_slice(b"[INFO] ");
                    text.write(line, &record);
                }
                Format::Json => {
                    json::write(line, &record, kind, (self.clock.unix)(query.client.now))
                }
            }
            line.push(b'\n');
            telemetry::log::raw(line);
            for buffer in [line, part] {
                if buffer.capacity() > MAX_KEPT {
                    buffer.shrink_to(MAX_KEPT);
                }
            }
        });
    }
}
