//! Checks the syntax of label selectors. The API server evaluates them.

/// Checks a selector: requirements with commas between.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut depth = 0;
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                requirement(&text[start..at])?;
                start = at + 1;
            }
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return Err("parentheses do not match".to_owned());
        }
    }
    if depth != 0 {
        return Err("parentheses do not match".to_owned());
    }
    requirement(&text[start..])
}

/// One of `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (values)`, `key notin (values)`,
/// `key>number` and `key<number`.
fn requirement(text: &str) -> Result<(), String> {
    let text = text.trim();
    if let Some(set) = text.strip_suffix(')') {
        let (head, values) = set.split_once('(').ok_or("parentheses do not match")?;
        let mut words = head.split_whitespace();
        let (Some(name), Some("in" | "notin"), None) = (words.next(), words.next(), words.next())
        else {
            return Err(format!("`{text}` is neither `KEY in (VALUES)` nor `KEY notin (VALUES)`"));
        };
        key(name)?;
        return values.split(',').try_for_each(value);
    }
    if let Some(name) = text.strip_prefix('!') {
        return key(name);
    }
    for operator in ["!=", "==", "=", ">", "<"] {
        if let Some((name, is)) = text.split_once(operator) {
            key(name)?;
            return value(is);
        }
    }
    key(text)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

fn key(text: &str) -> Result<(), String> {
    let text = text.trim();
    let name = text.rsplit('/').next().unwrap_or_default();
    let is_whole = !text.is_empty()
        && text.chars().all(|letter| is_word(letter) || letter == '/')
        && (1..=63).contains(&name.len())
        && text.matches('/').count() <= 1;
    if is_whole { Ok(()) } else { Err(format!("`{text}` is not the key of a label")) }
}

fn value(text: &str) -> Result<(), String> {
    let text = text.trim();
    let is_whole = text.len() <= 63 && text.chars().all(is_word);
    if is_whole { Ok(()) } else { Err(format!("`{text}` is not the value of a label")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_kubectl_are_right() {
        for right in [
            "environment in (production, staging, qa),application=nginx",
            "istio-injection=enabled",
            "a, !b, c!=d, e==f, example.org/g notin (h), i>5, j=",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["a in b", "a in (b", "a=b)", "", "a,", "a=b c", "a/b/c", "a within (b)", "!"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
