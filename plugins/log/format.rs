//! FORMAT: the format of the log lines.

use telemetry::format::Format as Template;

/// The Common Log Format.
const COMMON: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} \
                      {>bufsize}\" {rcode} {>rflags} {rsize} {duration}";
/// The field that the combined format appends to it.
const COMBINED_REST: &str = " \"{>opcode}\"";

/// How lines look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text with placeholders.
    Text(Template),
    /// One JSON object a line.
    Json,
}

impl Default for Format {
    fn default() -> Self {
        Self::parse(COMMON)
    }
}

impl Format {
    /// The format that `text` names or spells out.
    pub(super) fn parse(text: &str) -> Self {
        if text == "{json}" {
            return Self::Json;
        }
        let combined = [COMMON, COMBINED_REST].concat();
        let text = text.replace("{common}", COMMON).replace("{combined}", &combined);
        Self::Text(Template::parse(&text))
    }

    /// The text with placeholders, if it is one.
    pub(super) fn text(&self) -> Option<&Template> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_words_stand_for_whole_formats() {
        assert_eq!(Format::parse("{json}"), Format::Json);
        assert_eq!(Format::parse("{common}"), Format::default());
        let combined = Template::parse(&format!("<{COMMON} \"{{>opcode}}\">"));
        assert_eq!(Format::parse("<{combined}>").text(), Some(&combined));
    }
}
