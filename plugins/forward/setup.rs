//! From directives to links in the chain.

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive};
use upstream::Group;

use super::config::Config;
use super::plugin::Forward;

/// Sets up all `forward` directives of a server block.
pub(super) fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    // CoreDNS: a block with `forward` takes queries of every class.
    uses.iter().for_each(|directive| setup.take_all_classes(directive.span));
    let mut problems = Diagnostics::default();
    for (index, directive) in uses.iter().enumerate() {
        let followed = index + 1 < uses.len();
        if let Err(more) = set_up_one(directive, followed, setup) {
            problems.extend(more);
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(()) }
}

fn set_up_one(
    directive: &Directive,
    followed: bool,
    setup: &mut Setup<'_>,
) -> Result<(), Diagnostics> {
    let Config { from, options, upstreams } = Config::read(directive, setup.warnings())?;
    let group = Group::set_up(upstreams, directive, setup)?;
    setup.warn_outside(directive.args.get(..1).unwrap_or_default());
    if options.except.is_empty() {
        setup.ends([from.clone()]);
    }
    if !followed && (options.next_on_nodata || !options.next.is_empty()) {
        let name = if options.next.is_empty() { "next_on_nodata" } else { "next" };
        let option = directive.options().iter().rfind(|one| one.name.as_str() == name);
        let span = option.map_or(directive.span, |option| option.span);
        let message = format!("`{name}` has no effect without another `forward` after this one");
        setup.warn(
            Diagnostic::warning(span, message)
                .label("no following `forward` in this server block")
                .help("add the `forward` to try next, or remove the option"),
        );
    }
    setup.link(Forward::new(from, options, group, followed));
    Ok(())
}
