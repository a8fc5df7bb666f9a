//! Resolves addresses to function names, unless the binary is stripped.

use std::fmt::Write;

/// The most addresses that one request may look up; `go tool pprof` sends some hundreds.
const MOST: usize = 4096;

/// A function, innermost first where several are inlined into each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Function {
    /// The demangled name.
    pub(super) name: String,
    /// The name of the symbol.
    pub(super) system_name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// The functions at an address; none if they are not known.
pub(super) fn functions(address: usize) -> Vec<Function> {
    let mut found = Vec::new();
    // The crate expects a return address and looks up the byte before it.
    backtrace::resolve(address.wrapping_add(1) as *mut _, |symbol| {
        let Some(name) = symbol.name() else { return };
        found.push(Function {
            // `{:#}` leaves the hash of Rust's names away.
            name: format!("{name:#}"),
            system_name: String::from_utf8_lossy(name.as_bytes()).into_owned(),
            file: symbol.filename().map(|it| it.display().to_string()).unwrap_or_default(),
            line: symbol.lineno().unwrap_or(0),
        });
    });
    found
}

/// The answer in Go's form: how many symbols there are, of which readers heed only whether it is
/// zero, and a line for each address (`0x1234+0x5678`) that has a name.
pub(super) fn answer(asked: &[u8]) -> String {
    let known = usize::from(!functions(answer as *const () as usize).is_empty());
    let mut page = format!("num_symbols: {known}\n");
    for word in asked.split(|byte| *byte == b'+').take(MOST) {
        let Some(address) = address(word) else { continue };
        if let Some(function) = functions(address).first() {
            let _ = writeln!(page, "{address:#x} {}", function.name);
        }
    }
    page
}

fn address(word: &[u8]) -> Option<usize> {
    let word = str::from_utf8(word).ok()?.trim();
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
    .filter(|address| *address != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_binary_have_names() {
        let own = answer as *const () as usize;
        let page = answer(format!("{own:#x}+0x1+nonsense").as_bytes());
        assert!(page.starts_with("num_symbols: 1\n"), "{page}");
        // The build decides how much of the path is kept.
        let line = page.lines().nth(1).unwrap();
        assert!(line.starts_with(&format!("{own:#x} ")) && line.ends_with("answer"), "{page}");
        assert_eq!(page.lines().count(), 2, "{page}");
        assert_eq!(answer(b""), "num_symbols: 1\n");
    }
}
