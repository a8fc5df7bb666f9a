//! `records`: answers authoritatively from records in the Corefile.
//!
//! Its lines have the syntax of zone files. The crate `zone` parses them, the crate `authority` answers. The
//! plugin opens no file, and its data changes only with the Corefile.

mod config;
mod load;

use std::sync::Arc;

use authority::{Authority, Options, now};
use chain::{Kind, Setup, ZoneSet};
use corefile::{Diagnostics, Directive};
use zone::Live;

/// The `records` directive.
pub static PLUGIN: Kind = Kind {
    name: "records",
    doc: include_str!("README.md"),
    once: true,
    answers: true,
    setup,
    ..Kind::DEFAULT
};

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let (config, mut found) = config::parse(directive, &setup.zones());
        let mut warnings = Diagnostics::default();
        let zones = match load::load(&config, directive.span, &mut warnings) {
            Ok(zones) if !found.has_errors() => zones,
            loaded => {
                found.extend(loaded.err().into_iter().flatten());
                return Err(found);
            }
        };
        setup.warn_all(found.into_iter().chain(warnings));
        setup.warn_outside(&directive.args);
        for option in directive.options().iter().filter(|line| config::is_option(line)) {
            setup.warn_outside(&option.args);
        }
        let bare = zones.iter().filter(|loaded| !loaded.has_apex);
        let stand_ins = ZoneSet::new(bare.map(|loaded| loaded.zone.apex().clone()));
        let options = Options { fallthrough: config.fallthrough, stand_ins, ..Options::default() };
        let changed = Some(now(setup.clock()));
        let zones = zones.into_iter().map(|loaded| {
            let zone = Live::starting(loaded.zone);
            zone.set_status(|status| status.changed = changed);
            Arc::new(zone)
        });
        let plugin = Authority::fixed(zones.collect(), options, (), setup);
        setup.link(plugin);
    }
    Ok(())
}
