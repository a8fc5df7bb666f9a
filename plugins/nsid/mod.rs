//! `nsid`: tells clients that ask which server answered (RFC 5001).
//!
//! It adds one EDNS option to replies, on request only.

use chain::{Kind, Query, Reply, ServeDns, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::edns::option;

/// The `nsid` directive.
pub static PLUGIN: Kind =
    Kind { name: "nsid", doc: include_str!("README.md"), once: true, answers: false, setup };

/// More than this would crowd the answer out of a small datagram.
const MAX_DATA: usize = 255;

struct Nsid {
    data: Box<[u8]>,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut data = host_name();
    for directive in uses {
        errors.extend(directive.no_body().err());
        let words: Vec<&str> = directive.args.iter().map(|token| token.as_str()).collect();
        if !words.is_empty() {
            data = words.join(" ");
        }
        if data.len() > MAX_DATA {
            errors.push(
                Diagnostic::error(directive.span, format!("more than {MAX_DATA} octets of NSID"))
                    .label("this is too long")
                    .help("a short name is enough to tell servers apart"),
            );
        }
    }
    if errors.has_errors() {
        return Err(errors);
    }
    setup.link(Nsid { data: data.into_bytes().into() });
    Ok(())
}

impl ServeDns for Nsid {
    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if query.edns().is_none() || !query.options().any(|asked| asked.code == option::NSID) {
            return;
        }
        // What an upstream said is its name, not ours.
        reply.opt.retain(|known| known.code != option::NSID);
        reply.opt.push(option::NSID, &self.data);
    }
}

/// The name of this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
