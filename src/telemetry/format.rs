//! A text with placeholders (`{name}`, `{>id}`, `{/plugin/label}`), split into pieces once and filled in
//! for every query: the lines of `log`, and other plugins' texts in CoreDNS's syntax.

use std::io::Write;

use corefile::{Diagnostic, Diagnostics, Token};
use wire::name::Text;

use crate::record::{self, LogRecord};

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Text that is written as it is.
    Literal(String),
    /// Something about the query or its reply.
    Field(Field),
    /// A metadata label.
    Metadata(String),
}

macro_rules! fields {
    ($($name:ident $text:literal,)*) => {
        /// The placeholders.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Field { $($name,)* }

        impl Field {
            /// The names of all placeholders, without braces.
            const NAMES: &'static [&'static str] = &[$($text),*];

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Type "type",
    Name "name",
    Class "class",
    Proto "proto",
    Size "size",
    Remote "remote",
    Port "port",
    Local "local",
    Id ">id",
    Opcode ">opcode",
    Do ">do",
    Bufsize ">bufsize",
    Rcode "rcode",
    Rsize "rsize",
    Duration "duration",
    Rflags ">rflags",
}

impl Format {
    /// Splits a text into pieces. Braces around anything but a placeholder are text.
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        // A placeholder is between a closing brace and the nearest opening one before it.
        while let Some(end) = rest.find('}') {
            let found = rest[..end].rfind('{').and_then(|start| {
                let inner = &rest[start + 1..end];
                let piece = match inner.strip_prefix('/') {
                    Some(label) => Some(Piece::Metadata(label.to_owned())),
                    None => Field::from_text(inner).map(Piece::Field),
                };
                piece.map(|piece| (start, piece))
            });
            match found {
                Some((start, piece)) => {
                    literal.push_str(&rest[..start]);
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(piece);
                }
                None => literal.push_str(&rest[..=end]),
            }
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Self(pieces)
    }

    /// The first text in braces that looks like a placeholder but is not one.
    fn unknown(&self) -> Option<&str> {
        self.0.iter().find_map(|piece| {
            let Piece::Literal(text) = piece else { return None };
            let (_, rest) = text.split_once('{')?;
            let (inner, _) = rest.split_once('}')?;
            let word = inner.strip_prefix('>').unwrap_or(inner);
            let looks = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
            looks.then_some(inner)
        })
    }

    /// Warnings about `token`, an argument of `plugin`: an unknown placeholder, and metadata in a block
    /// that collects none.
    pub fn warnings(&self, plugin: &str, token: &Token, has_metadata: bool) -> Diagnostics {
        let mut warnings = Diagnostics::default();
        if let Some(unknown) = self.unknown() {
            let title = format!("`{{{unknown}}}` is not a placeholder of `{plugin}`");
            let warning =
                Diagnostic::warning(token.span, title).label("this text is written unchanged");
            warnings.push(match corefile::nearest(unknown, Field::NAMES.iter().copied()) {
                Some(near) => warning.help(format!("did you mean `{{{near}}}`?")),
                None => warning.help("`catena help log` lists the placeholders"),
            });
        }
        if !has_metadata && self.0.iter().any(|piece| matches!(piece, Piece::Metadata(_))) {
            warnings.push(
                Diagnostic::warning(token.span, "metadata is not collected in this block")
                    .label("placeholders `{/...}` expand to `-`")
                    .help("add the `metadata` plugin to the block"),
            );
        }
        warnings
    }

    /// Writes the text, filled in.
    pub fn write(&self, line: &mut Vec<u8>, record: &LogRecord<'_>) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => line.extend_from_slice(text.as_bytes()),
                Piece::Field(field) => write_field(line, *field, record),
                Piece::Metadata(label) => match record.query.metadata(label) {
                    Some(value) => write_value(line, value),
                    None => line.push(b'-'),
                },
            }
        }
    }
}

fn write_field(line: &mut Vec<u8>, field: Field, record: &LogRecord<'_>) {
    let query = record.query;
    // Writing to a vector does not fail.
    let _ = match field {
        Field::Type => write!(line, "{}", query.qtype()),
        Field::Name => write!(line, "{}", Text(query.name())),
        Field::Class => write!(line, "{}", query.qclass()),
        Field::Proto => line.write_all(query.client.transport.proto().as_bytes()),
        Field::Size => write!(line, "{}", query.bytes().len()),
        Field::Remote => {
            record::address(line, query.client.peer.ip());
            Ok(())
        }
        Field::Port => write!(line, "{}", query.client.peer.port()),
        Field::Local => {
            record::address(line, query.client.local.ip());
            Ok(())
        }
        Field::Id => write!(line, "{}", query.id()),
        Field::Opcode => write!(line, "{}", query.opcode().0),
        Field::Do => write!(line, "{}", query.wants_dnssec()),
        Field::Bufsize => write!(line, "{}", record.buffer_size()),
        Field::Rcode => match record.rcode().map(|rcode| (rcode, rcode.mnemonic())) {
            Some((_, Some(text))) => line.write_all(text.as_bytes()),
            Some((rcode, None)) => write!(line, "{}", rcode.0),
            None => line.write_all(b"-"),
        },
        Field::Rsize | Field::Duration if record.reply.is_none() => line.write_all(b"-"),
        Field::Rsize => write!(line, "{}", record.reply_size()),
        Field::Duration => write!(line, "{}s", record.seconds()),
        Field::Rflags => {
            if !record.flags(line) {
                line.push(b'-');
            }
            Ok(())
        }
    };
}

/// Writes a value that may come from outside: control characters would break the line.
fn write_value(line: &mut Vec<u8>, value: &str) {
    for &byte in value.as_bytes() {
        if byte.is_ascii_control() {
            let _ = write!(line, "\\{byte:03}");
        } else {
            line.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        Format::parse(text).0
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    #[test]
    fn placeholders_are_cut_out_of_the_text() {
        assert_eq!(pieces("{type}"), [Piece::Field(Field::Type)]);
        assert_eq!(pieces("a {>id} b"), [literal("a "), Piece::Field(Field::Id), literal(" b")]);
        assert_eq!(pieces("{ {name} }"), [literal("{ "), Piece::Field(Field::Name), literal(" }")]);
        assert_eq!(pieces("A } {x} {}"), [literal("A } {x} {}")]);
        assert_eq!(pieces("{/a/b}"), [Piece::Metadata("a/b".to_owned())]);
        assert_eq!(pieces("{"), [literal("{")]);
        assert_eq!(pieces(""), []);
        assert_eq!(Format::parse("{nmae} {name}").unknown(), Some("nmae"));
        assert_eq!(Format::parse("{ {name} } {}").unknown(), None);
    }
}
