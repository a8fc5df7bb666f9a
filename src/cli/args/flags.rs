//! Flags in Go's syntax: one dash or two, `-flag value` or `-flag=value`.

/// Why the arguments cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A flag that is not known, or lacks its value: exit 2 and the usage.
    Flag(String),
    /// Mistakes in the arguments of a command: exit 2 and its usage.
    Command(String, &'static str),
    /// Words that are no flags: exit 1.
    Extra(Vec<String>),
}

/// A flag's value, still to be fetched: behind the `=`, or the next word.
pub(crate) struct Value<'a> {
    inline: Option<&'a str>,
    next: Option<&'a str>,
    took_next: &'a mut bool,
}

impl Value<'_> {
    /// The value.
    pub(crate) fn text(self, name: &str) -> Result<String, Wrong> {
        *self.took_next = self.inline.is_none() && self.next.is_some();
        let value = self.inline.or(self.next).map(str::to_owned);
        value.ok_or_else(|| Wrong::Flag(format!("flag needs an argument: -{name}")))
    }

    /// The value of a flag that may stand alone.
    pub(crate) fn truth(&self, name: &str) -> Result<bool, Wrong> {
        match self.inline {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(Wrong::Flag(format!(
                "invalid boolean value \"{other}\" for -{name}: parse error"
            ))),
        }
    }
}

/// Hands each flag to `take`; returns the words behind the flags.
pub(crate) fn flags(
    argv: &[String],
    mut take: impl FnMut(&str, Value<'_>) -> Result<(), Wrong>,
) -> Result<Vec<String>, Wrong> {
    let mut at = 0;
    while let Some(word) = argv.get(at) {
        let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) else { break };
        at += 1;
        if flag == "-" {
            break;
        }
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let mut took_next = false;
        let next = argv.get(at).map(String::as_str);
        take(name, Value { inline, next, took_next: &mut took_next })?;
        at += usize::from(took_next);
    }
    Ok(argv[at..].to_vec())
}

/// A port number.
pub(crate) fn port(name: &str, text: &str) -> Result<u16, Wrong> {
    text.parse().map_err(|_| {
        Wrong::Flag(format!("invalid value \"{text}\" for flag -{name}: expected a port number"))
    })
}

/// Whether the format is JSON.
pub(crate) fn format(name: &str, text: &str) -> Result<bool, Wrong> {
    match text {
        "json" => Ok(true),
        "text" => Ok(false),
        other => Err(Wrong::Flag(format!(
            "invalid value \"{other}\" for flag -{name}: expected text or json"
        ))),
    }
}

/// A flag that is not known.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Wrong {
    let near = did_you_mean(corefile::nearest(name, known.iter().copied()), "-");
    Wrong::Flag(format!("flag provided but not defined: -{name}{near}"))
}

/// `; did you mean …?`, if something is near.
pub(crate) fn did_you_mean(near: Option<&str>, before: &str) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{before}{near}`?"))
}

impl Wrong {
    /// The same as a mistake in the arguments of a command.
    pub(crate) fn of_command(self, usage: &'static str) -> Self {
        match self {
            Self::Flag(problem) => Self::Command(problem, usage),
            other => other,
        }
    }
}
