//! `hello`: answers TXT questions with a text.
//!
//! It needs nothing but the query.
mod config;

use chain::{Kind, Query, Reply, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::{Rdata, Rtype};

/// The `hello` directive.
pub static PLUGIN: Kind =
    Kind { name: "hello", doc: include_str!("README.md"), answers: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let text = config::parse(directive)?;
        setup.link(Hello { text });
    }
    Ok(())
}

struct Hello {
    text: String,
}

impl ServeDns for Hello {
    fn on_query(&self, query: &mut Query, reply: &mut Reply) -> Served {
        if query.qtype() != Rtype::TXT {
            return Ok(Step::Next);
        }
        reply.set_authoritative(true);
        reply.answer(60, Rdata::Txt(self.text.as_bytes()));
        Ok(Step::Done)
    }
}
