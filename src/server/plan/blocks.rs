//! Server blocks as they are written: their keys, the listeners inside them, and their directives.

use std::borrow::Cow;

use chain::Registry;
use corefile::{Diagnostic, Diagnostics, Directive, ServerBlock, Span};
use wire::Name;

use super::keys::{self, ZoneKey};

/// A server block, read.
pub(super) struct ParsedBlock<'a> {
    /// Its zones, each on an endpoint; those of the listeners inside it come last.
    pub(super) keys: Vec<ZoneKey>,
    /// The bodies of the listeners inside it.
    pub(super) bodies: Vec<&'a Directive>,
    /// All other directives.
    pub(super) directives: Vec<Cow<'a, Directive>>,
    /// Whether it is written in braces.
    pub(super) braces: bool,
    /// The place of its first key.
    pub(super) span: Span,
}

/// Reads all server blocks.
pub(super) fn blocks<'a>(
    blocks: &'a [ServerBlock],
    registry: Registry,
    default_port: u16,
    problems: &mut Diagnostics,
) -> Vec<ParsedBlock<'a>> {
    let spread = spread_directives(blocks, registry, problems);
    let parse = |(block, extra)| parse(block, extra, default_port, problems);
    spread.into_iter().map(parse).collect()
}

fn parse<'a>(
    block: &'a ServerBlock,
    extra: Vec<Directive>,
    default_port: u16,
    problems: &mut Diagnostics,
) -> ParsedBlock<'a> {
    let mut keys = keys::parse(&block.keys, default_port, problems);
    let (bodies, directives): (Vec<_>, Vec<_>) =
        block.directives.iter().partition(|directive| is_listener(directive));
    let mut inner = Vec::new();
    for (index, listener) in bodies.iter().enumerate() {
        problems.extend(listener.args().end().err());
        match keys::inner(listener, index, &keys, default_port) {
            Ok(parsed) => inner.extend(parsed),
            Err(problem) => problems.push(problem),
        }
    }
    keys.extend(inner);
    let directives =
        directives.into_iter().map(Cow::Borrowed).chain(extra.into_iter().map(Cow::Owned));
    ParsedBlock {
        keys,
        bodies,
        directives: directives.collect(),
        braces: block.braces,
        span: block.keys.first().map_or(block.span, |key| key.span),
    }
}

/// Whether a line of a block is a key: a further listener of the block, and no directive.
pub(super) fn is_listener(directive: &Directive) -> bool {
    directive.name.as_str().contains("://")
}

/// A top-level block whose first word is a directive applies it to the blocks that serve its zones.
fn spread_directives<'a>(
    blocks: &'a [ServerBlock],
    registry: Registry,
    problems: &mut Diagnostics,
) -> Vec<(&'a ServerBlock, Vec<Directive>)> {
    let is_directive = |block: &ServerBlock| {
        block.keys.len() > 1 && registry.iter().any(|entry| entry.name() == block.keys[0].as_str())
    };
    let mut out: Vec<(&ServerBlock, Vec<Directive>)> = blocks
        .iter()
        .filter(|block| !is_directive(block))
        .map(|block| (block, Vec::new()))
        .collect();
    for block in blocks.iter().filter(|block| is_directive(block)) {
        let directive = Directive {
            name: block.keys[0].clone(),
            args: block.keys[1..].to_vec(),
            body: Some(block.directives.clone()),
            span: block.span,
            end: block.span,
        };
        let zones: Vec<Name> =
            block.keys[1..].iter().flat_map(|key| zones_of(key.as_str())).collect();
        let mut used = false;
        for (server, extra) in &mut out {
            let serves = server
                .keys
                .iter()
                .flat_map(|key| zones_of(key.as_str()))
                .any(|served| zones.iter().any(|zone| zone.is_under(&served)));
            if serves {
                extra.push(directive.clone());
                used = true;
            }
        }
        if !used {
            problems.push(
                Diagnostic::error(
                    block.keys[0].span,
                    format!(
                        "no server block serves the zones of this `{}`",
                        block.keys[0].as_str()
                    ),
                )
                .help("add a server block for these zones, or write the directive inside one"),
            );
        }
    }
    out
}

/// The zones that a key's text stands for, without its scheme and port; none if it is no zone.
fn zones_of(text: &str) -> Vec<Name> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let zone = match rest.rsplit_once(':') {
        Some((zone, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => zone,
        _ => rest,
    };
    chain::zones::from_text(if zone.is_empty() { "." } else { zone }).unwrap_or_default()
}
