//! The errors of a use of a plugin, in a server block or in the body of a listener.

use chain::Kind;
use corefile::{Diagnostic, Directive};

/// An error if a plugin that may be used once is used again.
pub(super) fn surplus(kind: &Kind, uses: &[&Directive]) -> Option<Diagnostic> {
    let [_, second, ..] = uses else { return None };
    kind.once.then(|| {
        Diagnostic::error(
            second.name.span,
            format!("plugin/{}: this plugin can only be used once per Server Block", kind.name),
        )
        .label("used a second time here")
        .help("remove one of the two, or move one to another server block")
    })
}

/// The error of a directive that CoreDNS has and this build has not.
pub(super) fn not_built(used: &Directive) -> Diagnostic {
    let name = used.name.as_str();
    Diagnostic::error(used.name.span, format!("plugin `{name}` is not in this build"))
        .label("CoreDNS has this plugin, this build does not")
        .help("remove the directive, or keep CoreDNS for this server block")
}
