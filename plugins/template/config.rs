//! The arguments of `template`: one stanza per directive.

use chain::{Fallthrough, ZoneSet};
use corefile::{Diagnostic, Diagnostics, Directive, Span, Token};
use expr::{Expr, Type};
use wire::{Class, Name, Rcode, Rtype, Section};

use super::body::Body;
use super::condition::Conditions;
use super::pattern::{self, Pattern};

/// One directive.
pub(super) struct Stanza {
    pub(super) class: Class,
    pub(super) qtype: Rtype,
    pub(super) zones: Vec<Name>,
    /// The expressions, at least one. The first match counts.
    pub(super) patterns: Vec<Pattern>,
    /// The records, in the order of the sections.
    pub(super) conditions: Conditions,
    pub(super) bodies: Vec<Body>,
    pub(super) rcode: Rcode,
    /// The data of the extended error option: the code and the text.
    pub(super) extended: Option<Vec<u8>>,
    pub(super) fallthrough: Fallthrough,
    /// Whether all names fall through.
    pub(super) falls_through_always: bool,
}

impl Stanza {
    /// Whether all queries in its zones end here.
    pub(super) fn takes_everything(&self) -> bool {
        self.class == Class::ANY
            && self.qtype == Rtype::ANY
            && self.conditions.is_empty()
            && self.patterns.iter().any(Pattern::is_all)
    }
}

const OPTIONS: &[&str] =
    &["match", "answer", "additional", "authority", "rcode", "ederror", "fallthrough", "upstream"];

