//! The addresses that `bind` directives stand for.

use std::net::IpAddr;

use chain::settings::Bind;
use corefile::{Diagnostic, Diagnostics, Span};

/// The addresses a block listens on, before ports: `None` stands for all.
pub(crate) fn addresses(binds: &[Bind], problems: &mut Diagnostics) -> Vec<Option<IpAddr>> {
    if binds.is_empty() {
        return vec![None];
    }
    let mut found = Vec::new();
    for bind in binds {
        let except: Vec<IpAddr> =
            bind.except.iter().flat_map(|(text, span)| expand(text, *span, problems)).collect();
        for (text, span) in &bind.addresses {
            for address in expand(text, *span, problems) {
                if !except.contains(&address) && !found.contains(&Some(address)) {
                    found.push(Some(address));
                }
            }
        }
    }
    found
}

/// One address, or all those of an interface.
fn expand(text: &str, span: Span, problems: &mut Diagnostics) -> Vec<IpAddr> {
    let plain = text.split('%').next().unwrap_or(text);
    if let Ok(address) = plain.parse() {
        return vec![address];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses: Vec<IpAddr> = interfaces
        .iter()
        .filter(|interface| interface.name == text)
        .map(if_addrs::Interface::ip)
        .collect();
    if addresses.is_empty() {
        let mut names: Vec<&str> = interfaces.iter().map(|found| found.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        problems.push(
            Diagnostic::error(span, format!("not a valid IP address or interface name: `{text}`"))
                .help("write an IP address or the name of an interface that is up")
                .note(format!("interfaces: {}", names.join(", "))),
        );
    }
    addresses
}
