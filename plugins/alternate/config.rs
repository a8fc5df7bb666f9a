//! The `alternate` directive as plain values. `src/upstream` parses the options of the upstreams.

use chain::zones;
use corefile::{Args, Diagnostic, Diagnostics, Directive};
use upstream::{Owner, metric_names, rcode};
use wire::{Name, Rcode};

/// Directives in each other's blocks.
const MOST_DEEP: usize = 8;

/// The names of this plugin where its upstreams are logged, counted and recorded.
static OWNER: Owner = Owner {
    name: "alternate",
    metadata: "alternate/upstream",
    metrics: metric_names!("forward"),
    broken: "coredns_forward_healthcheck_broken_total",
    rejected: "coredns_forward_max_concurrent_rejects_total",
    observer: None,
};

/// One `alternate` directive.
pub(super) struct Config<'a> {
    /// Where it is written.
    pub(super) directive: &'a Directive,
    /// Whether the client's question is sent, without the changes of other plugins.
    pub(super) original: bool,
    /// The rcodes with which the upstreams are queried.
    pub(super) rcodes: Vec<Rcode>,
    /// The zone for which they are queried.
    pub(super) from: Name,
    /// The upstreams and their options.
    pub(super) upstreams: upstream::Config,
    /// The directives for their answers.
    pub(super) inner: Vec<Self>,
}

impl<'a> Config<'a> {
    /// Reads a directive that is inside `depth` others; warnings go to `warnings`.
    ///
    /// Errors: everything that is wrong with it.
    pub(super) fn read(
        directive: &'a Directive,
        warnings: &mut Diagnostics,
        depth: usize,
    ) -> Result<Self, Diagnostics> {
        if depth >= MOST_DEEP {
            return Err(Diagnostic::error(
                directive.span,
                format!("`alternate` is nested more than {MOST_DEEP} levels deep"),
            )
            .label("one level too deep")
            .help("write them one after the other: each checks the answer of the one before")
            .into());
        }
        let mut args = directive.args();
        let (mut original, mut rcodes, mut from) = (false, Vec::new(), Name::root());
        let to = head(&mut args, warnings).map(|head| {
            (original, rcodes, from) = head;
            args.remaining()
        });
        let mut options = Options;
        let read = upstream::Config::read(&OWNER, directive, to, &mut options);
        let mut problems = Diagnostics::default();
        let mut inner = Vec::new();
        let blocks = directive.options().iter().filter(|one| one.name.as_str() == "alternate");
        for block in blocks {
            match Self::read(block, warnings, depth + 1) {
                Ok(config) => inner.push(config),
                Err(more) => problems.extend(more),
            }
        }
        match read {
            Ok(upstreams) if !problems.has_errors() => {
                Ok(Self { directive, original, rcodes, from, upstreams, inner })
            }
            Ok(_) => Err(problems),
            Err(mut all) => {
                all.extend(problems);
                Err(all)
            }
        }
    }
}

/// The only option of this plugin is a nested `alternate`, which [`Config::read`] reads.
struct Options;

impl upstream::PluginOptions for Options {
    const NAMES: &'static [&'static str] = &["alternate"];

    fn read(&mut self, _: &Directive) -> Result<(), Diagnostic> {
        Ok(())
    }
}

/// `[original] RCODE[,RCODE...] FROM`.
fn head(
    args: &mut Args<'_>,
    warnings: &mut Diagnostics,
) -> Result<(bool, Vec<Rcode>, Name), Diagnostic> {
    let original = args.peek().is_some_and(|word| word.as_str() == "original");
    if original {
        args.next();
    }
    let words = args.required("an RCODE")?;
    let mut rcodes = Vec::new();
    for word in words.as_str().split(',') {
        let one = rcode(&corefile::Token { text: word.to_owned(), ..words.clone() })?;
        if !rcodes.contains(&one) {
            rcodes.push(one);
        }
    }
    let from = args.required("FROM")?;
    let zones = zones::parse(from)?;
    if zones.len() > 1 {
        let text = from.as_str();
        warnings.push(
            Diagnostic::warning(
                from.span,
                format!("`{text}` expands to {} zones, but `alternate` takes one", zones.len()),
            )
            .label("only the first zone is used")
            .help("write one `alternate` for each zone"),
        );
    }
    Ok((original, rcodes, zones.into_iter().next().unwrap_or_else(Name::root)))
}
