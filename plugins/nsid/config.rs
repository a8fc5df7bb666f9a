//! The arguments of `nsid`.

use corefile::{Diagnostic, Diagnostics, Directive};

/// The bound on the data: more would displace the answer in a small datagram.
const MAX_DATA: usize = 255;

/// The data of the option: the words of the last directive that has some, else the host's name.
pub(super) fn parse(uses: &[&Directive]) -> Result<Box<[u8]>, Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut data = net::host::own_name();
    for directive in uses {
        errors.extend(directive.no_body().err());
        let words: Vec<&str> = directive.args.iter().map(|token| token.as_str()).collect();
        if !words.is_empty() {
            data = words.join(" ");
        }
        if data.len() > MAX_DATA {
            errors.push(
                Diagnostic::error(directive.span, format!("more than {MAX_DATA} octets of NSID"))
                    .label("this is too long")
                    .help("use a short name that identifies the server"),
            );
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(data.into_bytes().into()) }
}
