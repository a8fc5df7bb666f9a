//! `edns0`: which option of the query a rule sets, and its value.

use corefile::{Diagnostic, Token};
use data_encoding::HEXLOWER_PERMISSIVE;

use super::words::Words;

/// One `edns0` rule.
#[derive(Debug)]
pub(crate) struct EdnsRule {
    pub(crate) action: Action,
    pub(crate) option: EdnsOption,
    /// Whether the reply is to show the option as the client sent it.
    pub(crate) revert: bool,
}

/// What is done with the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Changed if it is there, else added.
    Set,
    /// Added if it is not there.
    Append,
    /// Changed if it is there.
    Replace,
    /// Taken out.
    Unset,
}

/// Which option.
#[derive(Debug)]
pub(crate) enum EdnsOption {
    /// Any option by its code.
    Local(u16, Data),
    /// The request for the server's name (RFC 5001).
    Nsid,
    /// The client's network (RFC 7871): how many bits of an IPv4 and of an IPv6 address.
    Subnet(u8, u8),
}

/// What a local option holds.
#[derive(Debug)]
pub(crate) enum Data {
    Bytes(Vec<u8>),
    Variable(Variable),
}

/// Something about the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Qname,
    Qtype,
    ClientIp,
    ClientPort,
    Protocol,
    ServerIp,
    ServerPort,
    /// The metadata with this label.
    Metadata(String),
}

/// `(local | nsid | subnet) (set | append | replace | unset) ... [revert]`.
pub(super) fn parse(words: &mut Words<'_>) -> Result<EdnsRule, Diagnostic> {
    let kind = words.required("`local`, `nsid` or `subnet`")?;
    let word = words.required("`set`, `append`, `replace` or `unset`")?;
    let action = match word.text.to_ascii_lowercase().as_str() {
        "set" => Action::Set,
        "append" => Action::Append,
        "replace" => Action::Replace,
        "unset" => Action::Unset,
        _ => {
            let actions = ["set", "append", "replace", "unset"];
            return Err(words.unknown(word, "EDNS0 action", &actions));
        }
    };
    let unset = action == Action::Unset;
    let revert = !unset && words.take_last("revert");
    let option = match kind.text.to_ascii_lowercase().as_str() {
        "local" => {
            let code = words.required("an option code")?;
            let code = number(code, "an option code", u64::from(u16::MAX))? as u16;
            let data = if unset { Data::Bytes(Vec::new()) } else { data(words)? };
            EdnsOption::Local(code, data)
        }
        "nsid" => EdnsOption::Nsid,
        "subnet" if unset => EdnsOption::Subnet(0, 0),
        "subnet" => {
            let v4 = words.required("the IPv4 prefix length")?;
            let v6 = words.required("the IPv6 prefix length")?;
            let v4 = number(v4, "an IPv4 prefix length", 32)? as u8;
            EdnsOption::Subnet(v4, number(v6, "an IPv6 prefix length", 128)? as u8)
        }
        _ => return Err(words.unknown(kind, "EDNS0 option", &["local", "nsid", "subnet"])),
    };
    Ok(EdnsRule { action, option, revert })
}

fn data(words: &mut Words<'_>) -> Result<Data, Diagnostic> {
    let word = words.required("the data of the option")?;
    let text = word.as_str();
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return variable(name).map(Data::Variable).ok_or_else(|| {
            words.unknown(
                word,
                "variable",
                &[
                    "{qname}",
                    "{qtype}",
                    "{client_ip}",
                    "{client_port}",
                    "{protocol}",
                    "{server_ip}",
                    "{server_port}",
                    "{PLUGIN/LABEL}",
                ],
            )
        });
    }
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(Data::Bytes(text.as_bytes().to_vec()));
    };
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map(Data::Bytes).map_err(|_| {
        Diagnostic::error(word.span, format!("`{text}` is not hexadecimal"))
            .label("expected pairs of hexadecimal digits after `0x`")
            .help("write each octet as two digits, as in `0x61626364`, or omit `0x` for text")
    })
}

fn variable(name: &str) -> Option<Variable> {
    Some(match name {
        "qname" => Variable::Qname,
        "qtype" => Variable::Qtype,
        "client_ip" => Variable::ClientIp,
        "client_port" => Variable::ClientPort,
        "protocol" => Variable::Protocol,
        "server_ip" => Variable::ServerIp,
        "server_port" => Variable::ServerPort,
        _ => {
            // A label is a plugin's name and a word of its own.
            let (plugin, label) = name.split_once('/')?;
            let whole = !plugin.is_empty() && !label.is_empty();
            return whole.then(|| Variable::Metadata(name.to_owned()));
        }
    })
}

/// A number as Go reads it: `0x`, `0o` and `0b`, and octal after a bare zero.
fn number(word: &Token, what: &str, most: u64) -> Result<u64, Diagnostic> {
    let text = word.text.to_ascii_lowercase();
    let (digits, base) = match (text.strip_prefix("0x"), text.strip_prefix("0b")) {
        (Some(digits), _) => (digits, 16),
        (_, Some(digits)) => (digits, 2),
        _ => match text.strip_prefix("0o").or_else(|| text.strip_prefix('0')) {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (text.as_str(), 10),
        },
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u64::from_str_radix(digits, base).ok().filter(|&number| plain && number <= most).ok_or_else(
        || {
            Diagnostic::error(word.span, format!("`{}` is not {what}", word.as_str()))
                .label(format!("expected a number from 0 to {most}"))
                .help("write it in decimal, or in hexadecimal with the prefix `0x`")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        let read = |text: &str| {
            let token =
                Token { text: text.to_owned(), span: corefile::Span::default(), quoted: false };
            number(&token, "a code", 65_535).ok()
        };
        assert_eq!(read("65518"), Some(65_518));
        assert_eq!(read("0xFFEE"), Some(0xFFEE));
        assert_eq!(read("010"), Some(8));
        assert_eq!(read("0b11"), Some(3));
        assert_eq!(read("0"), Some(0));
        for bad in ["", "invalid", "-1", "+1", "0x", "65536", "09"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn data_and_variables() {
        assert_eq!(variable("a/b/c"), Some(Variable::Metadata("a/b/c".into())));
        assert_eq!(variable("dummy"), None);
        assert_eq!(variable("/b"), None);
    }
}
