//! The arguments of `auto`.

use std::time::Duration;

use chain::admin::AdminConfig;
use chain::zones;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use regex::{Regex, RegexBuilder};
use wire::Name;

/// The longest regular expression, as in CoreDNS.
const MAX_PATTERN: usize = 10_000;
/// The largest compiled regular expression, in bytes.
const MAX_PROGRAM: usize = 1 << 20;

/// One directive.
#[derive(Debug)]
pub(super) struct Config<'a> {
    /// Zones above those that are loaded.
    pub(super) zones: Vec<Name>,
    /// Where the files are; `None` without the option.
    pub(super) directory: Option<&'a Token>,
    pub(super) pattern: Pattern,
    /// The time between two checks. Zero means no checks.
    pub(super) every: Duration,
    /// The endpoint that lists the zones of the server.
    pub(super) admin: Option<AdminConfig>,
}

/// Finds the zone of a file in its name.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    template: String,
}

const OPTIONS: &[&str] = &["directory", "reload", "admin", "upstream"];

/// Parses a directive of a block whose zones are `default`. Warnings are added to `warnings`.
///
/// # Errors
/// All mistakes in the directive.
pub(super) fn parse<'a>(
    directive: &'a Directive,
    default: &[Name],
    warnings: &mut Diagnostics,
) -> Result<Config<'a>, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut config = Config {
        zones: origins(directive, default, &mut errors),
        directory: None,
        pattern: Pattern::default(),
        every: Duration::from_secs(60),
        admin: None,
    };
    for option in directive.options() {
        let read = match option.name.as_str() {
            "directory" => directory(option, &mut config),
            "admin" => AdminConfig::parse(option).map(|admin| config.admin = Some(admin)),
            "reload" => reload(option).map(|every| config.every = every),
            "upstream" => {
                warnings.push(
                    Diagnostic::warning(option.name.span, "`upstream` has no effect")
                        .label("ignored")
                        .help(
                            "remove it: the server itself resolves CNAME targets outside the zone",
                        ),
                );
                Ok(())
            }
            _ => Err(directive.unknown_option(option, OPTIONS)),
        };
        errors.extend(read.err());
        errors.extend(option.no_body().err());
    }
    if errors.has_errors() {
        return Err(errors);
    }
    if config.directory.is_none() {
        warnings.push(
            Diagnostic::warning(directive.name.span, "`auto` has no directory")
                .label("it loads no zones")
                .help("add the option `directory DIR`"),
        );
    }
    Ok(config)
}

fn origins(directive: &Directive, default: &[Name], errors: &mut Diagnostics) -> Vec<Name> {
    if directive.args.is_empty() {
        return default.iter().map(Name::to_lower).collect();
    }
    let mut origins: Vec<Name> = Vec::new();
    for arg in &directive.args {
        match zones::parse(arg) {
            Ok(found) => origins.extend(found),
            Err(error) => errors.push(error),
        }
    }
    origins
}

fn directory<'a>(option: &'a Directive, config: &mut Config<'a>) -> Result<(), Diagnostic> {
    let mut args = option.args();
    config.directory = Some(args.required("DIR")?);
    let Some(pattern) = args.next() else { return Ok(()) };
    let template = args.required("ORIGIN_TEMPLATE")?;
    args.end()?;
    config.pattern = Pattern::read(pattern, template)?;
    Ok(())
}

fn reload(option: &Directive) -> Result<Duration, Diagnostic> {
    let mut args = option.args();
    let every = args.value::<Duration>("DURATION")?;
    args.end()?;
    Ok(every)
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new(r"db\.(.*)", "{1}").unwrap_or_else(|_| unreachable!("the pattern is correct"))
    }
}

impl Pattern {
    fn new(pattern: &str, template: &str) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN {
            return Err(format!("it has {} characters, of at most {MAX_PATTERN}", pattern.len()));
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_PROGRAM)
            .build()
            .map_err(|error| error.to_string())?;
        if regex.captures_len() < 2 {
            return Err("it has no group: write `(` and `)` around the name of the zone".to_owned());
        }
        // As in CoreDNS: `{1}`, `{name}` and `$1` are groups. `${1}` becomes `$${1}`, which is the text `${1}`.
        Ok(Self { regex, template: template.replace('{', "${") })
    }

    fn read(pattern: &Token, template: &Token) -> Result<Self, Diagnostic> {
        let text = pattern.as_str();
        Self::new(text, template.as_str()).map_err(|problem| {
            Diagnostic::error(pattern.span, format!("cannot use the regular expression `{text}`"))
                .label(problem.lines().last().unwrap_or_default().to_owned())
                .help(r"write it as in `directory zones (.*)\.zone {1}`")
        })
    }

    /// What makes this pattern another one.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.regex, self.template)
    }

    /// The name of the zone in the file with this name, as text. `None` if it is no file of a zone.
    pub(super) fn origin(&self, file: &str) -> Option<String> {
        let found = self.regex.captures(file)?;
        let mut origin = String::new();
        found.expand(&self.template, &mut origin);
        (!origin.is_empty()).then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_become_zones() {
        let origin = |pattern: &str, template: &str, file: &str| {
            Pattern::new(pattern, template).unwrap().origin(file)
        };
        let default = Pattern::default();
        assert_eq!(default.origin("db.example.org").as_deref(), Some("example.org"));
        assert_eq!(default.origin("old-db.example.org").as_deref(), Some("example.org"));
        assert_eq!(default.origin("example.org"), None);
        assert_eq!(default.origin("db."), None, "no name");
        let zone = origin(r"^(.*)\.(\w+)\.zone$", "{2}.{1}", "example.org.zone");
        assert_eq!(zone.as_deref(), Some("org.example"));
        assert_eq!(origin("(?P<n>.*)x", "{n}", "abx").as_deref(), Some("ab"));
        assert_eq!(origin("(.*)x", "$1", "abx").as_deref(), Some("ab"));
        assert_eq!(origin("(.*)x", "${1}", "abx").as_deref(), Some("${1}"));
        assert_eq!(origin("(.*)", "bliep", "any").as_deref(), Some("bliep"));
        assert_eq!(origin("a(b)?", "{1}{2}", "a"), None, "groups that match nothing");
        for wrong in ["*", "a.*", "(a", &"(a)".repeat(MAX_PATTERN)] {
            assert!(Pattern::new(wrong, "{1}").is_err());
        }
    }
}
