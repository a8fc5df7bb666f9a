//! `autopath [ZONES...] FILE` or `autopath [ZONES...] @PLUGIN`.

use chain::{Setup, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive, Place, Span, Token};
use wire::Name;

/// Where search paths come from.
#[derive(Debug)]
pub(super) enum PathSource {
    /// One for all clients, the root at its end.
    File(Vec<Name>),
    /// A plugin by its name; the place of that, too.
    Plugin(String, Span),
}

/// The last of the directives; `None` if there is none.
///
/// # Errors
/// Every mistake.
pub(super) fn parse(
    uses: &[&Directive],
    setup: &Setup<'_>,
) -> Result<Option<(PathSource, ZoneSet)>, Diagnostics> {
    let mut read = None;
    let mut errors = Diagnostics::default();
    for directive in uses {
        match one(directive, setup) {
            Ok(one) => read = Some(one),
            Err(problem) => errors.push(problem),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(read) }
}

fn one(directive: &Directive, setup: &Setup<'_>) -> Result<(PathSource, ZoneSet), Diagnostic> {
    directive.no_body()?;
    let Some((last, zones)) = directive.args.split_last() else {
        return Err(Diagnostic::error(directive.name.span, "`autopath` needs a search path")
            .label("the file or the plugin is missing after this")
            .help("write `autopath /etc/resolv.conf` or `autopath @kubernetes`"));
    };
    let source = match last.as_str().strip_prefix('@') {
        Some(plugin) => PathSource::Plugin(plugin.to_owned(), last.span),
        None => PathSource::File(file(last, setup)?),
    };
    Ok((source, ZoneSet::from_args(zones, &setup.zones())?))
}

/// The largest file like resolv.conf.
const MAX_FILE: u64 = 1 << 20;

fn file(word: &Token, setup: &Setup<'_>) -> Result<Vec<Name>, Diagnostic> {
    let shown = word.as_str();
    let text = files::read_text(&setup.path(word), MAX_FILE).map_err(|error| {
        Diagnostic::error(word.span, format!("failed to parse `{shown}`: {error}"))
            .label("expected a file in the format of resolv.conf(5)")
            .help("give a readable file, or a plugin such as `@kubernetes`")
    })?;
    search(&text).map_err(|bad| {
        let error =
            Diagnostic::error(word.span, format!("`{bad}` in {shown} is not a domain name"))
                .label("the search path of this file is invalid")
                .help("correct the `search` line of the file");
        let file = setup.path(word).display().to_string();
        let is_bad = |line: &str| line.split_whitespace().skip(1).any(|word| word == bad);
        // The last line that has it is the one that counts.
        match text.lines().enumerate().filter(|(_, line)| is_bad(line)).last() {
            Some((index, line)) => {
                let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
                error.at(Place::word(file, number, line, &bad))
            }
            None => error.at(Place::file(file)),
        }
    })
}

/// The search path of a resolv.conf, the root at its end: the last `search` or `domain` line counts.
///
/// # Errors
/// The word that is no name.
fn search(text: &str) -> Result<Vec<Name>, String> {
    let mut path = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search") => path = words.collect(),
            Some("domain") => path = words.take(1).collect(),
            _ => {}
        }
    }
    let names = path.into_iter().chain(["."]).map(|word| match Name::from_text(word) {
        Ok(name) => Ok(name.to_lower()),
        Err(_) => Err(word.to_owned()),
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_paths_of_resolv_conf() {
        let read = |text: &str| {
            search(text).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let text = "# x\nnameserver 192.0.2.1\ndomain a.example\nsearch NS.svc.test  svc.test.\n";
        assert_eq!(read(text).unwrap(), ["ns.svc.test.", "svc.test.", "."]);
        assert_eq!(read("search a\ndomain b c\n").unwrap(), ["b.", "."]);
        assert_eq!(read("options ndots:5\n").unwrap(), ["."]);
        assert_eq!(read("search a..b\n"), Err("a..b".to_owned()));
    }
}
