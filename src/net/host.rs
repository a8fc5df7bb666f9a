//! Names of hosts: this one's, and those that a configuration has.

/// The name of this host, as `uname -n` prints it.
pub fn own_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Whether `name` can be the name of a host. RFC 1123 section 2.1: labels of letters, digits and
/// hyphens, of which none is at an end; RFC 1035 section 2.3.4: at most 63 octets each, and 253 in
/// all. An underscore is let through, as resolvers do: names of containers have it. One final dot may
/// be there.
///
/// # Errors
/// Why it cannot.
pub fn check(name: &str) -> Result<(), String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.is_empty() {
        return Err("a host name cannot be empty".to_owned());
    }
    if let Some(letter) = bare.chars().find(|&letter| !is_letter(letter)) {
        return Err(match letter {
            ':' => "a host name has no colon: one may separate the port, and an IPv6 address \
                    with a port is written in brackets"
                .to_owned(),
            blank if blank.is_whitespace() => "a host name has no blanks".to_owned(),
            letter if !letter.is_ascii() => {
                format!("`{letter}` is not ASCII: write the name in its `xn--` form")
            }
            letter => format!("a host name has no `{}`", letter.escape_default()),
        });
    }
    if bare.len() > 253 {
        return Err(format!("a host name has at most 253 characters, not {}", bare.len()));
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return Err(
                "a label is empty: two dots follow each other, or it begins with one".into()
            );
        }
        if label.len() > 63 {
            return Err(format!("a label has at most 63 characters, not {}", label.len()));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!("`{label}` begins or ends with a hyphen"));
        }
    }
    Ok(())
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// Whether `text` can be a host with a port, `HOST:PORT`: the host is a name, an IPv4 address or an
/// IPv6 address in brackets.
///
/// # Errors
/// Why it cannot.
pub fn check_with_port(text: &str) -> Result<(), String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("expected a host and a port".to_owned());
    };
    // 0 lets the system choose where something listens.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Err(format!("`{port}` is not a port: expected a number up to 65535"));
    }
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = inside.split('%').next().unwrap_or(inside);
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return if is_address { Ok(()) } else { Err(format!("`{inside}` is not an IPv6 address")) };
    }
    check(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts() {
        for good in
            ["a", "dns.example.org", "dns.example.org.", "a_b-c.1x", "xn--bcher-kva.example"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            (".", "empty"),
            ("192.0.2.1 192.0.2.2", "no blanks"),
            ("a\tb", "no blanks"),
            ("a:b:c", "no colon"),
            ("a..b", "a label is empty"),
            (".a", "a label is empty"),
            ("a..", "a label is empty"),
            ("-a.b", "hyphen"),
            ("a-.b", "hyphen"),
            ("a\\.b", "no `\\\\`"),
            ("b\u{fc}cher.example", "xn--"),
            (&"a".repeat(64), "at most 63"),
            (&"a.".repeat(128), "at most 253"),
        ] {
            let told = check(bad).expect_err(bad);
            assert!(told.contains(why), "{bad}: {told}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        for good in ["a:1", "192.0.2.1:53", "[::1]:0", "[fe80::1%eth0]:53"] {
            assert_eq!(check_with_port(good), Ok(()), "{good}");
        }
        for bad in ["a", "a:", ":1", "a:x", "a:+1", "a:65536", "a:1:2", "::1:53", "[a]:1", "a b:1"]
        {
            assert!(check_with_port(bad).is_err(), "{bad}");
        }
    }
}
