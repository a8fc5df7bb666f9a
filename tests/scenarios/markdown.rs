//! Scenarios out of Markdown, with the lines where their expectations stand.

use std::ops::Range;

use crate::mmdb;

/// One scenario: everything under one `##` heading.
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

/// What happens, in the order of the file.
pub(crate) enum Step {
    /// Serve this Corefile (a second one is a reload).
    Corefile(String),
    /// Write this file into the scenario's directory.
    File(String, Vec<u8>),
    /// An upstream, by address.
    Upstream(String, String),
    /// A question, its options, and the lines that say what comes back.
    Ask { line: usize, question: String, expected: Vec<String>, lines: Range<usize> },
    /// `! command`.
    Command { line: usize, text: String },
    /// The Corefile must be refused with a message that contains each of these lines.
    Refused(String, Vec<String>),
}

/// Reads the scenarios of a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Scenario>, String> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut fence: Option<(String, usize, Vec<&str>, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        if let Some((info, start, mut body, ticks)) = fence.take() {
            if line.len() >= ticks && line.bytes().take_while(|&b| b == b'`').count() >= ticks {
                if let Some(scenario) = scenarios.last_mut() {
                    block(scenario, &info, start, &body)?;
                }
            } else {
                body.push(line);
                fence = Some((info, start, body, ticks));
            }
            continue;
        }
        let ticks = line.bytes().take_while(|&byte| byte == b'`').count();
        if ticks >= 3 {
            fence = Some((line[ticks..].trim().to_owned(), index + 1, Vec::new(), ticks));
        } else if let Some(title) = line.strip_prefix("## ") {
            scenarios.push(Scenario { title: title.trim().to_owned(), steps: Vec::new() });
        }
    }
    if let Some((_, start, ..)) = fence {
        return Err(format!("{start}: this block has no end"));
    }
    scenarios.retain(|scenario| !scenario.steps.is_empty());
    Ok(scenarios)
}

fn block(scenario: &mut Scenario, info: &str, start: usize, body: &[&str]) -> Result<(), String> {
    let (kind, argument) = info.split_once(' ').unwrap_or((info, ""));
    let text = || body.iter().map(|line| format!("{line}\n")).collect::<String>();
    let argument = argument.trim().to_owned();
    match kind {
        "corefile" => scenario.steps.push(Step::Corefile(text())),
        "file" => scenario.steps.push(Step::File(argument, text().into_bytes())),
        "mmdb" => {
            let bytes = mmdb::write(&text()).map_err(|problem| format!("{start}: {problem}"))?;
            scenario.steps.push(Step::File(argument, bytes));
        }
        "certificate" => {
            let names: Vec<String> = body.iter().map(ToString::to_string).collect();
            for (name, bytes) in certificate(&argument, names)? {
                scenario.steps.push(Step::File(name, bytes));
            }
        }
        "upstream" => scenario.steps.push(Step::Upstream(argument, text())),
        "query" => questions(scenario, start, body)?,
        "refused" => {
            let Some(Step::Corefile(corefile)) = scenario.steps.pop() else {
                return Err(format!("{start}: `refused` follows a `corefile` block"));
            };
            let lines = body.iter().map(ToString::to_string).collect();
            scenario.steps.push(Step::Refused(corefile, lines));
        }
        // Other blocks are for the reader.
        _ => {}
    }
    Ok(())
}

/// The files `NAME.pem` and `NAME.key.pem`: a certificate for these names, and its key.
pub(crate) fn certificate(
    name: &str,
    names: Vec<String>,
) -> Result<[(String, Vec<u8>); 2], String> {
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = made.signing_key.serialize_pem().into_bytes();
    let certificate = made.cert.pem().into_bytes();
    Ok([(format!("{name}.pem"), certificate), (format!("{name}.key.pem"), key)])
}

fn questions(scenario: &mut Scenario, start: usize, body: &[&str]) -> Result<(), String> {
    for (offset, line) in body.iter().enumerate() {
        let at = start + offset;
        if let Some(question) = line.strip_prefix('>') {
            scenario.steps.push(Step::Ask {
                line: at + 1,
                question: question.trim().to_owned(),
                expected: Vec::new(),
                lines: at + 1..at + 1,
            });
        } else if let Some(command) = line.strip_prefix('!') {
            scenario.steps.push(Step::Command { line: at + 1, text: command.trim().to_owned() });
        } else if !line.trim().is_empty() {
            match scenario.steps.last_mut() {
                Some(Step::Ask { expected, lines, .. }) if lines.end == at => {
                    expected.push(line.trim().to_owned());
                    lines.end = at + 1;
                }
                _ => return Err(format!("{}: an answer without a question", at + 1)),
            }
        }
    }
    Ok(())
}

/// The text with some ranges of lines replaced.
pub(crate) fn replace(text: &str, mut updates: Vec<(Range<usize>, Vec<String>)>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    updates.sort_by_key(|(range, _)| range.start);
    for (range, new) in updates.into_iter().rev() {
        lines.splice(range, new);
    }
    lines.join("\n") + "\n"
}

/// The blocks of one kind, with the line each starts at.
pub(crate) fn blocks(text: &str, kind: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(bool, usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            Some((wanted, start, body)) => {
                if line.starts_with("```") {
                    if *wanted {
                        found.push((*start, std::mem::take(body)));
                    }
                    open = None;
                } else {
                    body.push_str(line);
                    body.push('\n');
                }
            }
            None => {
                if let Some(info) = line.strip_prefix("```") {
                    let wanted = info.split_whitespace().next() == Some(kind);
                    open = Some((wanted, index + 2, String::new()));
                }
            }
        }
    }
    found
}
