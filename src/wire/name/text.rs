//! Names in presentation form.

use std::fmt;

use super::labels::labels;

/// Shows a wire name in presentation form, with the escapes of RFC 4343 section 2.1.
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let mut any = false;
        for label in labels(self.0) {
            any = true;
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b' ' | b'@' | b'\'' => {
                        f.write_char('\\')?;
                        f.write_char(char::from(byte))?;
                    }
                    b'!'..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        if any { Ok(()) } else { f.write_char('.') }
    }
}
