//! Addresses as labels: `10-0-0-1` and `2001-db8--1`, the hostnames of endpoints that have none, and the labels
//! of reverse names.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The label of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLabel {
    len: u8,
    bytes: [u8; 48],
}

impl AddressLabel {
    /// The label of `address`: its text with dashes for dots and colons. A label does not end with a dash, so a
    /// zero follows one.
    pub fn new(address: IpAddr) -> Self {
        let mut label = Self { len: 0, bytes: [0; 48] };
        // The longest address is shorter than the label.
        let _ = write!(label, "{address}");
        for byte in &mut label.bytes[..usize::from(label.len)] {
            if matches!(byte, b'.' | b':') {
                *byte = b'-';
            }
        }
        if address.is_ipv6() && label.as_bytes().ends_with(b"-") {
            let _ = label.write_str("0");
        }
        label
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Write for AddressLabel {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let at = usize::from(self.len);
        let room = self.bytes.get_mut(at..at + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len() as u8;
        Ok(())
    }
}

/// The address that a label with dashes spells.
pub fn address_of(label: &[u8]) -> Option<IpAddr> {
    let mut plain = [0; 45];
    let plain = plain.get_mut(..label.len())?;
    plain.copy_from_slice(label);
    let dashes = label.iter().filter(|&&byte| byte == b'-').count();
    let is_v4 = dashes == 3 && !label.windows(2).any(|pair| pair == b"--");
    for byte in plain.iter_mut().filter(|byte| **byte == b'-') {
        *byte = if is_v4 { b'.' } else { b':' };
    }
    let text = std::str::from_utf8(plain).ok()?;
    if is_v4 {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    } else {
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    }
}

/// The address of a reverse name: `labels` are those in front of the tree's own two, `count` of them.
pub fn reverse_address<'l>(
    labels: impl Iterator<Item = &'l [u8]>,
    count: usize,
    is_v6: bool,
) -> Option<IpAddr> {
    let (wanted, radix, most, bits) = if is_v6 { (32, 16, 15, 4) } else { (4, 10, 255, 8) };
    if count != wanted {
        return None;
    }
    let mut address = 0u128;
    for (at, label) in labels.enumerate() {
        let text = std::str::from_utf8(label).ok()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && (text.len() == 1 || !text.starts_with('0'));
        let digit = u32::from_str_radix(text, radix).ok()?;
        if !is_plain || digit > most {
            return None;
        }
        address |= u128::from(digit) << (bits * at);
    }
    Some(match is_v6 {
        true => IpAddr::V6(Ipv6Addr::from(address)),
        false => IpAddr::V4(Ipv4Addr::from(address as u32)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(address: &str) -> String {
        let label = AddressLabel::new(address.parse().unwrap());
        String::from_utf8(label.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn labels_are_addresses_with_dashes() {
        assert_eq!(label("10.0.0.1"), "10-0-0-1");
        assert_eq!(label("2001:db8::1"), "2001-db8--1");
        assert_eq!(label("2001:db8::"), "2001-db8--0");
        assert_eq!(label("::1"), "--1");
        let longest = "2001:1db8:3333:4444:5555:6666:7777:8888";
        assert_eq!(label(longest), longest.replace(':', "-"));
    }

    #[test]
    fn addresses_are_found_again() {
        for address in ["10.0.0.1", "2001:db8::1", "2001:db8::", "::1", "::"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(address_of(AddressLabel::new(address).as_bytes()), Some(address));
        }
        for wrong in
            ["10-0-0", "10-0-0-01", "10-0-0-256", "web", "a-b-c-d", "", "1-2-3-4-5-6-7-8-9"]
        {
            assert_eq!(address_of(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn reverse_names_are_whole_addresses() {
        let address = |text: &str, is_v6| {
            let labels = text.split('.').map(str::as_bytes);
            reverse_address(labels.clone(), labels.count(), is_v6)
        };
        assert_eq!(address("4.3.2.1", false), "1.2.3.4".parse().ok());
        for other in ["3.2.1", "5.4.3.2.1", "04.3.2.1", "256.3.2.1", "a.3.2.1", "", "+1.3.2.1"] {
            assert_eq!(address(other, false), None, "{other}");
        }
        let one = format!("1.{}8.b.d.0.1.0.0.2", "0.".repeat(23));
        assert_eq!(address(&one, true), "2001:db8::1".parse().ok());
        assert_eq!(address(&one[2..], true), None);
    }
}
