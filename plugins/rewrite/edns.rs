//! `edns0` rules: change the options of the query, and revert them in the reply.

use std::net::IpAddr;

use chain::{Query, Reply};
use wire::Family;
use wire::edns::option;

use super::config::{Action, Data, EdnsOption, EdnsRule, Variable};

/// Changes the query. Returns whether the rule applied. As in CoreDNS, every rule adds an OPT record to
/// a query without one.
///
/// # Errors
/// The query has no room for the option.
pub(super) fn apply(rule: &EdnsRule, query: &mut Query) -> Result<bool, wire::Malformed> {
    let Some(data) = data(&rule.option, query) else { return Ok(false) };
    let code = code(&rule.option);
    let there = query.options().any(|known| known.code == code);
    // A second option of the same code is added only where CoreDNS adds one.
    let twice = matches!(rule.option, EdnsOption::Nsid | EdnsOption::Local(_, Data::Bytes(_)));
    let applies = match rule.action {
        Action::Set | Action::Unset => true,
        Action::Replace => there,
        Action::Append => !there || twice,
    };
    let mut replaced = false;
    query.edit_options(|known, options| {
        let mut push = |code: u16, data: &[u8]| {
            options.extend_from_slice(&code.to_be_bytes());
            options.extend_from_slice(&(data.len() as u16).to_be_bytes());
            options.extend_from_slice(data);
        };
        for known in known {
            match rule.action {
                Action::Unset if known.code == code => {}
                Action::Set | Action::Replace if known.code == code && !replaced => {
                    replaced = true;
                    push(code, &data);
                }
                _ => push(known.code, known.data),
            }
        }
        let adds = match rule.action {
            Action::Set => !replaced,
            Action::Append => applies,
            Action::Replace | Action::Unset => false,
        };
        if adds {
            push(code, &data);
        }
    })?;
    Ok(applies)
}

/// Applies `revert`: an option in the reply becomes that of the client's `query`, or is removed.
pub(super) fn revert(rule: &EdnsRule, query: &Query, reply: &mut Reply) {
    let code = code(&rule.option);
    if !rule.revert || !reply.opt.options().any(|known| known.code == code) {
        return;
    }
    reply.opt.retain(|known| known.code != code);
    if let Some(sent) = query.options().find(|known| known.code == code) {
        reply.opt.push(code, sent.data);
    }
}

fn code(option: &EdnsOption) -> u16 {
    match option {
        EdnsOption::Local(code, _) => *code,
        EdnsOption::Nsid => option::NSID,
        EdnsOption::Subnet(..) => option::CLIENT_SUBNET,
    }
}

/// The new value of the option; `None` if it is unknown.
fn data(option: &EdnsOption, query: &Query) -> Option<Vec<u8>> {
    Some(match option {
        EdnsOption::Local(_, Data::Bytes(bytes)) => bytes.clone(),
        EdnsOption::Local(_, Data::Variable(variable)) => value(variable, query)?,
        // RFC 5001 section 2.1: the NSID option of a query is empty.
        EdnsOption::Nsid => Vec::new(),
        EdnsOption::Subnet(v4, v6) => subnet(query.client.peer.ip(), *v4, *v6),
    })
}

fn value(variable: &Variable, query: &Query) -> Option<Vec<u8>> {
    Some(match variable {
        Variable::Qname => wire::name::Text(query.original_name()).to_string().into_bytes(),
        Variable::Qtype => query.qtype().0.to_be_bytes().to_vec(),
        Variable::ClientIp => address(query.client.peer.ip()),
        Variable::ClientPort => query.client.peer.port().to_be_bytes().to_vec(),
        Variable::Protocol => query.client.transport.proto().as_bytes().to_vec(),
        Variable::ServerIp => match (query.client.family(), query.client.local.ip().to_canonical())
        {
            // The server's address in the client's address family.
            (Family::V6, IpAddr::V4(local)) => local.to_ipv6_mapped().octets().to_vec(),
            (_, local) => address(local),
        },
        Variable::ServerPort => query.client.local.port().to_be_bytes().to_vec(),
        Variable::Metadata(label) => {
            let value = query.metadata(label)?;
            (!value.is_empty()).then(|| value.as_bytes().to_vec())?
        }
    })
}

fn address(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The client's network (RFC 7871 section 6), in as many octets as the prefix length needs.
fn subnet(client: IpAddr, v4: u8, v6: u8) -> Vec<u8> {
    let (family, prefix) = match client.to_canonical() {
        IpAddr::V4(_) => (1u16, v4),
        IpAddr::V6(_) => (2, v6),
    };
    let mut octets = address(client);
    octets.truncate(usize::from(prefix).div_ceil(8));
    if let (Some(last), used @ 1..) = (octets.last_mut(), prefix % 8) {
        *last &= u8::MAX << (8 - used);
    }
    let mut data = family.to_be_bytes().to_vec();
    data.extend_from_slice(&[prefix, 0]);
    data.extend_from_slice(&octets);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_no_more_octets_than_bits() {
        let v4 = |bits| subnet([192, 0, 2, 255].into(), bits, 0);
        assert_eq!(v4(24), [0, 1, 24, 0, 192, 0, 2]);
        assert_eq!(v4(25), [0, 1, 25, 0, 192, 0, 2, 128]);
        assert_eq!(v4(0), [0, 1, 0, 0]);
        let v6 = subnet("2001:db8:ffff::1".parse().unwrap(), 24, 33);
        assert_eq!(v6, [0, 2, 33, 0, 0x20, 1, 0xd, 0xb8, 0x80]);
        let mapped = subnet("::ffff:192.0.2.1".parse().unwrap(), 8, 128);
        assert_eq!(mapped, [0, 1, 8, 0, 192]);
    }
}