/// Parses the stanzas of a block, whose zones are `default`. Returns them and their warnings.
pub(super) fn parse(
    uses: &[&Directive],
    default: &[Name],
) -> Result<(Vec<Stanza>, Diagnostics), Diagnostics> {
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let mut stanzas = Vec::new();
    for directive in uses {
        match head(directive, default) {
            Ok(mut stanza) => {
                for option in directive.options() {
                    read(directive, option, &mut stanza, &mut errors, &mut warnings);
                }
                stanza.bodies.sort_by_key(|body| body.section as usize);
                if stanza.patterns.is_empty() {
                    stanza.patterns.push(Pattern::all());
                }
                stanzas.push(stanza);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok((stanzas, warnings)) }
}

/// `template CLASS TYPE [ZONES...]`.
fn head(directive: &Directive, default: &[Name]) -> Result<Stanza, Diagnostic> {
    let mut args = directive.args();
    let class = args.required("a class")?;
    let class = Class::from_text(class.as_str()).ok_or_else(|| {
        Diagnostic::error(class.span, format!("invalid query class `{}`", class.as_str()))
            .label("expected `IN`, `CH`, `HS` or `ANY`")
            .help("write the class before the type, as in `template IN A`")
    })?;
    let qtype = args.required("a type")?;
    let qtype = Rtype::from_text(qtype.as_str()).ok_or_else(|| {
        Diagnostic::error(qtype.span, format!("invalid query type `{}`", qtype.as_str()))
            .label("expected a type such as `A`, `PTR` or `ANY`")
            .help("`ANY` matches all types; zones follow the type")
    })?;
    let zones = ZoneSet::from_args(args.remaining(), default)?;
    Ok(Stanza {
        class,
        qtype,
        zones: zones.iter().cloned().collect(),
        patterns: Vec::new(),
        conditions: Conditions::new(),
        bodies: Vec::new(),
        rcode: Rcode::NOERROR,
        extended: None,
        fallthrough: Fallthrough::NEVER,
        falls_through_always: false,
    })
}

fn read(
    directive: &Directive,
    option: &Directive,
    stanza: &mut Stanza,
    errors: &mut Diagnostics,
    warnings: &mut Diagnostics,
) {
    errors.extend(option.no_body().err());
    let mut args = option.args();
    let section = match option.name.as_str() {
        "answer" => Some(Section::Answer),
        "authority" => Some(Section::Authority),
        "additional" => Some(Section::Additional),
        _ => None,
    };
    let result = match (option.name.as_str(), section) {
        (_, Some(section)) => args.required("a record").map(|first| {
            for token in std::iter::once(first).chain(args.remaining()) {
                match body(token, section, warnings) {
                    Ok(body) => stanza.bodies.push(body),
                    Err(error) => errors.push(error),
                }
            }
        }),
        ("match", _) => args.required("a regular expression").map(|first| {
            for token in std::iter::once(first).chain(args.remaining()) {
                match regex(token) {
                    Ok(pattern) => stanza.patterns.push(pattern),
                    Err(error) => errors.push(error),
                }
            }
        }),
        ("rcode", _) => rcode(option).map(|rcode| stanza.rcode = rcode),
        ("ederror", _) => extended(option).map(|extended| stanza.extended = Some(extended)),
        ("fallthrough", _) => Fallthrough::from_args(args.remaining()).map(|found| {
            stanza.fallthrough = found;
            stanza.falls_through_always =
                option.args.is_empty() || option.args.iter().any(|zone| zone.as_str() == ".");
        }),
        ("upstream", _) => {
            warnings.push(
                Diagnostic::warning(option.name.span, "`upstream` has no effect")
                    .label("ignored")
                    .help("remove it: the server itself resolves CNAME targets"),
            );
            Ok(())
        }
        ("var", _) => variable(option, &mut stanza.conditions),
        ("expr", _) => condition(option, &stanza.conditions, warnings)
            .map(|condition| stanza.conditions.conditions.push(condition)),
        _ => Err(directive.unknown_option(option, OPTIONS)),
    };
    errors.extend(result.err());
}

fn rcode(option: &Directive) -> Result<Rcode, Diagnostic> {
    let mut args = option.args();
    let word = args.required("a response code")?;
    args.end()?;
    let found = match word.as_str() {
        // BADSIG is TSIG's name of code 16. NOTIMPL is a misspelling that CoreDNS accepts.
        "BADSIG" => Some(Rcode::BADVERS),
        "NOTIMPL" => Some(Rcode::NOTIMP),
        text => Rcode::from_text(text).filter(|rcode| rcode.mnemonic().is_some()),
    };
    found.ok_or_else(|| {
        let error = Diagnostic::error(word.span, format!("unknown rcode `{}`", word.as_str()))
            .label("expected a response code such as `NXDOMAIN`");
        let known = Rcode::KNOWN.iter().filter_map(|rcode| rcode.mnemonic());
        match corefile::nearest(&word.as_str().to_uppercase(), known) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help("the default is `NOERROR`"),
        }
    })
}

/// `ederror CODE [TEXT]`.
fn extended(option: &Directive) -> Result<Vec<u8>, Diagnostic> {
    let mut args = option.args();
    let code = args.value::<u16>("an extended error code")?;
    let text = args.next().map(|text| text.text.clone()).unwrap_or_default();
    match args.next() {
        None => Ok([&code.to_be_bytes(), text.as_bytes()].concat()),
        Some(surplus) => Err(Diagnostic::error(surplus.span, "the text must be one argument")
            .label("this is a second argument")
            .help(format!("put the text in quotes: `ederror {code} \"…\"`"))),
    }
}

/// `var NAME EXPRESSION`.
fn variable(option: &Directive, conditions: &mut Conditions) -> Result<(), Diagnostic> {
    let mut args = option.args();
    let name = args.required("a name")?;
    let text = name.as_str();
    let is_name = !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name || text.is_empty() {
        return Err(Diagnostic::error(name.span, format!("invalid variable name `{text}`"))
            .label("expected letters, digits and `_`")
            .help("write the name, then the expression: `var ip group('ip')`"));
    }
    if conditions.is_reserved(text) {
        return Err(Diagnostic::error(name.span, format!("variable name `{text}` is reserved"))
            .label("this name already has a meaning in expressions")
            .help("choose another name"));
    }
    args.required("an expression")?;
    let expr = expr::from_args(&option.args[1..], &conditions.scope)?;
    conditions.declare(text, expr);
    Ok(())
}

/// `expr EXPRESSION`.
fn condition(
    option: &Directive,
    conditions: &Conditions,
    warnings: &mut Diagnostics,
) -> Result<Expr, Diagnostic> {
    option.args().required("an expression")?;
    let expr = expr::from_args(&option.args, &conditions.scope)?;
    if !matches!(expr.kind(), Type::Bool | Type::Any) {
        let span = option.args.last().map_or(option.span, |last| option.args[0].span.to(last.span));
        let kind = expr.kind();
        warnings.push(
            Diagnostic::warning(span, format!("a condition must be bool, but this is {kind}"))
                .label("this is never true")
                .help("compare it with a value: `type() == 'A'`"),
        );
    }
    Ok(expr)
}

fn regex(token: &Token) -> Result<Pattern, Diagnostic> {
    let text = token.as_str();
    if text.len() > pattern::MAX_LEN {
        let message = format!("regex pattern too long: {} > {}", text.len(), pattern::MAX_LEN);
        return Err(Diagnostic::error(token.span, message)
            .label("this pattern is too long")
            .help("split it into several `match` options: the first match is used"));
    }
    Pattern::new(text).map_err(|error| {
        Diagnostic::error(token.span, format!("could not parse regex: `{text}`"))
            .label("this pattern cannot be compiled")
            .help("the syntax is RE2's: no look-around, no backreferences")
            .note(error)
    })
}

fn body(token: &Token, section: Section, warnings: &mut Diagnostics) -> Result<Body, Diagnostic> {
    let body = Body::new(token.as_str(), section).map_err(|error| {
        let shown =
            Diagnostic::error(place(token, error.at), error.message).label("error in the template");
        match error.hint {
            Some(hint) => shown.help(hint),
            None => shown.help("the syntax is that of Go's text/template"),
        }
    })?;
    if let Some(why) = body.broken() {
        warnings.push(
            Diagnostic::warning(token.span, format!("this is not a record: {why}"))
                .label("matching queries get SERVFAIL")
                .help("write it as in a zone file: `name 60 IN A 192.0.2.1`"),
        );
    }
    if let Some(what) = body.adapted() {
        warnings.push(
            Diagnostic::warning(token.span, what)
                .label("the record is served all the same")
                .help("write several strings: `\\\"…\\\" \\\"…\\\"`"),
        );
    }
    for (name, at) in body.unknown_fields() {
        let warning = Diagnostic::warning(place(token, at), format!("unknown field `.{name}`"))
            .label("matching queries get SERVFAIL");
        warnings.push(match corefile::nearest(name, super::data::FIELDS.iter().copied()) {
            Some(near) => warning.help(format!("did you mean `.{near}`?")),
            None => warning.help(format!("fields: .{}", super::data::FIELDS.join(", ."))),
        });
    }
    Ok(body)
}

/// The span of byte `at` of a token's text, or of the whole token if escapes or variables make the text
/// differ from what was written.
fn place(token: &Token, at: usize) -> Span {
    let span = token.span;
    let quotes = u32::from(token.quoted);
    if (span.end - span.start) as usize != token.text.len() + 2 * quotes as usize {
        return span;
    }
    let rest = token.text.get(at..).unwrap_or_default();
    let len = rest.chars().next().map_or(0, char::len_utf8) as u32;
    let start = span.start + quotes + at as u32;
    Span { start, end: start + len, ..span }
}
