//! The options of the `k8s_external` directive as plain values.

use chain::{Fallthrough, Setup, zones};
use corefile::{Diagnostic, Diagnostics, Directive, Span};
use wire::{Name, NameBuf};

const OPTIONS: &[&str] = &["apex", "ttl", "headless", "fallthrough"];
const LONGEST_TTL: u32 = 3600;

/// A `k8s_external` directive.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The zones in their order: reverse names lead to the first one.
    pub(super) zones: Vec<Name>,
    /// The label above the names of the server.
    pub(super) apex: Box<[u8]>,
    pub(super) ttl: u32,
    /// Whether headless services are answered, too.
    pub(super) headless: bool,
    pub(super) fallthrough: Fallthrough,
    pub(super) span: Span,
}

impl Config {
    /// Reads the directive.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn read(directive: &Directive, setup: &mut Setup<'_>) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut config = Self {
            zones: Vec::new(),
            apex: b"dns"[..].into(),
            ttl: 5,
            headless: false,
            fallthrough: Fallthrough::NEVER,
            span: directive.span,
        };
        for arg in &directive.args {
            match zones::parse(arg) {
                Ok(found) => config.zones.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        if directive.args.is_empty() {
            config.zones = setup.zones().iter().map(Name::to_lower).collect();
        }
        for option in directive.options() {
            if let Err(problem) = config.option(directive, option, setup) {
                problems.push(problem);
            }
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    fn option(
        &mut self,
        directive: &Directive,
        option: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "apex" => {
                let token = args.required("APEX")?;
                let label = token.as_str().to_lowercase();
                if NameBuf::new().push_label(label.as_bytes()).is_err() || label.contains('.') {
                    let message = format!("`{label}` is not one label");
                    return Err(Diagnostic::error(token.span, message)
                        .label("expected a label such as `dns`"));
                }
                self.apex = label.into_bytes().into();
            }
            "ttl" => {
                let token = args.required("TTL")?;
                let seconds = token.parse::<i64>("TTL")?;
                let ttl = u32::try_from(seconds).ok().filter(|ttl| *ttl <= LONGEST_TTL);
                self.ttl = ttl.ok_or_else(|| {
                    let message = format!("ttl must be in range [0, 3600]: {seconds}");
                    Diagnostic::error(token.span, message).label("expected 0 to 3600 seconds")
                })?;
            }
            "headless" => self.headless = true,
            "fallthrough" => {
                self.fallthrough = Fallthrough::from_args(&option.args)?;
                setup.warn_outside(&option.args);
                return Ok(());
            }
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()
    }
}
