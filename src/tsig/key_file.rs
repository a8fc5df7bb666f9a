//! Key files: the `key` statements of BIND, as `tsig-keygen` writes them.
//!
//! ```text
//! key "transfer.example." {
//!     algorithm hmac-sha256;
//!     secret "c2VjcmV0";
//! };
//! ```
//!
//! `;` may be missing, as in CoreDNS. Without an algorithm, the key verifies requests of every algorithm.
//! Comments are `//`, `#` and `/* */`.
//!
//! Any word may be a secret in the wrong place. A message names the place and shows no text of the file but names
//! of keys, `{`, `}` and `;`.

use std::fmt;

use wire::Name;

use crate::{Key, KeyError};

/// What is wrong with a key file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for KeyFileError {}

/// The keys of a key file, in its order.
///
/// # Errors
/// The first thing that is wrong with the file: its syntax, a key, or two keys of one name.
pub fn parse(text: &str) -> Result<Vec<Key>, KeyFileError> {
    let mut tokens = Tokens { text, at: 0 };
    let mut keys: Vec<Key> = Vec::new();
    while let Some(token) = tokens.next_but_semicolon()? {
        if token.is_quoted || token.text != "key" {
            return Err(tokens.error(token.at, format!("expected `key`, found {}", token.shown())));
        }
        let named = tokens.expect_word("the name of the key")?;
        let key = statement(&mut tokens, &named)?;
        if keys.iter().any(|known| known.name() == key.name()) {
            return Err(tokens.error(named.at, format!("a second key `{}`", key.name())));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The rest of a `key` statement.
fn statement(tokens: &mut Tokens<'_>, named: &Token<'_>) -> Result<Key, KeyFileError> {
    let wrong = |tokens: &Tokens<'_>, at, problem: KeyError| tokens.error(at, problem.to_string());
    let name = Name::from_text(named.text)
        .map_err(|problem| wrong(tokens, named.at, KeyError::Name(problem.to_string())))?;
    let brace = tokens.expect("a `{`")?;
    if brace.is_quoted || brace.text != "{" {
        return Err(tokens.error(brace.at, format!("expected a `{{`, found {}", brace.shown())));
    }
    let (mut algorithm, mut secret) = (None, None);
    loop {
        let token = tokens.expect("a `}`")?;
        let twice =
            |tokens: &Tokens<'_>| tokens.error(token.at, format!("a second `{}`", token.text));
        match token.text {
            _ if token.is_quoted => return Err(tokens.unexpected(&token)),
            ";" => {}
            "}" => break,
            "algorithm" => {
                let word = tokens.expect_word("an algorithm")?;
                if algorithm.replace(word).is_some() {
                    return Err(twice(tokens));
                }
            }
            "secret" => {
                let word = tokens.expect_word("a secret")?;
                if secret.replace(word).is_some() {
                    return Err(twice(tokens));
                }
            }
            _ => return Err(tokens.unexpected(&token)),
        }
    }
    let Some(secret) = secret else {
        return Err(tokens.error(named.at, "this key has no secret"));
    };
    let text = algorithm.as_ref().map(|word| word.text);
    Key::with_algorithm(&name, text, secret.text).map_err(|problem| {
        let at = match problem {
            KeyError::Secret | KeyError::EmptySecret => secret.at,
            _ => algorithm.map_or(secret.at, |word| word.at),
        };
        wrong(tokens, at, problem)
    })
}

struct Token<'a> {
    text: &'a str,
    at: usize,
    is_quoted: bool,
}

impl Token<'_> {
    /// What a message says of it.
    fn shown(&self) -> &'static str {
        match self.text {
            _ if self.is_quoted => "a text in quotes",
            "{" => "`{`",
            "}" => "`}`",
            ";" => "`;`",
            _ => "another word",
        }
    }
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn error(&self, at: usize, problem: impl Into<String>) -> KeyFileError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        KeyFileError { line, column: before[start..].chars().count() + 1, problem: problem.into() }
    }

    fn unexpected(&self, token: &Token<'_>) -> KeyFileError {
        let problem =
            format!("expected `algorithm`, `secret` or a closing brace, found {}", token.shown());
        self.error(token.at, problem)
    }

    fn expect(&mut self, what: &str) -> Result<Token<'a>, KeyFileError> {
        let token = self.next()?;
        token.ok_or_else(|| self.error(self.text.len(), format!("the file ends before {what}")))
    }

    fn expect_word(&mut self, what: &str) -> Result<Token<'a>, KeyFileError> {
        let token = self.expect(what)?;
        if !token.is_quoted && matches!(token.text, "{" | "}" | ";") {
            return Err(self.error(token.at, format!("expected {what}, found {}", token.shown())));
        }
        Ok(token)
    }

    fn next_but_semicolon(&mut self) -> Result<Option<Token<'a>>, KeyFileError> {
        loop {
            match self.next()? {
                Some(Token { text: ";", is_quoted: false, .. }) => {}
                token => return Ok(token),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, KeyFileError> {
        self.skip_blanks()?;
        let (text, at) = (self.text, self.at);
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (token, end) = match first {
            '"' => {
                let inside = &rest[1..];
                let Some(len) =
                    inside.find(['"', '\n']).filter(|len| inside[*len..].starts_with('"'))
                else {
                    return Err(self.error(at, "this quote is not closed on its line"));
                };
                (&inside[..len], at + len + 2)
            }
            '{' | '}' | ';' => (&rest[..1], at + 1),
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"');
                let len = rest.find(ends).unwrap_or(rest.len());
                (&rest[..len], at + len)
            }
        };
        self.at = end;
        Ok(Some(Token { text: token, at, is_quoted: first == '"' }))
    }

    fn skip_blanks(&mut self) -> Result<(), KeyFileError> {
        loop {
            let rest = self.text[self.at..].trim_start();
            self.at = self.text.len() - rest.len();
            if rest.starts_with("//") || rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(len) = comment.find("*/") else {
                    return Err(self.error(self.at, "this comment is never closed"));
                };
                self.at += len + 4;
            } else {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    #[test]
    fn statements_of_bind_are_read() {
        let text = "// made by tsig-keygen\nkey \"Transfer.\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n\
                    /* two\nlines */ key b { secret c2VjcmV0 } # no algorithm\n\
                    key c{algorithm \"HMAC-SHA256-128\";secret c2VjcmV0;};";
        let keys = parse(text).unwrap();
        let shown: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
        assert_eq!(
            shown,
            [
                "hmac-sha512:transfer.:(secret)",
                "hmac-sha256:b.:(secret)",
                "hmac-sha256:c.:(secret)"
            ]
        );
        assert!(keys[1].takes(Algorithm::Sha1) && !keys[0].takes(Algorithm::Sha1));
        assert_eq!(keys[2].mac_len(Algorithm::Sha256), 16);
        assert_eq!(parse(" \n# nothing\n").unwrap(), []);
    }

    #[test]
    fn mistakes_have_a_place() {
        let shown = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(shown("\n zone x {};"), "2:2: expected `key`, found another word");
        assert_eq!(shown("key {"), "1:5: expected the name of the key, found `{`");
        assert_eq!(
            shown("key a..b {"),
            format!("1:5: {}", KeyError::Name("a label is empty".into()))
        );
        assert_eq!(shown("key a ;"), "1:7: expected a `{`, found `;`");
        assert_eq!(shown("key a {\n};"), "1:5: this key has no secret");
        assert_eq!(shown("key a {\n secret x;\n"), "3:1: the file ends before a `}`");
        assert!(shown("key a {\n secret x;\n};").starts_with("2:9: the secret is not in base 64"));
        assert!(
            shown("key a { algorithm md5; secret c2VjcmV0; };")
                .starts_with("1:19: this is no known")
        );
        assert!(
            shown("key a { algorithm hmac-sha1-8; secret c2VjcmV0; };").contains("80 to 160 bits")
        );
        assert_eq!(shown("key a { \"secret\" x; };").split(':').nth(1), Some("9"));
        assert_eq!(shown("key a { secret x; secret y };"), "1:19: a second `secret`");
        assert_eq!(
            shown("key a { secret \"x\n\"; };"),
            "1:16: this quote is not closed on its line"
        );
        assert_eq!(shown("/* key a"), "1:1: this comment is never closed");
        // A secret in any place.
        for text in [
            "S",
            "key k { S",
            "key k S",
            "S {",
            "key k { secret a S",
            "key k { algorithm S; secret a; }",
            "key k { S }",
            "key k { secret a; S }",
            "key k { secret a; algorithm S }",
            "key S { }",
            "key S { secret a }",
            "key k { secret S }",
            "key k { secret \"S }",
            "key k { secret \"S\n\"",
            "key k { secret S; secret S }",
            "key k { algorithm hmac-md5; secret S }",
            "key \"S\" { S }",
            "key k \"S\" {",
            "key k { algorithm hmac-S; secret a }",
            "\"S\" {",
            "key k { \"S\" }",
        ] {
            let text = text.replace('S', "aaaaaaaaaaaaaaaaaaaaaaaaaaa");
            assert!(!shown(&text).contains("aaa"), "{text}: {}", shown(&text));
        }
        let twice = "key a { secret c2VjcmV0; }; key A { secret c2VjcmV0; };";
        assert_eq!(shown(twice), "1:33: a second key `a.`");
    }
}
