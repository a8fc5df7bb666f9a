//! The arguments of `hosts`.

use std::io;
use std::time::Duration;

use chain::{Fallthrough, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use wire::Name;

use super::parse;

/// A `hosts` directive.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The hosts file, if there is one.
    pub(super) file: Option<Token>,
    pub(super) zones: ZoneSet,
    /// Lines as in a hosts file.
    pub(super) inline: String,
    pub(super) ttl: u32,
    pub(super) reverse: bool,
    /// The time between two checks of the file. Zero means no checks.
    pub(super) reload: Duration,
    pub(super) fallthrough: Fallthrough,
    /// Whether all unknown names fall through.
    pub(super) falls_through_always: bool,
    pub(super) fallthrough_unsupported: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            zones: ZoneSet::default(),
            inline: String::new(),
            ttl: 3600,
            reverse: true,
            reload: Duration::from_secs(5),
            fallthrough: Fallthrough::NEVER,
            falls_through_always: false,
            fallthrough_unsupported: false,
        }
    }
}

const OPTIONS: [&str; 5] =
    ["fallthrough", "fallthrough_unsupported", "no_reverse", "reload", "ttl"];

/// Parses the directive of a block. Returns the configuration and its warnings.
pub(super) fn parse(
    uses: &[&Directive],
    block_zones: &[Name],
) -> Result<(Config, Diagnostics), Diagnostics> {
    let mut config = Config::default();
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    for directive in uses {
        let mut args = directive.args();
        config.file = args.next().cloned();
        match ZoneSet::from_args(args.remaining(), block_zones) {
            Ok(zones) => config.zones = zones,
            Err(error) => errors.push(error),
        }
        let mut unsupported = None;
        let mut falls_through = false;
        for option in directive.options() {
            errors.extend(option.no_body().err());
            let result = match option.name.as_str() {
                "fallthrough" => {
                    falls_through = true;
                    let zones: &[Token] = &option.args;
                    Fallthrough::from_args(zones).map(|found| {
                        config.fallthrough = found;
                        config.falls_through_always = zones.is_empty();
                    })
                }
                "fallthrough_unsupported" => {
                    unsupported = Some(option);
                    option.args().end()
                }
                "no_reverse" => {
                    config.reverse = false;
                    option.args().end()
                }
                "ttl" => ttl(option).map(|ttl| config.ttl = ttl),
                "reload" => reload(option).map(|reload| config.reload = reload),
                // As in CoreDNS, no lines of a hosts file follow `fallthrough`.
                _ if falls_through => Err(unknown(directive, option)),
                word => {
                    if parse::address(word.as_bytes()).is_none() {
                        warnings.push(no_address(option));
                    }
                    config.inline.push_str(word);
                    for arg in &option.args {
                        config.inline.push(' ');
                        config.inline.push_str(arg.as_str());
                    }
                    config.inline.push('\n');
                    Ok(())
                }
            };
            errors.extend(result.err());
        }
        if let Some(option) = unsupported {
            config.fallthrough_unsupported = true;
            if !falls_through {
                errors.push(
                    Diagnostic::error(
                        option.name.span,
                        "fallthrough_unsupported requires fallthrough",
                    )
                    .label("this extends `fallthrough`")
                    .help("add `fallthrough`, or remove this option"),
                );
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok((config, warnings)) }
}

fn ttl(option: &Directive) -> Result<u32, Diagnostic> {
    let mut args = option.args();
    let token = args.required("SECONDS")?;
    args.end()?;
    match token.as_str().parse::<u32>() {
        Ok(ttl @ 1..=65_535) => Ok(ttl),
        _ => Err(Diagnostic::error(token.span, format!("`{}` is not a TTL", token.as_str()))
            .label("expected seconds from 1 to 65535")
            .help("write a number without a unit, as in `ttl 3600`")),
    }
}

fn reload(option: &Directive) -> Result<Duration, Diagnostic> {
    let mut args = option.args();
    let value = args.value::<Duration>("DURATION")?;
    args.end().map(|()| value)
}

fn unknown(directive: &Directive, option: &Directive) -> Diagnostic {
    let error = directive.unknown_option(option, &OPTIONS);
    if parse::address(option.name.as_str().as_bytes()).is_some() {
        return error.help("write the lines of a hosts file before `fallthrough`");
    }
    error
}

/// CoreDNS reads any word as a line of a hosts file, which hides misspelt options.
fn no_address(option: &Directive) -> Diagnostic {
    let word = option.name.as_str();
    let warning = Diagnostic::warning(option.name.span, format!("`{word}` is not an address"))
        .label("this line is ignored");
    match corefile::nearest(word, OPTIONS) {
        Some(near) => warning.help(format!("did you mean `{near}`?")),
        None => warning.help("write an address and its names, as in a hosts file"),
    }
}

impl Config {
    /// The warning about a file that exists and cannot be read.
    pub(super) fn unreadable(&self, error: &io::Error) -> Diagnostic {
        match &self.file {
            Some(token) => Diagnostic::error(
                token.span,
                format!("unable to access hosts file `{}`: {error}", token.as_str()),
            )
            .label("this file cannot be read")
            .help("name a regular file, and check its permissions and those of its parent directories"),
            None => Diagnostic {
                span: None,
                ..Diagnostic::error(
                    Default::default(),
                    format!("unable to access hosts file: {error}"),
                )
            },
        }
    }
}
