//! `tsig [ZONES...] { secret NAME KEY [ALGORITHM]; secrets FILE; require TYPES; require_opcode OPCODES }`.

use chain::ZoneSet;
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use exchange::Query;
use tsig::{Key, KeyError, Keyring};
use wire::{Name, Opcode, Rtype};

const OPTIONS: &[&str] = &["secret", "secrets", "require", "require_opcode"];

/// The opcodes that `require_opcode` takes.
const OPCODES: [Opcode; 5] =
    [Opcode::QUERY, Opcode::IQUERY, Opcode::STATUS, Opcode::NOTIFY, Opcode::UPDATE];

/// The directive.
#[derive(Debug)]
pub(super) struct Config {
    /// The zones to which `require` applies.
    pub(super) zones: ZoneSet,
    /// The keys of the Corefile.
    pub(super) keys: Keyring,
    /// The places of their names.
    places: Vec<(Name, Span)>,
    /// The key files.
    pub(super) files: Vec<Token>,
    /// The queries that must be signed.
    pub(super) required: Required,
}

/// The queries that must be signed.
#[derive(Debug, Default)]
pub(super) struct Required {
    all: bool,
    types: Vec<Rtype>,
    opcodes: Vec<Opcode>,
}

impl Required {
    /// Whether this query must be signed.
    pub(super) fn includes(&self, query: &Query) -> bool {
        self.all || self.types.contains(&query.qtype()) || self.opcodes.contains(&query.opcode())
    }

    /// Whether any query must be signed.
    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.types.is_empty() && self.opcodes.is_empty()
    }
}

impl Config {
    /// Reads the directive. `block_zones` are its default zones.
    ///
    /// # Errors
    /// All mistakes in the directive.
    pub(super) fn read(directive: &Directive, block_zones: &[Name]) -> Result<Self, Diagnostics> {
        let mut config = Self {
            zones: ZoneSet::default(),
            keys: Keyring::new(),
            places: Vec::new(),
            files: Vec::new(),
            required: Required::default(),
        };
        let mut problems = Diagnostics::default();
        match ZoneSet::from_args(&directive.args, block_zones) {
            Ok(zones) => config.zones = zones,
            Err(problem) => problems.push(problem),
        }
        for option in directive.options() {
            problems.extend(config.option(directive, option).err());
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    /// The place of a key's name in the Corefile.
    pub(super) fn place_of(&self, name: &Name) -> Option<Span> {
        self.places.iter().find(|(known, _)| known == name).map(|(_, span)| *span)
    }

    fn option(&mut self, directive: &Directive, option: &Directive) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "secret" => self.secret(option),
            "secrets" => {
                self.files.push(args.required("a file")?.clone());
                args.end()
            }
            "require" => {
                let first = args.required("query types, `all` or `none`")?;
                match first.as_str() {
                    "all" => {
                        self.required.all = true;
                        args.end()
                    }
                    "none" => args.end(),
                    _ => {
                        for word in &option.args {
                            self.required.types.push(rtype(word)?);
                        }
                        Ok(())
                    }
                }
            }
            "require_opcode" => {
                let first = args.required("opcodes, `all` or `none`")?;
                match first.as_str() {
                    "all" => {
                        self.required.opcodes.extend(OPCODES);
                        args.end()
                    }
                    "none" => args.end(),
                    _ => {
                        for word in &option.args {
                            self.required.opcodes.push(opcode(word)?);
                        }
                        Ok(())
                    }
                }
            }
            _ => Err(directive.unknown_option(option, OPTIONS)),
        }
    }

    /// `secret NAME KEY [ALGORITHM]`.
    fn secret(&mut self, option: &Directive) -> Result<(), Diagnostic> {
        let mut args = option.args();
        let name_word = args.required("the name of the key")?;
        let secret = args.required("the secret in base 64")?;
        let algorithm = args.next();
        args.end()?;
        let name = Name::from_text(name_word.as_str()).map_err(|problem| {
            wrong(name_word, &KeyError::Name(problem.to_string()))
                .label("expected a domain name")
                .help("write the name of the key as `key.example.org`")
        })?;
        let text = algorithm.map(Token::as_str);
        let key = Key::with_algorithm(&name, text, secret.as_str()).map_err(|problem| {
            let word = match problem {
                KeyError::Secret | KeyError::EmptySecret => secret,
                _ => algorithm.unwrap_or(name_word),
            };
            match problem {
                // The word itself is a secret: a message must not show it.
                KeyError::Secret | KeyError::EmptySecret => wrong(word, &problem)
                    .label("expected octets in base 64")
                    .help("`tsig-keygen NAME` or `openssl rand -base64 32` makes a secret"),
                _ => wrong(word, &problem)
                    .label("expected an algorithm")
                    .help("write for example `hmac-sha256`, or leave it out to accept all"),
            }
        })?;
        if self.keys.insert(key).is_err() {
            let text = name_word.as_str();
            let mut twice =
                Diagnostic::error(name_word.span, format!("a second secret for key `{text}`"))
                    .label("this one")
                    .help("remove one of the two, or give it another name");
            if let Some(earlier) = self.place_of(&name) {
                twice = twice.also(earlier, "the first one is here");
            }
            return Err(twice);
        }
        self.places.push((name, name_word.span));
        Ok(())
    }
}

fn wrong(word: &Token, problem: &KeyError) -> Diagnostic {
    Diagnostic::error(word.span, problem.to_string())
}

fn rtype(word: &Token) -> Result<Rtype, Diagnostic> {
    let text = word.as_str();
    Rtype::from_text(text).ok_or_else(|| {
        let known = Rtype::KNOWN.iter().filter_map(|rtype| rtype.mnemonic());
        let near = corefile::nearest(text, known.chain(["all", "none"]));
        let problem = Diagnostic::error(word.span, format!("`{text}` is not a query type"))
            .label("expected a query type");
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("write types such as `AXFR IXFR`, or `all` or `none` alone"),
        }
    })
}

fn opcode(word: &Token) -> Result<Opcode, Diagnostic> {
    let text = word.as_str();
    let known = Opcode::from_text(text).filter(|opcode| OPCODES.contains(opcode));
    known.ok_or_else(|| {
        let names = OPCODES.iter().filter_map(|opcode| opcode.mnemonic());
        let near = corefile::nearest(text, names.chain(["all", "none"]));
        let problem = Diagnostic::error(word.span, format!("`{text}` is not an opcode"))
            .label("expected `QUERY`, `IQUERY`, `STATUS`, `NOTIFY` or `UPDATE`");
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("write opcodes such as `UPDATE NOTIFY`, or `all` or `none` alone"),
        }
    })
}
