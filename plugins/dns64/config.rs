//! The options of `dns64`.

use std::net::Ipv6Addr;

use corefile::{Diagnostic, Diagnostics, Directive, Token};

use super::prefix::Prefix;

/// The options of all directives of a block; the last prefix counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) prefix: Prefix,
    /// Translates even where there are AAAA records.
    pub(super) translate_all: bool,
    /// Translates for clients over IPv4, too.
    pub(super) allow_ipv4: bool,
}

const OPTIONS: [&str; 3] = ["prefix", "translate_all", "allow_ipv4"];

/// Reads the directives.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config { prefix: Prefix::WELL_KNOWN, translate_all: false, allow_ipv4: false };
    let mut errors = Diagnostics::default();
    for directive in uses {
        let mut args = directive.args();
        let given = args.next();
        errors.extend(args.end().err());
        if let Some(word) = given {
            match prefix(word) {
                Ok(prefix) => config.prefix = prefix,
                Err(problem) => errors.push(problem),
            }
            // CoreDNS takes the line without its block then.
            errors.extend(directive.no_body().err());
            continue;
        }
        for option in directive.options() {
            if let Err(problem) = one(option, &mut config) {
                errors.push(problem);
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn one(option: &Directive, config: &mut Config) -> Result<(), Diagnostic> {
    let mut args = option.args();
    option.no_body()?;
    match option.name.as_str() {
        "prefix" => config.prefix = prefix(args.required("PREFIX")?)?,
        "translate_all" => config.translate_all = true,
        "allow_ipv4" => config.allow_ipv4 = true,
        name => {
            let unknown = Diagnostic::error(option.name.span, format!("unknown property '{name}'"))
                .label("not an option of `dns64`");
            return Err(match corefile::nearest(name, OPTIONS) {
                Some(near) => unknown.help(format!("did you mean `{near}`?")),
                None => unknown.help(format!("options: {}", OPTIONS.join(", "))),
            });
        }
    }
    args.end()
}

fn prefix(word: &Token) -> Result<Prefix, Diagnostic> {
    let read = || {
        let (address, bits) = word.as_str().split_once('/')?;
        let (address, bits): (Ipv6Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        Prefix::new(address, bits)
    };
    read().ok_or_else(|| {
        Diagnostic::error(word.span, format!("`{}` is not a prefix for dns64", word.as_str()))
            .label("expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits")
            .help("write for example `64:ff9b::/96`")
    })
}
