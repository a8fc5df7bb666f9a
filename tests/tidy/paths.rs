//! The paths that a Rust source mentions, read without a parser: enough to draw who uses whom.

use std::collections::BTreeSet;

/// A path in a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) segments: Vec<String>,
    pub(crate) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In code.
    Code,
    /// In `use`, under this name; the name is `*` for all names.
    Use(String),
    /// In `pub use`.
    Export(String),
}

/// The paths of a source, and the single words of its code.
#[derive(Default)]
pub(crate) struct Mentions {
    pub(crate) paths: Vec<Mention>,
    pub(crate) words: BTreeSet<String>,
}

/// Reads a source.
pub(crate) fn mentions(text: &str) -> Mentions {
    let bare = bare(text);
    let tokens = tokens(&bare);
    let mut found = Mentions::default();
    let mut at = 0;
    while at < tokens.len() {
        let word = tokens[at];
        if word == "use" {
            let exported = is_public(&tokens[..at]);
            at = tree(&tokens, at + 1, &[], exported, &mut found.paths);
        } else if is_word(word) {
            let mut segments = vec![word.to_owned()];
            let begins = at == 0 || tokens[at - 1] != "::";
            while let [_, "::", next, ..] = tokens[at..]
                && is_word(next)
            {
                segments.push(next.to_owned());
                at += 2;
            }
            match segments.len() {
                1 => found.words.extend(segments),
                _ if begins => {
                    found.words.insert(word.to_owned());
                    found.paths.push(Mention { segments, place: Place::Code });
                }
                _ => {}
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Whether `pub` or `pub(…)` precedes.
fn is_public(before: &[&str]) -> bool {
    match before {
        [.., "pub"] => true,
        [.., ")"] => {
            let open = before.iter().rposition(|token| *token == "(");
            open.is_some_and(|open| open > 0 && before[open - 1] == "pub")
        }
        _ => false,
    }
}

/// Reads one tree of `use` at `at`, and returns the place behind it.
fn tree(
    tokens: &[&str],
    mut at: usize,
    prefix: &[String],
    exported: bool,
    found: &mut Vec<Mention>,
) -> usize {
    let mut segments = prefix.to_vec();
    let named = |segments: Vec<String>, name: &str| {
        let name = name.to_owned();
        let place = if exported { Place::Export(name) } else { Place::Use(name) };
        Mention { segments, place }
    };
    while let Some(&token) = tokens.get(at) {
        at += 1;
        match token {
            "::" => {}
            "*" => {
                found.push(named(segments, "*"));
                return at;
            }
            "{" => {
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = tree(tokens, at, &segments, exported, found);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            word if is_word(word) => {
                if word != "self" || segments.is_empty() {
                    segments.push(word.to_owned());
                }
                let (name, behind) = match tokens.get(at..) {
                    Some(["::", ..]) => continue,
                    Some(["as", name, ..]) => ((*name).to_owned(), at + 2),
                    _ => (segments.last().cloned().unwrap_or_default(), at),
                };
                found.push(named(segments, &name));
                return behind;
            }
            _ => return at,
        }
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(text: &str) -> Vec<&str> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            _ if letter(first) => rest.find(|c| !letter(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// The source without comments, strings and characters.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string(rest),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skipped > 0 {
            out.push(' ');
            rest = &rest[skipped..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn string(text: &str) -> usize {
    let mut escaped = true;
    for (at, next) in text.char_indices() {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A raw string; zero for a raw identifier.
fn raw(text: &str) -> usize {
    let marks = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + marks) != Some(&b'"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(marks));
    let inner = 2 + marks;
    text[inner..].find(&end).map_or(text.len(), |at| inner + at + end.len())
}

/// A character; zero for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(0, |end| 3 + end + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

mod fires {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let shown = |mention: &Mention| {
            let path = mention.segments.join("::");
            match &mention.place {
                Place::Code => path,
                Place::Use(name) => format!("use {path} as {name}"),
                Place::Export(name) => format!("pub use {path} as {name}"),
            }
        };
        mentions(text).paths.iter().map(shown).collect()
    }

    #[test]
    fn on_paths() {
        assert_eq!(
            shown("use a::{b, c::{self, d as e}, f::*};\nuse super::g;"),
            [
                "use a::b as b",
                "use a::c as c",
                "use a::c::d as e",
                "use a::f as *",
                "use super::g as g"
            ]
        );
        assert_eq!(
            shown("pub(crate) use x::Y; pub use z;"),
            ["pub use x::Y as Y", "pub use z as z"]
        );
        let code = "// a::b\nlet x = 'a'; \"c::d\"; r#\"e::f\"#; self::g::<'a>(h::I::J, '\\'');";
        assert_eq!(shown(code), ["self::g", "h::I::J"]);
        assert!(mentions("fn f(x: &Word) {}").words.contains("Word"));
    }
}
