//! The arguments of `erratic`.

use std::time::Duration;

use corefile::{Diagnostic, Diagnostics, Directive};

/// One of how many queries is treated badly; 0 means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) drop: u64,
    pub(super) delay: u64,
    pub(super) truncate: u64,
    /// How long a delay is.
    pub(super) duration: Duration,
    /// Repeat the A record, to make answers larger than 512 octets.
    pub(super) large: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { drop: AMOUNT, delay: 0, truncate: 0, duration: DURATION, large: false }
    }
}

const AMOUNT: u64 = 2;
const DURATION: Duration = Duration::from_millis(100);

/// The configuration of a block; several directives add up. Warnings go to `warnings`.
pub(super) fn parse(
    uses: &[&Directive],
    warnings: &mut Diagnostics,
) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut drops = false;
    let mut errors = Diagnostics::default();
    for directive in uses {
        if let Some(word) = directive.args.first() {
            let message = format!("`{}` has no effect", word.as_str());
            warnings.push(
                Diagnostic::warning(word.span, message)
                    .label("CoreDNS ignores arguments here")
                    .help("remove it; `erratic` applies to all zones of its server block"),
            );
        }
        for option in directive.options() {
            errors.extend(option.no_body().err());
            let result = match option.name.as_str() {
                "drop" => amount(option).map(|amount| {
                    config.drop = amount;
                    drops = true;
                }),
                "truncate" => amount(option).map(|amount| config.truncate = amount),
                "delay" => delay(option).map(|(amount, duration)| {
                    config.delay = amount;
                    config.duration = duration;
                }),
                "large" => option.args().end().map(|()| config.large = true),
                _ => Err(directive.unknown_option(option, &["delay", "drop", "large", "truncate"])),
            };
            errors.extend(result.err());
        }
    }
    // If only one kind of trouble is configured, the others are off.
    if !drops && (config.delay > 0 || config.truncate > 0) {
        config.drop = 0;
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn amount(option: &Directive) -> Result<u64, Diagnostic> {
    let mut args = option.args();
    let amount = args.optional::<u32>("AMOUNT")?;
    args.end()?;
    Ok(amount.map_or(AMOUNT, u64::from))
}

fn delay(option: &Directive) -> Result<(u64, Duration), Diagnostic> {
    let mut args = option.args();
    let amount = args.optional::<u32>("AMOUNT")?;
    let duration = args.optional::<Duration>("DURATION")?;
    args.end()?;
    Ok((amount.map_or(AMOUNT, u64::from), duration.unwrap_or(DURATION)))
}
