//! `catena zone`: output and exit codes.

use crate::kit::{Scratch, run, text};

const ZONE: &str = "\
$ORIGIN example.org.
$TTL 300
@ SOA ns1 hostmaster 7 7200 3600 1209600 300
@ NS ns1
ns1 A 192.0.2.1
WWW CNAME ns1
mail 60 AAAA 2001:db8::1
";

const FORMATTED: &str = "\
$ORIGIN example.org.
$TTL 300
@       IN SOA   ns1.example.org. hostmaster.example.org. (
                7            ; serial
                7200         ; refresh, 2 hours
                3600         ; retry, 1 hour
                1209600      ; expire, 2 weeks
                300 )        ; minimum, 5 minutes
@       IN NS    ns1.example.org.
mail 60 IN AAAA  2001:db8::1
ns1     IN A     192.0.2.1
WWW     IN CNAME ns1.example.org.
";

/// A folder with the zone, and commands in it.
struct Folder(Scratch);

impl Folder {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("zone", ZONE);
        Self(scratch)
    }

    fn write(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    /// Exit code, stdout and stderr of `catena zone LINE`.
    fn zone(&self, line: &str) -> (i32, String, String) {
        let arguments: Vec<&str> = ["zone"].into_iter().chain(line.split(' ')).collect();
        let out = run(self.0.path(), &arguments);
        (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
    }
}

#[test]
fn check_shows_each_finding_at_its_place() {
    let folder = Folder::new();
    let summary =
        "zone: zone example.org. with serial 7: 5 records, 4 names: 0 errors, 0 warnings\n";
    assert_eq!(folder.zone("check zone"), (0, summary.to_owned(), String::new()));

    folder.write("bad", &format!("{ZONE}ftp CNAME gone\nns1 TXT \"x\"\nns1 CNAME www\n"));
    let (code, out, err) = folder.zone("check bad");
    assert_eq!((code, err.as_str()), (1, ""));
    let expected = "\
warning: `ftp.example.org.` is an alias for `gone.example.org.`, which does not exist [cname-to-nothing]
 --> bad:8:1
  |
8 | ftp CNAME gone
  | ^^^^^^^^^^^^^^
  |
  = help: remove the alias, or add records for its target
";
    assert!(out.contains(expected), "{out}");
    assert!(
        out.contains("error: CNAME and other data at `ns1.example.org.` [cname-and-other]"),
        "{out}"
    );
    assert!(out.contains("the other data") && out.contains("the alias"), "{out}");
    assert!(out.ends_with("1 error, 4 warnings\n"), "{out}");

    let (code, out, _) = folder.zone("check --format json --off cname-loop,ns-to-cname bad");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["errors"], &report["warnings"]), (1, &1.into(), &1.into()), "{out}");
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|one| one["check"] == "cname-to-nothing").unwrap();
    assert_eq!((&finding["line"], &finding["column"]), (&8.into(), &1.into()));
    assert_eq!(finding["severity"], "warning");
    assert_eq!(report["zone"], "example.org.");

    // Rules.
    folder.write("alias", &format!("{ZONE}ftp CNAME gone\n"));
    assert_eq!(folder.zone("check alias").0, 0);
    assert_eq!(folder.zone("check --strict alias").0, 1);
    assert_eq!(folder.zone("check alias --error cname-to-nothing").0, 1);
    assert_eq!(folder.zone("check --strict alias --off cname-to-nothing").0, 0);
    let (code, out, _) = folder.zone("check --checks");
    assert!(
        code == 0 && out.contains("\nmissing-glue           warning  a delegation to"),
        "{out}"
    );
}

#[test]
fn included_files_are_watched_over() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.path().join("zones")).unwrap();
    folder.write("shared.inc", "shared A 192.0.2.5\n");
    folder.write("zones/part.inc", "part A 192.0.2.6\nbad CNAME nothing\n");
    folder.write("zones/zone", &format!("{ZONE}$INCLUDE part.inc\n$INCLUDE ../shared.inc\n"));
    let (code, out, _) = folder.zone("check zones/zone");
    assert_eq!(code, 0);
    let outside = "warning: `zones/../shared.inc` lies outside of the folder of the zone file [include-outside]";
    assert!(out.contains(outside) && out.contains("--> zones/zone:9:10"), "{out}");
    assert!(out.contains("--> zones/part.inc:2:1"), "{out}");
    assert_eq!(folder.zone("check --error include-outside zones/zone").0, 1);

    folder.write("zones/loop", &format!("{ZONE}$INCLUDE loop\n$INCLUDE loop\n"));
    let (code, out, _) = folder.zone("check zones/loop");
    assert!(code == 1 && out.contains("nested more than 10 deep"), "{out}");
}

#[test]
fn the_name_of_the_zone_is_found() {
    let folder = Folder::new();
    let relative = ZONE.strip_prefix("$ORIGIN example.org.\n").unwrap();
    for name in ["db.example.org", "example.org.zone", "some-file"] {
        folder.write(name, relative);
    }
    assert!(folder.zone("check db.example.org").1.contains("zone example.org. with serial 7"));
    assert!(folder.zone("check example.org.zone").1.contains("zone example.org. with serial 7"));
    assert!(
        folder.zone("check some-file example.net").1.contains("zone example.net. with serial 7")
    );
    let (code, out, err) = folder.zone("check some-file");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("`some-file` does not say which zone it is"), "{err}");
    for line in ["check missing", "format missing", "diff missing zone", "diff zone missing"] {
        let (code, out, err) = folder.zone(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}");
        assert_eq!(err, "cannot read `missing`: no such file\n", "{line}");
    }
}

