//! URI templates (RFC 6570), as far as DNS over HTTPS needs them: there is one variable, `dns`, and
//! its value needs no escapes.

/// The variable that RFC 8484 section 4.1 names.
const VARIABLE: &str = "dns";

/// The path of a resource, and where the query goes into it.
///
/// One without the variable gets it as a parameter of its own, for that is how `GET` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    /// What stands before the value if there is one.
    prefix: String,
    after: String,
}

impl Default for Template {
    /// `/dns-query{?dns}`, the usual path.
    fn default() -> Self {
        Self { before: "/dns-query".to_owned(), prefix: "?dns=".to_owned(), after: String::new() }
    }
}

impl Template {
    /// Reads what stands behind the server's name: a path with or without expressions.
    ///
    /// # Errors
    /// It is no template, one with more of the variable than one place, or leads nowhere.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut before = String::new();
        let mut after = String::new();
        let mut prefix = None;
        let mut rest = text;
        while let Some((literal, more)) = rest.split_once('{') {
            let (expression, more) =
                more.split_once('}').ok_or_else(|| "`{` without `}`".to_owned())?;
            let here = if prefix.is_none() { &mut before } else { &mut after };
            push(here, literal)?;
            if let Some(found) = expand(expression)? {
                if prefix.is_some() {
                    return Err(format!("`{VARIABLE}` appears twice"));
                }
                prefix = Some(found);
            }
            rest = more;
        }
        push(if prefix.is_none() { &mut before } else { &mut after }, rest)?;
        if !before.starts_with('/') {
            // `https://dns.example{?dns}`: the empty path.
            before.insert(0, '/');
        }
        let prefix = prefix.unwrap_or_else(|| {
            let mark = if before.contains('?') { '&' } else { '?' };
            format!("{mark}{VARIABLE}=")
        });
        Ok(Self { before, prefix, after })
    }

    /// Path and parameters without a value, which is how `POST` asks.
    pub fn bare(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Path and parameters with this value, which has no characters that need an escape.
    pub fn with(&self, value: &str) -> String {
        [&self.before, &self.prefix, value, &self.after].concat()
    }
}

/// Takes a piece of literal text, if it can stand in a path.
fn push(into: &mut String, literal: &str) -> Result<(), String> {
    let odd = literal.chars().find(|&c| !c.is_ascii_graphic() || "\"<>\\^`{|}#".contains(c));
    match odd {
        Some('#') => Err("`#` begins a fragment, which is not sent to the server".to_owned()),
        Some(c) => Err(format!("`{c}` is not allowed in a path")),
        None => {
            into.push_str(literal);
            Ok(())
        }
    }
}

/// What an expression puts before the value, if it has the variable. Others have no value, so they
/// leave nothing behind (RFC 6570 section 3.2.1).
fn expand(expression: &str) -> Result<Option<String>, String> {
    let wrong = |what: &str| format!("`{{{expression}}}` {what}");
    let operator = expression.chars().next().filter(|c| !c.is_ascii_alphanumeric() && *c != '_');
    let list = &expression[operator.map_or(0, char::len_utf8)..];
    // RFC 6570 appendix A: the first character, and whether the name is included.
    let (first, named) = match operator {
        None | Some('+') => ("", false),
        Some('.') => (".", false),
        Some('/') => ("/", false),
        Some(';') => (";", true),
        Some('?') => ("?", true),
        Some('&') => ("&", true),
        Some('#') => return Err(wrong("is a fragment, which is not sent to the server")),
        Some(_) => return Err(wrong("begins with an unknown operator")),
    };
    let mut found = None;
    for variable in list.split(',') {
        let name = variable.strip_suffix('*').unwrap_or(variable);
        let known = |c: char| c.is_ascii_alphanumeric() || "_.%".contains(c);
        if name.split_once(':').is_some_and(|(name, _)| name == VARIABLE) {
            return Err(wrong("would truncate the query"));
        }
        let bare = name.split_once(':').map_or(name, |(name, _)| name);
        if bare.is_empty() || !bare.chars().all(known) {
            return Err(wrong("has a variable without a name"));
        }
        if bare == VARIABLE {
            if found.is_some() {
                return Err(format!("`{VARIABLE}` appears twice"));
            }
            found = Some(if named { format!("{first}{VARIABLE}=") } else { first.to_owned() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_one_place_for_a_query(text in "[/a-z{}?&,.;+*:#%0-9]{0,20}") {
            if let Ok(template) = Template::parse(&text) {
                let (bare, with) = (template.bare(), template.with("QUERY"));
                prop_assert!(bare.starts_with('/') && with.starts_with('/'));
                let odd = |text: &str| text.contains(|c: char| "{}#".contains(c));
                prop_assert!(!odd(&bare) && !odd(&with));
                prop_assert_eq!(with.matches("QUERY").count(), 1);
            }
        }
    }

    #[test]
    fn templates() {
        let cases = [
            ("/dns-query{?dns}", "/dns-query", "/dns-query?dns=AAAA"),
            ("/dns-query", "/dns-query", "/dns-query?dns=AAAA"),
            ("", "/", "/?dns=AAAA"),
            ("/", "/", "/?dns=AAAA"),
            ("{?dns}", "/", "/?dns=AAAA"),
            ("/q?ct=x", "/q?ct=x", "/q?ct=x&dns=AAAA"),
            ("/q?ct=x{&dns}", "/q?ct=x", "/q?ct=x&dns=AAAA"),
            ("/{dns}/end", "//end", "/AAAA/end"),
            ("/q{/dns}", "/q", "/q/AAAA"),
            ("/q{;dns}", "/q", "/q;dns=AAAA"),
            ("/q{.dns*}", "/q", "/q.AAAA"),
            ("/q{+dns}", "/q", "/qAAAA"),
            ("/q{?client,dns}", "/q", "/q?dns=AAAA"),
            ("/q{/client}{?dns,more:3}", "/q", "/q?dns=AAAA"),
            ("/%7Eme/q", "/%7Eme/q", "/%7Eme/q?dns=AAAA"),
        ];
        for (text, bare, with) in cases {
            let template = Template::parse(text).unwrap();
            assert_eq!((&*template.bare(), &*template.with("AAAA")), (bare, with), "{text}");
        }
        assert_eq!(Template::parse("/dns-query{?dns}"), Ok(Template::default()));
    }

    #[test]
    fn what_is_no_template() {
        let cases = [
            ("/q{?dns", "`{` without `}`"),
            ("/q}", "`}` is not allowed in a path"),
            ("/q{?dns}{&dns}", "`dns` appears twice"),
            ("/q{?dns,dns}", "`dns` appears twice"),
            ("/q{#dns}", "`{#dns}` is a fragment, which is not sent to the server"),
            ("/q#part", "`#` begins a fragment, which is not sent to the server"),
            ("/q{=dns}", "`{=dns}` begins with an unknown operator"),
            ("/q{?dns:3}", "`{?dns:3}` would truncate the query"),
            ("/q{}", "`{}` has a variable without a name"),
            ("/q{?a,}", "`{?a,}` has a variable without a name"),
            ("/q{?ü}", "`{?ü}` has a variable without a name"),
            ("/ü", "`ü` is not allowed in a path"),
        ];
        for (text, problem) in cases {
            assert_eq!(Template::parse(text).unwrap_err(), problem, "{text}");
        }
    }
}
