//! `geoip`: provides the location and network of a client from a MaxMind database.
//!
//! It only offers metadata: a lookup in the database happens when another plugin reads a label. It
//! never answers and never changes a query.

mod config;
mod database;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use chain::{CollectMetadata, Kind, Query, Roles, ServeDns, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::edns::option;

use database::Database;

/// The `geoip` directive.
pub static PLUGIN: Kind =
    Kind { name: "geoip", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let Some(config) = config::parse(uses)? else { return Ok(()) };
    let file = setup.path(config.path);
    let open = || Database::open(&file);
    let database = setup.try_keep(identity(&file), open).map_err(|problem| {
        Diagnostic::error(config.path.span, problem)
            .label("this is not a usable database")
            .help("give the path of a MaxMind database (.mmdb) of locations or ASNs")
            .note("a relative path is relative to `root`; `catena help geoip` lists the types")
    })?;
    if !setup.has_metadata() {
        setup.warn(
            Diagnostic::warning(config.path.span, "metadata is not collected in this block")
                .label("no plugin can read the values of this database")
                .help("add the `metadata` plugin to the block"),
        );
    }
    setup.link(Geoip { database, edns_subnet: config.edns_subnet });
    Ok(())
}

/// Identifies the version of the file: one that did not change is read once for
/// all blocks, and not again at a reload.
fn identity(file: &Path) -> String {
    let state = std::fs::metadata(file).map_or_else(
        |_| String::new(),
        |of| format!("{} {} {}.{}", of.ino(), of.size(), of.mtime(), of.mtime_nsec()),
    );
    format!("geoip {} {state}", file.display())
}

struct Geoip {
    database: Arc<Database>,
    edns_subnet: bool,
}

impl ServeDns for Geoip {
    fn roles(&self) -> Roles<'_> {
        Roles { metadata: Some(self), ..Roles::default() }
    }
}

impl CollectMetadata for Geoip {
    fn collect(&self, query: &mut Query) {
        let told = self.edns_subnet.then(|| client_subnet(query)).flatten();
        let address = told.unwrap_or_else(|| query.client.peer.ip()).to_canonical();
        let database = Arc::clone(&self.database);
        query.offer_metadata(self.database.labels(), move |label| database.value(label, address));
    }
}

/// The address of the first client subnet (RFC 7871 section 6), if it can be read. What the network
/// leaves open is zero.
fn client_subnet(query: &Query) -> Option<IpAddr> {
    let data = query.options().find(|found| found.code == option::CLIENT_SUBNET)?.data;
    let ([family_high, family, source, scope], address) = data.split_first_chunk()?;
    let valid = |most: u8| *source <= most && *scope <= most;
    match u16::from_be_bytes([*family_high, *family]) {
        // Clients that hide their network send no family.
        0 if *source == 0 => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        1 if valid(32) => Some(IpAddr::V4(Ipv4Addr::from(padded(address)))),
        2 if valid(128) => Some(IpAddr::V6(Ipv6Addr::from(padded(address)))),
        _ => None,
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
}