#[test]
fn format_is_a_fixed_point() {
    let folder = Folder::new();
    assert_eq!(folder.zone("format zone"), (0, FORMATTED.to_owned(), String::new()));
    folder.write("formatted", FORMATTED);
    assert_eq!(folder.zone("format formatted").1, FORMATTED);
    assert_eq!(folder.zone("format --check formatted"), (0, String::new(), String::new()));
    let (code, out, err) = folder.zone("format --check zone");
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "zone:3: is not formatted: `catena zone format zone` prints it\n");
    folder.write("longer", &format!("{FORMATTED}; the end\n"));
    assert_eq!(folder.zone("format --check longer").0, 1);
    assert_eq!(folder.zone("diff zone formatted"), (0, String::new(), String::new()));

    let (code, out, _) = folder.zone("format --format json zone");
    let zone: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, zone["records"].as_array().unwrap().len()), (0, 5));

    folder.write("broken", "@ SOA\n");
    let (code, out, err) = folder.zone("format broken example.org");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("broken:1:6: ") && err.ends_with("nothing is formatted\n"), "{err}");
}

#[test]
fn a_digest_is_written_and_verified() {
    let folder = Folder::new();
    for (algorithm, name) in [("sha384", "SHA-384"), ("sha512", "SHA-512")] {
        let (code, out, _) = folder.zone(&format!("format --zonemd {algorithm} zone"));
        assert_eq!(code, 0);
        folder.write("digested", &out);
        let (code, checked, _) = folder.zone("check digested");
        assert!(code == 0 && checked.contains(&format!("{name} digest verified")), "{checked}");
        // Written again, it replaces itself.
        assert_eq!(folder.zone(&format!("format --zonemd {algorithm} digested")).1, out);
        folder.write("changed", &out.replace("192.0.2.1", "192.0.2.2"));
        let (code, checked, _) = folder.zone("check changed");
        assert!(code == 0 && checked.contains("[zonemd]"), "{checked}");
        assert_eq!(folder.zone("check --error zonemd changed").0, 1);
    }
    folder.write(
        "signed",
        &format!("{ZONE}@ RRSIG SOA 13 2 300 20270101000000 20260101000000 1 @ AAAA\n"),
    );
    let (code, _, err) = folder.zone("format --zonemd sha384 signed");
    assert!(code == 2 && err.contains("is signed"), "{err}");
}

#[test]
fn diff_ignores_order_and_case() {
    let folder = Folder::new();
    let mut lines: Vec<&str> = ZONE.lines().skip(2).collect();
    lines.reverse();
    folder.write(
        "reversed",
        &format!("$ORIGIN EXAMPLE.org.\n$TTL 300\n{}\n", lines.join("\n").replace("WWW", "www")),
    );
    assert_eq!(folder.zone("diff zone reversed"), (0, String::new(), String::new()));

    folder.write(
        "next",
        &ZONE
            .replace("master 7", "master 8")
            .replace("192.0.2.1", "192.0.2.9")
            .replace("mail 60", "mail 61"),
    );
    let expected = "\
--- zone (example.org. 7)
+++ next (example.org. 8)
-example.org. 300 IN SOA ns1.example.org. hostmaster.example.org. 7 7200 3600 1209600 300
+example.org. 300 IN SOA ns1.example.org. hostmaster.example.org. 8 7200 3600 1209600 300
-mail.example.org. 60 IN AAAA 2001:db8::1
+mail.example.org. 61 IN AAAA 2001:db8::1
-ns1.example.org. 300 IN A 192.0.2.1
+ns1.example.org. 300 IN A 192.0.2.9
";
    assert_eq!(folder.zone("diff zone next"), (1, expected.to_owned(), String::new()));
    let (code, out, err) = folder.zone("diff next zone");
    assert!(code == 1 && out.contains("\n+ns1.example.org. 300 IN A 192.0.2.1\n"), "{out}");
    assert!(err.starts_with("warning: the serial does not increase from 8 to 7"), "{err}");
    let (code, out, _) = folder.zone("diff --ignore A,AAAA --ignore-serial zone next");
    assert_eq!((code, out.as_str()), (0, ""));
    let same = folder.zone("diff --ignore A,AAAA,SOA zone next");
    assert_eq!(same, (0, String::new(), String::new()));
    let (code, out, _) = folder.zone("diff --format json zone next");
    let diff: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &diff["equal"], &diff["to"]["serial"]), (1, &false.into(), &8.into()));
    assert_eq!(diff["added"][2]["rdata"], "192.0.2.9");

    folder.write("other", &ZONE.replace("example.org", "example.net"));
    let (code, _, err) = folder.zone("diff zone other");
    assert!(code == 2 && err.contains("two zones: `example.org.` and `example.net.`"), "{err}");
    folder.write("unfit", &format!("{ZONE}WWW A 192.0.2.4\n"));
    let (code, _, err) = folder.zone("diff zone unfit");
    assert!(code == 2 && err.starts_with("unfit:8:1: CNAME and other data"), "{err}");
}

#[test]
fn wrong_arguments_are_told_with_the_usage() {
    let folder = Folder::new();
    for (line, told) in [
        ("chekc zone", "unknown action `chekc` of `catena zone`; did you mean `check`?"),
        (
            "check --off missing-gleu zone",
            "unknown check `missing-gleu`; did you mean `missing-glue`?",
        ),
        ("check --off no-soa zone", "check `no-soa` is always an error"),
        ("diff zone", "`zone diff` needs two zones"),
    ] {
        let (code, out, err) = folder.zone(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}");
        assert!(err.starts_with(told) && err.contains("Usage of catena zone:"), "{err}");
    }
    let (code, out, err) = folder.zone("--help");
    assert_eq!((code, err.as_str()), (0, ""));
    let help = run(folder.0.path(), &["help", "zone"]);
    assert_eq!(text(&help.stdout), out);
}
