//! Directives that no plugin is for.

use chain::{Entry, Registry};
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};

/// Refuses what no plugin is for. The words that were to open a block, for want of a blank, are returned:
/// what they say themselves is not to be told.
pub(super) fn refuse_unknown(
    directives: &[&Directive],
    braces: bool,
    registry: Registry,
    problems: &mut Diagnostics,
) -> Vec<Span> {
    let mut glued = Vec::new();
    // Once the mistake is told that makes lines look like directives, they are not told.
    let (mut opens, mut follows, mut told_bare) = (None, false, false);
    for directive in directives {
        let name = directive.name.as_str();
        let last = directive.args.last().unwrap_or(&directive.name);
        if registry.iter().any(|entry| entry.name() == name) {
            opens = glued_brace(last).map(|problem| (problem, last.span));
            follows = false;
            continue;
        }
        if let Some((problem, word)) = opens.take() {
            problems.0.retain(|known| known.span != Some(word));
            problems.push(problem);
            glued.push(word);
            follows = true;
        }
        if follows {
            continue;
        }
        let mut problem =
            Diagnostic::error(directive.name.span, format!("Unknown directive '{name}'"))
                .label("no plugin has this name");
        let help = match corefile::nearest(name, registry.iter().map(Entry::name)) {
            _ if !braces && directive.body.is_some() => {
                if std::mem::replace(&mut told_bare, true) {
                    continue;
                }
                "a file without braces is a single server block: enclose the block above in braces"
                    .to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => "`catena -plugins` lists the plugins of this build".to_owned(),
        };
        problem = problem.help(help);
        problems.push(problem);
    }
    glued
}

/// The mistake of a line that ends with a brace that no blank separates from its word, if the next
/// lines turn out to be no directives.
fn glued_brace(last: &Token) -> Option<Diagnostic> {
    let rest = last.as_str().strip_suffix('{').filter(|rest| !rest.is_empty())?;
    let brace = Span { start: last.span.end.saturating_sub(1), ..last.span };
    (!last.quoted).then(|| {
        Diagnostic::error(brace, "a space is missing before this `{`")
            .label("without it the brace is part of the word, and the next lines are no block")
            .help(format!("put a space before `{{`: `{rest} {{`"))
    })
}
