//! The arguments of `geoip`.

use corefile::{Diagnostic, Diagnostics, Directive, Token};

/// The database, and the address to look up in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config<'a> {
    pub(super) path: &'a Token,
    /// The client subnet of a query counts, not its sender.
    pub(super) edns_subnet: bool,
}

/// The configuration of a block; none if it has no directive.
pub(super) fn parse<'a>(uses: &[&'a Directive]) -> Result<Option<Config<'a>>, Diagnostics> {
    let mut config: Option<Config<'a>> = None;
    let mut errors = Diagnostics::default();
    for &directive in uses {
        let mut args = directive.args();
        let path = args.required("a database file");
        errors.extend(args.end().err());
        let edns_subnet = options(directive, &mut errors);
        match path {
            Ok(path) if config.is_some() => errors.push(
                Diagnostic::error(path.span, "configuring multiple databases is not supported")
                    .label("the server block already has a database")
                    .help("remove one of the two, or move it to a server block of its own"),
            ),
            Ok(path) => config = Some(Config { path, edns_subnet }),
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn options(directive: &Directive, errors: &mut Diagnostics) -> bool {
    let mut edns_subnet = false;
    for option in directive.options() {
        if option.name.as_str() == "edns-subnet" {
            edns_subnet = true;
            errors.extend(option.args().end().and_then(|()| option.no_body()).err());
        } else {
            errors.push(directive.unknown_option(option, &["edns-subnet"]));
        }
    }
    edns_subnet
}
