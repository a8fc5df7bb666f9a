//! Variables in words: `{%NAME%}` and `{$NAME}`.

use crate::Loader;

/// Puts variables in: `{%NAME%}` first, then `{$NAME}`; one that is not set is empty.
pub(crate) fn expand(raw: &str, loader: &dyn Loader) -> String {
    if !raw.contains('{') {
        return raw.to_owned();
    }
    let once = replace(raw, "{%", "%}", loader);
    replace(&once, "{$", "}", loader)
}

/// Whether a word is one variable and nothing else.
pub(crate) fn is_alone(raw: &str) -> bool {
    let inside = |open: &str, close: &str| {
        let name = raw.strip_prefix(open)?.strip_suffix(close)?;
        Some(!name.is_empty() && !name.contains(close))
    };
    inside("{$", "}").or_else(|| inside("{%", "%}")).unwrap_or(false)
}

fn replace(text: &str, open: &str, close: &str, loader: &dyn Loader) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let Some(len) = rest[start + open.len()..].find(close) else { break };
        let name = &rest[start + open.len()..start + open.len() + len];
        let end = start + open.len() + len + close.len();
        out.push_str(&rest[..start]);
        if name.is_empty() {
            out.push_str(&rest[start..end]);
        } else {
            out.push_str(&loader.env(name).unwrap_or_default());
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryLoader;

    #[test]
    fn a_variable_is_alone_or_part_of_a_word() {
        for (raw, alone) in [
            ("{$A}", true),
            ("{%A%}", true),
            ("{$A}{$B}", false),
            ("{%A%}{%B%}", false),
            ("x{$A}", false),
            ("{$A}:53", false),
            ("{$}", false),
            ("{$A", false),
            ("A", false),
        ] {
            assert_eq!(is_alone(raw), alone, "{raw}");
        }
    }

    #[test]
    fn both_forms_and_what_is_neither() {
        let mut loader = MemoryLoader::default();
        for (name, value) in [("A", "1"), ("NEXT", "{$A}")] {
            loader.env.insert(name.to_owned(), value.to_owned());
        }
        for (raw, expected) in [
            ("{$A}", "1"),
            ("{%A%}x{$A}", "1x1"),
            ("{$UNSET}.", "."),
            ("{$}{%%}", "{$}{%%}"),
            ("{$A", "{$A"),
            ("{%NEXT%}", "1"),
            ("{$NEXT}", "{$A}"),
            ("$A", "$A"),
        ] {
            assert_eq!(expand(raw, &loader), expected, "{raw}");
        }
    }
}
