//! Log lines without what differs from run to run, and how lists of lines differ.

/// The lines of a log: names of the program are `NAME-VERSION`, and what only this run has is `*`.
pub(super) fn of_log(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = log.lines().filter_map(line).collect();
    // The probe of `loop` comes whenever it is through: before the end of the banner, after a reload.
    // CoreDNS tells about listeners in any order.
    let listener = |line: &str| line.ends_with(" on 127.0.0.1").then(|| line.to_owned());
    lines.sort_by_cached_key(|line| {
        (!line.contains("\"HINFO"), listener(line).is_none(), listener(line))
    });
    lines.dedup_by(|a, b| a == b && a.contains("\"HINFO"));
    lines
}

fn line(line: &str) -> Option<String> {
    // A library tells about its platform, before the server says its first word.
    // And on a busy machine the server notices how busy it is.
    let busy = line.starts_with("[WARNING] plugin/health: Local health request");
    if line.starts_with("maxprocs: ") || line.is_empty() || busy {
        return None;
    }
    if line.starts_with("CoreDNS-") || line.starts_with("catena-") {
        return Some("NAME-VERSION".to_owned());
    }
    if line.starts_with("linux/") {
        return Some("PLATFORM".to_owned());
    }
    if let Some((before, hash)) = line.split_once(" SHA512 = ") {
        return Some(format!("{before} SHA512 = {} digits", hash.len()));
    }
    // The numbers are those of the machine.
    if line.starts_with("[INFO] The limit on file descriptors is ") {
        return Some("[INFO] The limit on file descriptors is N".to_owned());
    }
    Some(query(line).unwrap_or_else(|| line.to_owned()))
}

/// Octets of the probe of `loop` and of its reply: its name is random, and so are they.
pub(super) fn probe(log: &str) -> [u64; 2] {
    let line = log.lines().find(|line| line.contains(" \"HINFO")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    [words[8].parse().unwrap(), words[13].parse().unwrap()]
}

/// A line of `log` without the client's port and the time it took.
fn query(line: &str) -> Option<String> {
    let mut words: Vec<&str> = line.split(' ').collect();
    // [INFO] CLIENT - ID "TYPE CLASS NAME PROTO SIZE DO BUFSIZE" RCODE FLAGS SIZE DURATION
    // and the opcode, where the format is `{combined}`
    if !(15..=16).contains(&words.len()) || words[2] != "-" {
        return None;
    }
    assert!(words[1].starts_with("127.0.0.1:"), "{line}");
    words[1] = "127.0.0.1:*";
    let seconds = words[14].strip_suffix('s')?;
    assert!(seconds.parse::<f64>().is_ok_and(|seconds| seconds < 10.0), "{line}");
    words[14] = "*s";
    if words[4] == "\"HINFO" {
        // A name of two random numbers.
        for random in [3, 6, 8, 13] {
            words[random] = "*";
        }
    }
    Some(words.join(" "))
}

/// What we have to show: the recording with the differences that are meant put in. What they replace
/// must be there.
pub(super) fn with_differences(recorded: &str, differences: &str) -> Vec<String> {
    let mut lines: Vec<String> = recorded.lines().map(ToOwned::to_owned).collect();
    let mut rest = differences.lines().filter(|line| line.starts_with(['-', '+'])).peekable();
    while rest.peek().is_some() {
        let mut taken = |sign: char| {
            let next = || rest.next_if(|line| line.starts_with(sign));
            std::iter::from_fn(next).map(|line| line[2..].to_owned()).collect::<Vec<String>>()
        };
        let (theirs, ours) = (taken('-'), taken('+'));
        assert!(!theirs.is_empty(), "what do these lines replace? {ours:?}");
        let at = lines.windows(theirs.len()).position(|window| window == theirs);
        let at = at.unwrap_or_else(|| panic!("CoreDNS does not show this: {theirs:?}"));
        lines.splice(at..at + theirs.len(), ours);
    }
    lines
}

/// The lines that differ, in the form of a diff without context.
pub(super) fn differ(expected: &[String], shown: &[String]) -> String {
    // How many lines the rests of both have in common, in order.
    let mut common = vec![vec![0; shown.len() + 1]; expected.len() + 1];
    for (i, wanted) in expected.iter().enumerate().rev() {
        for (j, line) in shown.iter().enumerate().rev() {
            common[i][j] = match wanted == line {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < expected.len() || j < shown.len() {
        if i < expected.len() && j < shown.len() && expected[i] == shown[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == shown.len() || i < expected.len() && common[i + 1][j] >= common[i][j + 1] {
            out += &format!("- {}\n", expected[i]);
            i += 1;
        } else {
            out += &format!("+ {}\n", shown[j]);
            j += 1;
        }
    }
    out
}
