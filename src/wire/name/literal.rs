//! Names written in the source, as wire form that the compiler makes.

use super::buffer::NameBuf;

/// The wire form of a name known at compile time: `name!("_services._tcp.example.com.")`.
///
/// The text is what [`crate::Name::from_text`] reads; the final dot is optional. The name is in lower
/// case, as [`crate::Request::name`] is, so the two compare with `==`. The result is a
/// `&'static [u8]` of exactly the name's length; a `const` of it is also a pattern.
///
/// ```
/// use catena_wire as wire;
///
/// const VERSION: &[u8] = wire::name!("version.bind.");
/// assert_eq!(VERSION, b"\x07version\x04bind\0");
/// assert_eq!(wire::name!("Example.org"), wire::name!("example.org."));
/// assert_eq!(wire::name!("."), b"\0");
/// assert_eq!(wire::name!(r"a\.b\032.org."), b"\x04a.b \x03org\0");
/// ```
///
/// A text that is not a name does not compile:
///
/// ```compile_fail
/// let name = catena_wire::name!("example..org.");
/// ```
/// ```compile_fail
/// let name = catena_wire::name!("");
/// ```
/// ```compile_fail
/// let name = catena_wire::name!(r"example\256.org.");
/// ```
/// ```compile_fail
/// let long = catena_wire::name!("a23456789-123456789-123456789-123456789-123456789-123456789-1234.");
/// ```
#[macro_export]
macro_rules! name {
    ($text:expr) => {{
        const NAME: $crate::NameBuf = $crate::name::literal($text);
        const WIRE: [u8; NAME.as_wire().len()] = *NAME.as_wire().first_chunk().unwrap();
        const STORED: &[u8] = &WIRE;
        STORED
    }};
}

/// What [`crate::name!`] evaluates at compile time.
///
/// # Panics
/// The text is not a name. In a constant this is an error of the compiler, which shows the reason.
pub const fn literal(text: &str) -> NameBuf {
    let mut name = NameBuf::new();
    if let Err(error) = name.push_text(text.as_bytes()) {
        panic!("{}", error.as_str());
    }
    name.make_lowercase();
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_literal_is_the_name_in_lower_case(text in "[a-zA-Z0-9_*-]{1,20}(\\.[a-z\\\\.A-Z]{1,9}){0,9}") {
            if let Ok(name) = Name::from_text(&text) {
                let (made, lower) = (literal(&text), name.to_lower());
                prop_assert_eq!(made.as_wire(), lower.as_wire());
            }
        }
    }

    #[test]
    fn a_literal_takes_its_own_length_only() {
        const NAMES: [&[u8]; 2] = [crate::name!("."), crate::name!("WWW.example.org")];
        assert_eq!(NAMES, [&b"\0"[..], b"\x03www\x07example\x03org\0"]);
    }
}
