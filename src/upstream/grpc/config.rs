//! The upstreams over gRPC and their options, as plain values. Nothing here reads files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use corefile::{Diagnostic, Diagnostics, Directive, Token};

use crate::config::{DNS_PORT, PluginOptions, Policy, Target, Tls, server_name, target, tls};

/// RFC 9113 over TLS; the port of `grpc://` in keys of server blocks too.
const GRPC_PORT: u16 = 443;

const OPTIONS: &[&str] = &["tls", "tls_servername", "policy"];

/// The upstreams and their options.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// The upstreams, as written.
    pub(super) to: Vec<(Token, GrpcSpec)>,
    /// In which order.
    pub(super) policy: Policy,
    /// The files of `tls`; `None`: the option is missing, and there is no TLS unless a
    /// name asks for it.
    pub(super) tls: Option<Tls>,
    /// What the certificates of all upstreams must be for.
    pub(super) server_name: Option<Token>,
}

/// One **TO**.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GrpcSpec {
    /// The path of a unix socket.
    Unix(PathBuf),
    /// An address; the text behind `%` of a link-local one.
    Address(SocketAddr, Option<String>),
    /// A file like resolv.conf.
    File(String),
}

impl GrpcConfig {
    /// Reads the upstreams `to`, if there was nothing wrong before them, and the options of
    /// `directive`; those that only the plugin has go to `own`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read<O: PluginOptions>(
        directive: &Directive,
        to: Result<&[Token], Diagnostic>,
        own: &mut O,
    ) -> Result<Self, Diagnostics> {
        let mut config =
            Self { to: Vec::new(), policy: Policy::Random, tls: None, server_name: None };
        let mut problems = Diagnostics::default();
        match to {
            Ok([]) => problems.push(no_upstream(directive)),
            Ok(words) => {
                for word in words {
                    match read_spec(word) {
                        Ok(to) => config.to.push((word.clone(), to)),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
        for option in directive.options() {
            let read = option.no_body().and_then(|()| {
                if O::NAMES.contains(&option.name.as_str()) {
                    own.read(option)
                } else {
                    config.option::<O>(directive, option)
                }
            });
            if let Err(problem) = read {
                problems.push(problem);
            }
        }
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    fn option<O: PluginOptions>(
        &mut self,
        directive: &Directive,
        option: &Directive,
    ) -> Result<(), Diagnostic> {
        let mut args = option.args();
        match option.name.as_str() {
            "tls" => self.tls = Some(tls(&mut args)),
            "tls_servername" => {
                self.server_name = Some(server_name(&mut args)?);
            }
            "policy" => self.policy = policy(args.required("POLICY")?)?,
            _ => return Err(directive.unknown_option(option, &[O::NAMES, OPTIONS].concat())),
        }
        args.end()
    }
}

fn no_upstream(directive: &Directive) -> Diagnostic {
    let name = directive.name.as_str();
    Diagnostic::error(directive.span, format!("`{name}` needs at least one upstream"))
        .label("no TO given")
        .help("add addresses, `unix://` and a path, or a file such as `/etc/resolv.conf`")
}

/// Reads one **TO**.
fn read_spec(token: &Token) -> Result<GrpcSpec, Diagnostic> {
    let (scheme, rest) = token.as_str().split_once("://").unwrap_or(("", token.as_str()));
    let port = match scheme {
        "unix" => {
            if !Path::new(rest).is_absolute() {
                return Err(Diagnostic::error(
                    token.span,
                    format!("`{}` is not the path of a unix socket", token.as_str()),
                )
                .label("expected an absolute path after `unix://`")
                .help("write for example `unix:///run/dns.sock`"));
            }
            return Ok(GrpcSpec::Unix(PathBuf::from(rest)));
        }
        "" | "dns" => DNS_PORT,
        "grpc" => GRPC_PORT,
        other => {
            return Err(Diagnostic::error(
                token.span,
                format!("`{other}` is not supported as a destination protocol in grpc"),
            )
            .label("unknown protocol")
            .help("write the address alone; for TLS add the option `tls`"));
        }
    };
    Ok(match target(token, rest, port)? {
        Target::Address(address, zone) => GrpcSpec::Address(address, zone),
        Target::Word { text, .. } => GrpcSpec::File(text),
    })
}

fn policy(token: &Token) -> Result<Policy, Diagnostic> {
    const NAMES: [&str; 3] = ["random", "round_robin", "sequential"];
    match token.as_str() {
        "random" => Ok(Policy::Random),
        "round_robin" => Ok(Policy::RoundRobin),
        "sequential" => Ok(Policy::Sequential),
        other => Err(Diagnostic::error(token.span, format!("unknown policy `{other}`"))
            .label("expected a policy")
            .help(corefile::nearest(other, NAMES).map_or_else(
                || "the policies are `random`, `round_robin` and `sequential`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::token;

    fn shown(text: &str) -> Option<String> {
        Some(match read_spec(&token(text)).ok()? {
            GrpcSpec::Unix(path) => format!("unix://{}", path.display()),
            GrpcSpec::Address(address, _) => address.to_string(),
            GrpcSpec::File(text) => format!("file {text}"),
        })
    }

    #[test]
    fn upstreams_are_addresses_sockets_and_files() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:9005", "127.0.0.1:9005"),
            ("[2003::1]:53", "[2003::1]:53"),
            ("2003::1", "[2003::1]:53"),
            ("dns://127.0.0.1", "127.0.0.1:53"),
            ("grpc://127.0.0.1", "127.0.0.1:443"),
            ("grpc://127.0.0.1:9005", "127.0.0.1:9005"),
            ("unix:///run/dns.sock", "unix:///run/dns.sock"),
            ("/etc/resolv.conf", "file /etc/resolv.conf"),
            ("dns.example.org", "file dns.example.org"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "127.0.0.1:x", "tls://127.0.0.1", "unix://", "unix://run.sock", "grpc://"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
