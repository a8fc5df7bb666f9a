//! Warnings of `catena check` about a Corefile that can be served but may not do what is expected.

use chain::Registry;
use corefile::{Corefile, Diagnostic, Diagnostics, ServerBlock};

use super::blocks::is_listener;

/// Directives that answer every query they see: what comes after them in the registry is not
/// reached for the same zone. Told by each plugin's declaration.
pub(crate) fn lint(corefile: &Corefile, registry: Registry, findings: &mut Diagnostics) {
    if corefile.incomplete {
        return;
    }
    for block in &corefile.blocks {
        empty(block, findings);
        order(block, registry, findings);
    }
}

fn empty(block: &ServerBlock, findings: &mut Diagnostics) {
    if block.directives.iter().all(is_listener) {
        findings.push(
            Diagnostic::warning(block.span, "this server block has no plugins")
                .label("every query for its zones is refused")
                .help(
                    "add a plugin that answers, such as `file` or `forward`, or remove the block",
                ),
        );
    }
}

/// Plugins run in a fixed order, whatever the order in the Corefile: tell where the two differ
/// among plugins that answer.
fn order(block: &ServerBlock, registry: Registry, findings: &mut Diagnostics) {
    let place = |name: &str| registry.iter().position(|entry| entry.name() == name);
    let answers = |name: &str| {
        let kinds = registry.iter().filter_map(|entry| entry.kind());
        kinds.into_iter().any(|kind| kind.name == name && kind.answers)
    };
    let mut last: Option<(usize, &corefile::Directive)> = None;
    for directive in block.directives.iter().filter(|d| answers(d.name.as_str())) {
        let Some(at) = place(directive.name.as_str()) else { continue };
        if let Some((before, earlier)) = last
            && at < before
        {
            findings.push(
                Diagnostic::warning(
                    directive.name.span,
                    format!(
                        "`{}` runs before `{}`, although it is written after it",
                        directive.name.as_str(),
                        earlier.name.as_str()
                    ),
                )
                .label("the order of plugins is fixed")
                .help(format!(
                    "write `{}` first to match the order in which they run",
                    directive.name.as_str()
                )),
            );
        }
        last = Some((at, directive));
    }
}
