//! The arguments of `on`: an event, and a command that is split into words as in a shell.

use corefile::{Diagnostic, Diagnostics, Directive, nearest};

/// The events at which a command can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A configuration begins to serve: the first one, and each one that a reload brings.
    Startup,
    /// The process received a stop signal.
    Shutdown,
    /// A certificate was renewed. Neither CoreDNS nor this server reports that.
    Certrenew,
}

const EVENTS: [(&str, Event); 3] =
    [("startup", Event::Startup), ("shutdown", Event::Shutdown), ("certrenew", Event::Certrenew)];

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// The command runs without being awaited.
    pub(super) background: bool,
}

type Commands = Vec<(Event, Command)>;

/// The commands of a block in order, and warnings about them.
pub(super) fn parse(uses: &[&Directive]) -> Result<(Commands, Diagnostics), Diagnostics> {
    let mut commands = Vec::new();
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    for directive in uses {
        errors.extend(directive.no_body().err());
        let event = event(directive, &mut warnings);
        let command = command(directive);
        match (event, command) {
            (Ok(event), Ok(command)) => commands.push((event, command)),
            (event, command) => {
                errors.extend(event.err());
                // Without an event there is no telling where the command begins.
                errors.extend(command.err().filter(|_| !directive.args.is_empty()));
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok((commands, warnings)) }
}

fn event(directive: &Directive, warnings: &mut Diagnostics) -> Result<Event, Diagnostic> {
    let names = EVENTS.map(|(name, _)| name);
    let token = directive.args().required("an event")?;
    let word = token.as_str().to_ascii_lowercase();
    let Some((_, event)) = EVENTS.into_iter().find(|(name, _)| *name == word) else {
        let message = format!("Wrong event name or event not supported: '{}'", token.as_str());
        let help = nearest(&word, names).map_or_else(
            || "write `on startup COMMAND` or `on shutdown COMMAND`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Diagnostic::error(token.span, message)
            .label(format!("expected one of {}", names.join(", ")))
            .help(help));
    };
    if event == Event::Certrenew {
        warnings.push(
            Diagnostic::warning(token.span, "the event `certrenew` never occurs")
                .label("this server does not renew certificates")
                .help("run the command from the program that renews the certificates"),
        );
    }
    Ok(event)
}

fn command(directive: &Directive) -> Result<Command, Diagnostic> {
    // The words are joined and split again, so that a whole command may be quoted.
    let words = directive.args.iter().skip(1).map(|token| token.as_str()).collect::<Vec<_>>();
    let last = directive.args.last().unwrap_or(&directive.name);
    let first = directive.args.get(1).unwrap_or(last);
    let text = words.join(" ");
    let mut words = split(&text).map_err(|problem| {
        Diagnostic::error(first.span, format!("error parsing command: {problem}"))
            .label("quotes and backslashes have the same meaning as in a shell")
            .help("close the quotes, or escape a literal quote with a backslash")
    })?;
    let background = words.len() > 1 && words.last().is_some_and(|word| word == "&");
    if background {
        words.pop();
    }
    if words.is_empty() || words[0] == "&" {
        return Err(Diagnostic::error(last.span, format!("no command contained in '{text}'"))
            .label("the command is missing after this")
            .help(
                "write the program and its arguments: `on startup /usr/bin/touch /run/started`",
            ));
    }
    let program = words.remove(0);
    Ok(Command { program, args: words, background })
}

/// Splits at white space. Between `'` all characters are literal; between `"` a backslash escapes. A
/// `#` at the start of a word begins a comment.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    const UNFINISHED: &str = "EOF found after escape character";
    let mut words = Vec::new();
    let mut rest = text.chars();
    // An empty pair of quotes is a word.
    let mut word: Option<String> = None;
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while rest.next().is_some_and(|c| c != '\n') {},
            '\\' => word.get_or_insert_default().push(rest.next().ok_or(UNFINISHED)?),
            quote @ ('"' | '\'') => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("EOF found when expecting closing quote.")? {
                        c if c == quote => break,
                        '\\' if quote == '"' => word.push(rest.next().ok_or(UNFINISHED)?),
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_shells() {
        for (text, words) in [
            ("", &[][..]),
            ("echo  a\tb", &["echo", "a", "b"]),
            (r#"echo "a  b" c"d"e"#, &["echo", "a  b", "cde"]),
            (r#"echo "a \" \\ \n" 'b \'"#, &["echo", r#"a " \ n"#, r"b \"]),
            (r"echo a\ b \# '' #c d", &["echo", "a b", "#", ""]),
            ("echo x#y # c\nd", &["echo", "x#y", "d"]),
            ("echo $HOME * é", &["echo", "$HOME", "*", "é"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["\"a", "'a", "a\\", "\"a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
