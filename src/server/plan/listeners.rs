//! Listeners inside a server block: what their bodies set.

use std::path::PathBuf;

use chain::settings::ListenerSettings;
use chain::setup::{BlockSetup, Requests};
use chain::{Entry, Registry, Services, Setting};
use corefile::{Diagnostic, Diagnostics, Directive};

use super::blocks::ParsedBlock;
use super::uses::{not_built, surplus};

/// The settings of each listener inside the block, whose relative paths are relative to `root`.
pub(super) fn settings(
    block: &ParsedBlock<'_>,
    registry: Registry,
    services: &Services,
    root: Option<&Setting<PathBuf>>,
    requests: &mut Requests,
    problems: &mut Diagnostics,
) -> Vec<ListenerSettings> {
    let mut all = Vec::with_capacity(block.bodies.len());
    for (index, listener) in block.bodies.iter().enumerate() {
        let scheme = block.keys.iter().find(|key| key.listener == Some(index));
        // A listener that is refused as a whole: the plugins of its transport are missing with it.
        let refused = scheme.is_none_or(|key| !net::is_supported(key.scheme));
        let mut setup = BlockSetup::default();
        setup.settings.block.root = root.cloned();
        for entry in registry {
            let uses: Vec<&Directive> = listener
                .options()
                .iter()
                .filter(|option| option.name.as_str() == entry.name())
                .collect();
            let Some(first) = uses.first() else { continue };
            match entry {
                Entry::Built(kind) if kind.listener => match surplus(kind, &uses) {
                    Some(surplus) => problems.push(surplus),
                    None => {
                        let done = (kind.setup)(&uses, &mut setup.plugin(kind.name, &[], services));
                        problems.extend(done.err().into_iter().flatten());
                    }
                },
                Entry::Built(_) => problems.push(misplaced(listener, first)),
                Entry::Known(_) if refused => {}
                Entry::Known(_) => problems.push(not_built(first)),
            }
        }
        let unknown = listener
            .options()
            .iter()
            .filter(|option| registry.iter().all(|entry| entry.name() != option.name.as_str()));
        problems.extend(unknown.map(|option| unknown_option(listener, option, registry)));
        requests.append(setup.requests);
        all.push(setup.settings.listener);
    }
    all
}

/// The error of a plugin of the chain in the body of a listener.
fn misplaced(listener: &Directive, option: &Directive) -> Diagnostic {
    let (name, key) = (option.name.as_str(), listener.name.as_str());
    Diagnostic::error(option.name.span, format!("`{name}` does not apply to a listener"))
        .label(format!("the body of `{key}` has settings of this listener only"))
        .help("write it outside of the listener: it applies to the whole server block")
}

fn unknown_option(listener: &Directive, option: &Directive, registry: Registry) -> Diagnostic {
    let (name, key) = (option.name.as_str(), listener.name.as_str());
    let unknown =
        Diagnostic::error(option.name.span, format!("unknown option `{name}` of `{key}`"))
            .label("no setting of a listener has this name");
    match corefile::nearest(name, registry.iter().map(Entry::name)) {
        Some(near) => unknown.help(format!("did you mean `{near}`?")),
        None => unknown.help("remove it, or write it outside of the listener"),
    }
}
