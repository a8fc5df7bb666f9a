//! The arguments of `loadbalance`.

use std::time::Duration;

use corefile::{Cidr, Diagnostic, Diagnostics, Directive, Token};

/// The directives of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) policy: Policy,
    pub(super) prefer: Vec<Cidr>,
}

/// The policy for the first address.
#[derive(Clone, Debug, Default)]
pub(super) enum Policy {
    /// A random one.
    #[default]
    Shuffle,
    /// Each address in proportion to its weight.
    Weighted {
        /// The weight file.
        file: Token,
        /// The time between two checks of the file. Zero means no checks.
        reload: Duration,
    },
}

/// CoreDNS's default for `reload`.
const RELOAD: Duration = Duration::from_secs(30);

/// Parses the directives of a block. The last policy wins; preferences add up.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        match policy(directive) {
            Ok(policy) => config.policy = policy,
            Err(error) => errors.push(error),
        }
        for option in directive.options() {
            errors.extend(option.no_body().err());
            match (option.name.as_str(), &mut config.policy) {
                ("prefer", _) => {
                    errors.extend(option.args().required("CIDR").err());
                    for token in &option.args {
                        match range(token) {
                            Ok(range) => config.prefer.push(range),
                            Err(error) => errors.push(error),
                        }
                    }
                }
                ("reload", Policy::Weighted { reload, .. }) => {
                    let mut args = option.args();
                    let value = args.value::<Duration>("DURATION");
                    match value.and_then(|value| args.end().map(|()| value)) {
                        Ok(value) => *reload = value,
                        Err(error) => errors.push(error),
                    }
                }
                ("reload", Policy::Shuffle) => errors.push(
                    Diagnostic::error(option.name.span, "unknown property `reload` of this policy")
                        .label("only `weighted` has a file to reload")
                        .help("remove `reload`, or use `loadbalance weighted FILE`"),
                ),
                _ => errors.push(directive.unknown_option(option, &["prefer", "reload"])),
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

fn policy(directive: &Directive) -> Result<Policy, Diagnostic> {
    let mut args = directive.args();
    let Some(word) = args.next() else { return Ok(Policy::Shuffle) };
    let policy = match word.as_str() {
        "round_robin" | "random" => Policy::Shuffle,
        "weighted" => {
            let file = args.next().ok_or_else(|| {
                Diagnostic::error(word.span, "missing weight file argument")
                    .label("this policy needs a file")
                    .help("write `loadbalance weighted FILE`")
            })?;
            Policy::Weighted { file: file.clone(), reload: RELOAD }
        }
        other => {
            let error = Diagnostic::error(word.span, format!("unknown policy: `{other}`"))
                .label("expected `round_robin`, `random` or `weighted`");
            let known = ["round_robin", "random", "weighted"];
            return Err(match corefile::nearest(other, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("omit the policy to use `round_robin`"),
            });
        }
    };
    args.end().map(|()| policy)
}

fn range(token: &Token) -> Result<Cidr, Diagnostic> {
    // As in CoreDNS, an address without a prefix length is no range.
    let range = if token.as_str().contains('/') { token.parse::<Cidr>("CIDR").ok() } else { None };
    range.ok_or_else(|| {
        Diagnostic::error(token.span, format!("invalid CIDR `{}`", token.as_str()))
            .label("expected an address range")
            .help("write a range such as `10.0.0.0/8` or `2001:db8::/32`")
    })
}
