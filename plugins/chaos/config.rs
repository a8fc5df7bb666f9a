//! The arguments of `chaos`.

use corefile::{Diagnostics, Directive};

/// The information about the server that is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) version: String,
    pub(super) authors: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: concat!("catena-", env!("CARGO_PKG_VERSION")).to_owned(),
            authors: vec!["the Catena authors".to_owned()],
        }
    }
}

/// The configuration of a block; the last directive counts.
pub(super) fn parse(uses: &[&Directive]) -> Result<Config, Diagnostics> {
    let mut config = Config::default();
    let mut errors = Diagnostics::default();
    for directive in uses {
        config = Config::default();
        for option in directive.options() {
            errors.push(directive.unknown_option(option, &[]));
        }
        let Some((version, authors)) = directive.args.split_first() else { continue };
        config.version = cut(version.as_str()).to_owned();
        if !authors.is_empty() {
            config.authors = authors.iter().map(|token| cut(token.as_str()).to_owned()).collect();
            config.authors.sort();
            config.authors.dedup();
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(config) }
}

/// The octets of a text that one character string holds (RFC 1035 section 3.3).
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The numbers below `len`, each once, in one of their orders: a start and a step that is prime to
/// `len`.
pub(super) fn order(len: usize, random: u64) -> impl Iterator<Item = usize> {
    let bound = len.max(1);
    let start = (random >> 32) as usize % bound;
    let mut step = random as u32 as usize % bound;
    while gcd(step, bound) != 1 {
        step = (step + 1) % bound.max(2);
    }
    (0..len).map(move |at| (start + at * step) % bound)
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for len in 0..30 {
            for seed in 0..50u64 {
                let mut all: Vec<usize> = order(len, wire::hash::mix(seed, 1)).collect();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..len), "{len}");
            }
        }
        let firsts: std::collections::HashSet<usize> =
            (0..100).filter_map(|seed| order(4, wire::hash::mix(seed, 1)).next()).collect();
        assert_eq!(firsts.len(), 4);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("abc"), "abc");
        assert_eq!(cut(&"é".repeat(200)).len(), 254);
    }
}
