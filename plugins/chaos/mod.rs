//! `chaos`: answers CHAOS queries about the server (RFC 4892).
//!
//! It answers TXT queries of class CH for a few names from constants. All other queries pass to the
//! next plugin.

mod config;

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Class, Rcode, Rtype, Section, hash};

use config::Config;

/// The `chaos` directive.
pub static PLUGIN: Kind =
    Kind { name: "chaos", doc: include_str!("README.md"), once: false, answers: false, setup };

struct Chaos {
    config: Config,
    host: String,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    // Without this the server refuses every class but IN before it asks the plugins.
    uses.iter().for_each(|directive| setup.take_all_classes(directive.span));
    setup.link(Chaos { config, host: chain::host_name() });
    Ok(())
}

impl ServeDns for Chaos {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if query.qclass() != Class::CH || query.qtype() != Rtype::TXT {
            return Ok(Step::Next);
        }
        match query.name() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => {
                text(query, reply, &self.config.version);
            }
            b"\x08hostname\x04bind\0" | b"\x02id\x06server\0" => text(query, reply, &self.host),
            b"\x07authors\x04bind\0" => {
                // Nobody is always first.
                let authors = &self.config.authors;
                let random = hash::mix(query.now.0 ^ u64::from(query.id()), hash::root());
                for at in config::order(authors.len(), random) {
                    text(query, reply, &authors[at]);
                }
            }
            _ => return Ok(Step::Next),
        }
        reply.set_rcode(Rcode::NOERROR);
        Ok(Step::Done)
    }
}

fn text(query: &Query, reply: &mut Reply, text: &str) {
    let text = config::cut(text).as_bytes();
    let mut rdata = [0; 256];
    rdata[0] = text.len() as u8;
    rdata[1..=text.len()].copy_from_slice(text);
    let (name, rdata) = (query.original_name(), &rdata[..=text.len()]);
    reply.push(Section::Answer, name, Rtype::TXT, Class::CH, 0, rdata);
}
