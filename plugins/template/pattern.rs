//! Regular expressions on names, and the groups they capture.

use regex::bytes::{Captures, Regex, RegexBuilder};

/// The longest expression, in bytes; CoreDNS's bound.
pub(super) const MAX_LEN: usize = 10_000;

/// One `match` expression.
pub(super) struct Pattern {
    text: String,
    /// `None` matches all names.
    regex: Option<Regex>,
    /// Numbers and names of the groups, in order, and which group each means.
    groups: Vec<(String, usize)>,
}

impl Pattern {
    /// The expression that is there without a `match` option.
    pub(super) fn all() -> Self {
        Self { text: ".*".to_owned(), regex: None, groups: vec![("0".to_owned(), 0)] }
    }

    /// Compiles an expression. Errors: why it is none.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text == ".*" {
            return Ok(Self::all());
        }
        // Names are ASCII, and so are the classes of Go. Only what the expression itself has beyond
        // that needs Unicode, which makes larger programs.
        let ascii = RegexBuilder::new(text).unicode(false).build();
        let regex = match ascii {
            Ok(regex) => regex,
            Err(_) => RegexBuilder::new(text).build().map_err(|error| error.to_string())?,
        };
        let mut groups: Vec<(String, usize)> =
            (0..regex.captures_len()).map(|group| (group.to_string(), group)).collect();
        for (group, name) in regex.capture_names().enumerate() {
            groups.extend(name.map(|name| (name.to_owned(), group)));
        }
        groups.sort();
        Ok(Self { text: text.to_owned(), regex: Some(regex), groups })
    }

    /// The expression.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches every name.
    pub(super) fn is_all(&self) -> bool {
        self.regex.is_none()
    }

    /// Whether it matches.
    pub(super) fn is_match(&self, name: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(name.as_bytes()))
    }

    /// The keys of the groups, in order, with the numbers of the groups.
    pub(super) fn groups(&self) -> &[(String, usize)] {
        &self.groups
    }

    /// What each group captured of a name that matches, the whole match first.
    pub(super) fn captures<'n>(&self, name: &'n str) -> Vec<&'n str> {
        let found = self.regex.as_ref().map(|regex| regex.captures(name.as_bytes()));
        match found {
            None => vec![name],
            Some(None) => Vec::new(),
            Some(Some(captures)) => texts(&captures, name),
        }
    }
}

fn texts<'n>(captures: &Captures<'_>, name: &'n str) -> Vec<&'n str> {
    let text = |group: Option<regex::bytes::Match<'_>>| {
        group.and_then(|group| name.get(group.range())).unwrap_or_default()
    };
    captures.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_numbers_and_names() {
        let pattern = Pattern::new(r"^ip-(?P<b>\d+)(-x)?\.").unwrap();
        assert!(pattern.is_match("ip-7.example."));
        assert_eq!(pattern.captures("ip-7.example."), ["ip-7.", "7", ""]);
        let keys: Vec<_> = pattern.groups().iter().map(|(key, at)| (key.as_str(), *at)).collect();
        assert_eq!(keys, [("0", 0), ("1", 1), ("2", 2), ("b", 1)]);
        assert_eq!(Pattern::all().captures("a."), ["a."]);
        assert!(Pattern::new(r"[\p{L}]").is_ok(), "Unicode classes");
        assert!(Pattern::new("(").is_err());
    }
}
