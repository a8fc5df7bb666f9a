//! The findings in a file as JSON.

use serde_json::{Value, json};
use zone::check::{Finding, Level, Report};
use zone::digest::Verdict;
use zone::master::ZoneError;

/// What was found in a file.
pub(super) fn report(file: &str, report: &Report) -> Value {
    let digest = match &report.digest {
        Verdict::Absent => "absent",
        Verdict::Verified(_) => "verified",
        Verdict::Failed(_) => "failed",
    };
    let unshown: serde_json::Map<String, Value> = report
        .unshown
        .iter()
        .map(|(check, count)| (check.name().to_owned(), Value::from(*count)))
        .collect();
    json!({
        "file": file,
        "zone": report.apex.to_string(),
        "serial": report.serial,
        "records": report.records,
        "names": report.names,
        "digest": digest,
        "errors": report.errors,
        "warnings": report.warnings,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "not_shown": unshown,
    })
}

fn finding(finding: &Finding) -> Value {
    let severity = if finding.level == Level::Error { "error" } else { "warning" };
    let mut value = place(&finding.at);
    value["check"] = finding.check.name().into();
    value["severity"] = severity.into();
    value["message"] = finding.at.message.clone().into();
    value["help"] = finding.at.help.clone().into();
    value["related"] = finding.at.related.iter().map(place).collect();
    value
}

/// A place as `catena check --format json` has them.
fn place(at: &ZoneError) -> Value {
    let known = |number: u32| Some(number).filter(|number| *number > 0);
    json!({
        "file": at.file,
        "line": known(at.line),
        "column": known(at.column),
        "end_line": known(at.line),
        "end_column": known(at.column).map(|column| column + at.length),
        "label": at.label,
    })
}
