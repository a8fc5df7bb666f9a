//! The filter of a request: which entries it lists or flushes.

use wire::{Name, Rtype, name};

use super::super::entry::Entry;

/// Selects entries. All conditions that are set must hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    name: Option<Name>,
    suffix: Option<Name>,
    rtype: Option<Rtype>,
    all: bool,
    pub(super) limit: Option<usize>,
}

impl Filter {
    /// Parses `name=www.example.org&type=A`.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                decode(value).ok_or_else(|| format!("`{value}` is not percent-encoded UTF-8"))?;
            let name = || {
                let name = Name::from_text(&value);
                name.map(|name| name.to_lower())
                    .map_err(|_| format!("`{value}` is not a domain name"))
            };
            match key {
                "name" => filter.name = Some(name()?),
                "suffix" => filter.suffix = Some(name()?),
                "type" => {
                    let rtype = Rtype::from_text(&value);
                    filter.rtype =
                        Some(rtype.ok_or_else(|| format!("`{value}` is not a record type"))?);
                }
                "limit" => {
                    let limit = value.parse::<usize>();
                    filter.limit = Some(limit.map_err(|_| format!("`{value}` is not a number"))?);
                }
                "all" => filter.all = true,
                _ => {
                    return Err(format!(
                        "unknown parameter `{key}`: expected name, suffix, type, all or limit"
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// Whether no condition is set.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self { limit: self.limit, ..Self::default() }
    }

    pub(super) fn matches(&self, entry: &Entry) -> bool {
        let key = entry.key();
        self.rtype.is_none_or(|rtype| key.qtype == rtype)
            && self.name.as_ref().is_none_or(|name| key.name == name.as_wire())
            && self.suffix.as_ref().is_none_or(|zone| name::is_under(key.name, zone.as_wire()))
    }
}

/// Decodes percent-encoded text.
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                (digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read() {
        let filter = Filter::parse("name=WWW.example.org&type=aaaa&limit=7").unwrap();
        assert_eq!(filter.name.unwrap().to_string(), "www.example.org.");
        assert_eq!((filter.rtype, filter.limit), (Some(Rtype::AAAA), Some(7)));
        assert_eq!(Filter::parse("suffix=a%5C.b.org").unwrap().suffix.unwrap().labels().count(), 2);
        assert!(Filter::parse("limit=3").unwrap().is_empty());
        assert!(!Filter::parse("all").unwrap().is_empty());
        for wrong in ["nam=x", "type=X1", "name=a..b", "limit=-1", "name=%zz", "name=%4"] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
