//! `header`: sets and clears flags in queries and replies.
//!
//! It changes a query for the plugins after it, and restores it on the way out.

mod config;

use chain::{Kind, Query, Reply, Roles, Sees, ServeDns, Served, Setup, Step};
use corefile::{Diagnostics, Directive};
use wire::Flag;

use config::Flags;

/// The `header` directive.
pub static PLUGIN: Kind =
    Kind { name: "header", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let (query, reply) = config::parse(uses)?;
    setup.link(Header { query, reply });
    Ok(())
}

struct Header {
    query: Flags,
    reply: Flags,
}

impl ServeDns for Header {
    fn roles(&self) -> Roles<'_> {
        Roles { sees: Sees::ALL, ..Roles::default() }
    }

    #[inline]
    fn on_query(&self, query: &mut Query, _: &mut Reply) -> Served {
        if !self.query.is_empty() {
            query.push_original();
            for (flag, on) in self.query.iter() {
                query.set_flag(flag, on);
            }
        }
        Ok(Step::Next)
    }

    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        if !self.query.is_empty() {
            query.pop_original();
            // As in CoreDNS the reply repeats RD as it was set here.
            let desired = self.query.of(Flag::RecursionDesired);
            reply.recursion_desired = reply.recursion_desired.or(desired);
        }
        // A failure is written by the server, not by a plugin behind this one.
        if reply.failure().is_some() {
            return;
        }
        for (flag, on) in self.reply.iter() {
            match flag {
                Flag::Authoritative => reply.set_authoritative(on),
                Flag::RecursionAvailable => reply.recursion_available = on,
                Flag::RecursionDesired => reply.recursion_desired = Some(on),
            }
        }
    }
}
