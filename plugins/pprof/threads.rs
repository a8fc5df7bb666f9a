//! The threads of the process, from `/proc`: the nearest equivalent of a list of goroutines.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Clock ticks a second in `/proc`; Linux shows 100 to every program, whatever the kernel uses.
const TICKS: f64 = 100.0;

/// One line for each thread: number, name, state, processor time, where in the kernel it waits.
pub(super) fn list() -> String {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return "threads: unknown, /proc is not available\n".to_owned();
    };
    let mut lines: Vec<(u32, String)> = tasks
        .flatten()
        .filter_map(|task| {
            let number = task.file_name().to_str()?.parse().ok()?;
            Some((number, line(number, &task.path())?))
        })
        .collect();
    lines.sort_unstable();
    let mut page = format!("threads: {}\n\n", lines.len());
    page += "  number  name             state  seconds  waits in\n";
    lines.iter().for_each(|(_, line)| page += line);
    page
}

/// `None` if the thread has ended meanwhile.
fn line(number: u32, task: &Path) -> Option<String> {
    let stat = files::read_kernel(task.join("stat")).ok()?;
    let (name, state, seconds) = read(&stat)?;
    let waits = files::read_kernel(task.join("wchan")).unwrap_or_default();
    let waits = match waits.trim() {
        "" | "0" => "-",
        known => known,
    };
    let mut line = String::new();
    let _ = writeln!(line, "{number:8}  {name:15}  {state:5}  {seconds:7.2}  {waits}");
    Some(line)
}

/// Name, state and CPU time of a `stat` line. The name is in brackets and may have any
/// characters in it.
fn read(stat: &str) -> Option<(&str, &str, f64)> {
    let (front, rest) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((name, fields.first()?, ticks / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_brackets() {
        let stat = "12 (a) (b) S 1 12 12 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 3 0 99";
        assert_eq!(read(stat), Some(("a) (b", "S", 2.0)));
        assert_eq!(read("12 (a) S 1"), None);
    }

    #[test]
    fn this_thread_is_listed() {
        let name: String =
            std::thread::current().name().unwrap_or("main").chars().take(15).collect();
        assert!(list().contains(&name), "{name} in {}", list());
    }
}
