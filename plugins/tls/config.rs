//! The `tls` directive as plain values. It opens no files.

use corefile::{Diagnostic, Diagnostics, Directive, Token};
use net::tls::ClientAuth;

/// The options, as `catena help tls` lists them.
const OPTIONS: &[&str] = &["client_auth", "certificate", "session_ticket_keys", "keylog"];
/// Options of CoreDNS that this build lacks: certificates of an ACME server.
const ACME: &[&str] = &["acme", "email", "ca", "storage", "ca_root", "resolver"];
/// The modes of `client_auth`.
const MODES: [(&str, ClientAuth); 5] = [
    ("nocert", ClientAuth::None),
    ("request", ClientAuth::Request),
    ("require", ClientAuth::Require),
    ("verify_if_given", ClientAuth::VerifyIfGiven),
    ("require_and_verify", ClientAuth::RequireAndVerify),
];
/// Certificates of one directive.
const MOST: usize = 64;

/// One `tls` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// Certificates with their keys, at least one.
    pub(super) pairs: Vec<(Token, Token)>,
    /// The authorities of client certificates.
    pub(super) authorities: Option<Token>,
    pub(super) client_auth: ClientAuth,
    pub(super) ticket_keys: Option<Token>,
    pub(super) key_log: Option<Token>,
}

impl Config {
    /// Reads the directive.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn read(directive: &Directive) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut args = directive.args();
        if args.peek().is_none()
            && let Some(acme) = directive.options().iter().find(|one| is_acme(one))
        {
            return Err(no_acme(acme).into());
        }
        let certificate = args.required("a certificate")?;
        let key = args.required("the key of the certificate")?;
        let authorities = args.next().cloned();
        problems.extend(args.end().err());
        let mut config = Self {
            pairs: vec![(certificate.clone(), key.clone())],
            authorities,
            client_auth: ClientAuth::None,
            ticket_keys: None,
            key_log: None,
        };
        let mut seen: Vec<&str> = Vec::new();
        for option in directive.options() {
            let name = option.name.as_str();
            if seen.contains(&name) && name != "certificate" {
                problems.push(
                    Diagnostic::error(option.name.span, format!("`{name}` is set twice"))
                        .label("a second time here")
                        .help("remove one of the two"),
                );
            }
            seen.push(name);
            problems.extend(config.option(directive, option).err());
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    fn option(&mut self, directive: &Directive, option: &Directive) -> Result<(), Diagnostic> {
        let mut args = option.args();
        match option.name.as_str() {
            "client_auth" => self.client_auth = client_auth(args.required("a mode")?)?,
            "certificate" => {
                let certificate = args.required("a certificate")?;
                let key = args.required("the key of the certificate")?;
                if self.pairs.len() >= MOST {
                    let message = format!("there are more than {MOST} certificates");
                    return Err(Diagnostic::error(option.span, message)
                        .label("one too many")
                        .help("use certificates with several names"));
                }
                self.pairs.push((certificate.clone(), key.clone()));
            }
            "session_ticket_keys" => self.ticket_keys = Some(args.required("a file")?.clone()),
            "keylog" => self.key_log = Some(args.required("a file")?.clone()),
            _ if is_acme(option) => return Err(no_acme(option)),
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()?;
        option.no_body()
    }

    /// All files that are read again when they change.
    pub(super) fn files(&self) -> impl Iterator<Item = &Token> {
        let pairs = self.pairs.iter().flat_map(|(certificate, key)| [certificate, key]);
        pairs.chain(&self.authorities).chain(&self.ticket_keys)
    }
}

fn client_auth(token: &Token) -> Result<ClientAuth, Diagnostic> {
    let known = MODES.iter().find(|(name, _)| *name == token.as_str());
    known.map(|(_, mode)| *mode).ok_or_else(|| {
        let names = MODES.map(|(name, _)| name);
        let text = token.as_str();
        let problem =
            Diagnostic::error(token.span, format!("unknown authentication type '{text}'"));
        match corefile::nearest(text, names) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("write one of: {}", names.join(", "))),
        }
    })
}

fn is_acme(option: &Directive) -> bool {
    ACME.contains(&option.name.as_str())
}

fn no_acme(option: &Directive) -> Diagnostic {
    let name = option.name.as_str();
    Diagnostic::error(
        option.name.span,
        format!("option `{name}` of plugin `tls` is not in this build"),
    )
    .label("CoreDNS requests certificates from an ACME server with it, this build does not")
    .help(
        "let an ACME client such as certbot or lego write the files, and name them: `tls CERT KEY`",
    )
}
