//! Labels and names that are addresses.

/// The zone of the reverse names of IPv4 addresses.
pub(super) const IN_ADDR: &[u8] = wire::name!("in-addr.arpa.");
/// That of IPv6 addresses.
pub(super) const IP6: &[u8] = wire::name!("ip6.arpa.");
/// Hexadecimal digits.
pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";

/// The octet in decimal.
pub(super) fn decimal(octet: u8, text: &mut [u8; 3]) -> &[u8] {
    *text = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
    let zeros = if octet >= 100 { 0 } else { 1 + usize::from(octet < 10) };
    &text[zeros..]
}

/// The value of a decimal octet as it is usually written.
fn octet(text: &[u8]) -> Option<u8> {
    let value = text.iter().try_fold(0u16, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10 && value < 100).then(|| value * 10 + u16::from(digit))
    })?;
    let octet = u8::try_from(value).ok()?;
    (decimal(octet, &mut [0; 3]) == text).then_some(octet)
}

/// The octets of an address with dashes for dots.
pub(super) fn dashed(label: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let mut parts = label.split(|&byte| byte == b'-');
    for value in &mut octets {
        *value = octet(parts.next()?)?;
    }
    parts.next().is_none().then_some(octets)
}

/// The octets of an address in the order of the labels, if this is the reverse name of one (RFC 1035
/// section 3.5).
pub(super) fn reverse4(name: &[u8]) -> Option<[u8; 4]> {
    let mut rest = name.strip_suffix(IN_ADDR)?;
    let mut octets = [0; 4];
    for value in &mut octets {
        let (&len, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(usize::from(len))?;
        *value = octet(label)?;
        rest = after;
    }
    rest.is_empty().then_some(octets)
}

/// The octets of an address, two labels each, if this is the reverse name of one (RFC 3596 section 2.5).
pub(super) fn reverse6(name: &[u8]) -> Option<[u8; 16]> {
    let nibbles = name.strip_suffix(IP6)?.as_chunks::<2>().0;
    if nibbles.len() != 32 || name.len() != 64 + IP6.len() {
        return None;
    }
    let mut octets = [0; 16];
    for (at, label) in nibbles.iter().enumerate() {
        let value = HEX.iter().position(|digit| label == &[1, *digit])? as u8;
        octets[at / 2] |= if at % 2 == 0 { value } else { value << 4 };
    }
    Some(octets)
}
