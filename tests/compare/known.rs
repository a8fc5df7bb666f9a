//! The differences that docs/differences.md tells of: rows of its table of our own scenarios.
//!
//! The first cell is the start of a scenario's file and title, or `*` for all. The second is the start of
//! a question, or of a line that differs (`- ` what CoreDNS has, `+ ` what we have), or `*`.

use std::collections::BTreeSet;
use std::path::Path;

/// What heads the table.
const HEAD: &str = "| our scenario | question | row |";

/// The rows.
pub(crate) struct Known(Vec<Row>);

struct Row {
    /// The scenario's file and title.
    scenario: String,
    question: String,
    /// The row says `at times`: it depends on timing whether the two differ.
    at_times: bool,
}

impl Known {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().skip_while(|line| line.trim() != HEAD).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|')).map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let &[scenario, question, row] = cells.as_slice() else {
                panic!("three cells: {line}");
            };
            Row {
                scenario: scenario.to_owned(),
                question: question.trim_matches('`').to_owned(),
                at_times: row.ends_with("at times"),
            }
        });
        Self(rows.collect())
    }

    /// What of the differing `lines` no row tells of. The rows that tell of something are noted.
    pub(crate) fn unknown(
        &self,
        title: &str,
        question: &str,
        lines: Vec<String>,
        used: &mut BTreeSet<usize>,
    ) -> Vec<String> {
        let title = title.trim_start_matches("plugins/");
        let mut row = |line: &String| {
            let tells = |Row { scenario, question: cell, .. }: &Row| {
                (scenario == "*" || title.starts_with(scenario.as_str()))
                    && (cell == "*"
                        || match cell.starts_with(['+', '-']) {
                            true => line.starts_with(cell.as_str()),
                            false => question.starts_with(cell.as_str()),
                        })
            };
            self.0.iter().position(tells).map(|row| used.insert(row)).is_some()
        };
        lines.into_iter().filter(|line| !row(line)).collect()
    }

    /// Rows that nothing was found for.
    pub(crate) fn unused(&self, used: &BTreeSet<usize>) -> impl Iterator<Item = String> {
        let rows = self.0.iter().enumerate();
        let rows = rows.filter(|(at, row)| !row.at_times && !used.contains(at));
        rows.map(|(_, row)| format!("{}: {}", row.scenario, row.question))
    }
}
