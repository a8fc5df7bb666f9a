//! Words that may be secrets: what is shown to people, written to a log or kept in a golden file has a mark in
//! their place.
//!
//! The parser knows no plugin. It goes by the word `secret`, which every plugin uses for `secret NAME KEY`, and by
//! the look of a word. A word that is no secret and is hidden costs a line in a message; the reverse costs a key.

use super::lex::Word;
use crate::{Sources, nearest};

/// The directive or option that a secret follows.
const KEYWORD: &str = "secret";
/// That of a file with secrets, whose name is none.
const FILES: &str = "secrets";
/// Words behind the keyword: a name and a secret. Fewer, and the next line may go on.
const WORDS: usize = 2;
/// Octets of `hmac-sha256-128`, and one more.
const LONGEST_ALGORITHM: usize = 16;
/// Octets in base 64 from which on a word looks like a key: sixteen octets.
const KEY_LENGTH: usize = 22;

/// Hides the secrets among the words of a file.
pub(super) fn hide(words: &[Word], sources: &mut Sources) {
    // How many words of a secret came so far, and whether the line that they are on has ended.
    let mut behind: Option<usize> = None;
    for word in words {
        if word.first {
            behind = behind.filter(|&count| count < WORDS && !is_plain(&word.raw));
        }
        if is_keyword(word) {
            behind = Some(0);
            continue;
        }
        if word.is("{") || word.is("}") {
            behind = None;
            continue;
        }
        let hidden = match &mut behind {
            Some(count) => {
                *count += 1;
                !if *count == 1 { is_name(&word.raw) } else { is_algorithm(&word.raw) }
            }
            None => looks_like_a_key(&word.raw),
        };
        if hidden {
            sources.hide(word.span, &word.raw);
        }
    }
}

/// Whether the values of variables that are the words of a line have a secret: from which on.
pub(super) fn in_values(values: &[&str]) -> Option<usize> {
    let keyword = values.iter().position(|value| *value == KEYWORD).map(|at| at + 1);
    keyword.or_else(|| values.iter().position(|value| looks_like_a_key(value)))
}

/// Whether a word is the keyword, perhaps with a slip at the start of a line.
fn is_keyword(word: &Word) -> bool {
    let near = word.first && word.raw != FILES && nearest(&word.raw, [KEYWORD]).is_some();
    !word.quoted && (word.raw == KEYWORD || near)
}

/// Whether the word behind the keyword is the name of a key: no secret in base 64 has a dot.
fn is_name(word: &str) -> bool {
    word.contains('.')
}

/// Whether a word is the name of an algorithm: no secret in base 64 has a dash. Messages name algorithms.
fn is_algorithm(word: &str) -> bool {
    word.len() <= LONGEST_ALGORITHM && word.to_ascii_lowercase().starts_with("hmac-")
}

/// Whether a word can be that of an option.
fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'{' | b'}'))
}

/// Whether a word is in base 64 and long enough to be a key: it ends in its padding, or mixes what words and paths
/// do not.
fn looks_like_a_key(word: &str) -> bool {
    let bare = word.trim_end_matches('=');
    let has = |of: fn(&u8) -> bool| bare.bytes().any(|byte| of(&byte));
    let is_mixed =
        has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    bare.len() >= KEY_LENGTH
        && !bare.starts_with('/')
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && (is_mixed || bare.len() < word.len())
}

#[cfg(test)]
mod tests {
    use crate::{Diagnostic, Diagnostics, MemoryLoader, Record, parse, render, render_json};

    /// Everything that is shown of a text with a finding at each of its words, which quotes the word.
    fn shown(text: &str) -> String {
        let mut loader = MemoryLoader::default();
        for (name, value) in [
            ("KEY", "hunter2hunter2"),
            ("LINE", "secret k. hunter2hunter2"),
            ("BOTH", "k. hunter2hunter2"),
            ("LONG", "hunter2hunter2hunter2hunter2="),
        ] {
            loader.env.insert(name.to_owned(), value.to_owned());
        }
        let (corefile, mut found) = parse("Corefile", text, &loader);
        let mut lines: Vec<_> =
            corefile.blocks.iter().flat_map(|block| &block.directives).collect();
        while let Some(line) = lines.pop() {
            lines.extend(line.options());
            for word in std::iter::once(&line.name).chain(&line.args) {
                let quoted = format!("unknown `{}`", word.text);
                let finding = Diagnostic::error(word.span, &quoted).label(&quoted).note(&quoted);
                found.push(finding.help(&quoted).also(line.span, &quoted).logged(&quoted));
            }
        }
        let found = Diagnostics(found.0);
        let mut all = render(&found, &corefile.sources) + &render_json(&found, &corefile.sources);
        for finding in found.iter() {
            let record = Record::new(finding, &corefile.sources);
            all += &format!("{record} {record:?}");
        }
        all + &format!("{:?}", corefile.sources)
    }

    #[test]
    fn no_message_shows_a_secret() {
        for line in [
            "secret k. hunter2hunter2",
            "secret hunter2hunter2",
            "secret hunter2hunter2 k.",
            "secret k. hmac-sha256 hunter2hunter2",
            "secret k. \"hunter2hunter2\nhunter2hunter2\"",
            "secret k. \"hunter2hunter2",
            "secert k. hunter2hunter2 more",
            "secret k. hunter2hunter2 }",
            "tsig { secret k. hunter2hunter2 }",
            "secret k. hunter2hunter2{",
            "secret\nsecret k.\n  hunter2hunter2",
            "hunter2hunter2hunter2hunter2=",
            "file hunter2hunter2hunter2HUNTER2",
            "secret k. {$KEY}",
            "secret {$BOTH}",
            "{$LINE}",
            "file {$LONG}",
            "secret k. x{$KEY}",
        ] {
            for text in [
                format!(". {{\n tsig {{\n  {line}\n }}\n}}\n"),
                format!(". {{\n {line}\n"),
                format!("{line}\n"),
                format!("(part) {{\n {line}\n}}\n. {{\n import part\n import part\n}}\n"),
            ] {
                let shown = shown(&text);
                assert!(!shown.to_lowercase().contains("hunter2"), "{text}{shown}");
            }
        }
    }

    #[test]
    fn places_and_other_words_stay() {
        let all = shown(
            ". {\n tsig {\n  secret key.example. hunter2hunter2 hmac-sha256\n }\n file zone\n}\n",
        );
        for part in [
            "secret key.example. ************** hmac-sha256\n",
            "unknown `hmac-sha256`",
            "unknown `key.example.`",
            "unknown `(hidden)`",
            "Corefile:3:23: unknown `(hidden)`",
            " file zone\n",
            "unknown `zone`",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
