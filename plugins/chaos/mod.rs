//! `chaos`: answers CHAOS queries about the server (RFC 4892).
//!
//! It answers TXT queries of class CH for a few names from constants. All other queries pass to the
//! next plugin.

mod config;

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Class, NewRecord, Rcode, Rdata, Rtype, Section, hash, name};

use config::Config;

/// The `chaos` directive.
pub static PLUGIN: Kind =
    Kind { name: "chaos", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

/// The names of RFC 4892 and of BIND.
const VERSION_BIND: &[u8] = name!("version.bind.");
const VERSION_SERVER: &[u8] = name!("version.server.");
const HOSTNAME_BIND: &[u8] = name!("hostname.bind.");
const ID_SERVER: &[u8] = name!("id.server.");
const AUTHORS_BIND: &[u8] = name!("authors.bind.");

struct Chaos {
    config: Config,
    host: String,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    // Without this the server refuses every class but IN before the chain runs.
    uses.iter().for_each(|directive| setup.take_all_classes(directive.span));
    setup.link(Chaos { config, host: net::host::own_name() });
    Ok(())
}

impl ServeDns for Chaos {
    #[inline]
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if query.qclass() != Class::CH || query.qtype() != Rtype::TXT {
            return Ok(Step::Next);
        }
        match query.name() {
            VERSION_BIND | VERSION_SERVER => text(query, reply, &self.config.version),
            HOSTNAME_BIND | ID_SERVER => text(query, reply, &self.host),
            AUTHORS_BIND => {
                // The order is random, so that no author is always first.
                let authors = &self.config.authors;
                let random = hash::mix(query.client.now.0 ^ u64::from(query.id()), hash::root());
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
    let rdata = Rdata::Txt(config::cut(text).as_bytes());
    reply.push(Section::Answer, NewRecord::new(query.original_name(), 0, rdata).class(Class::CH));
}
