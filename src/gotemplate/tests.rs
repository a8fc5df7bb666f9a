//! Templates, and the output of Go for them.

use super::*;
use std::borrow::Cow;

/// Data as a query would give it.
struct Sample {
    question: Question,
}

struct Question;

impl<'a> Object<'a> for Sample {
    fn type_name(&self) -> &'static str {
        "*main.data"
    }

    fn member(&'a self, name: &str) -> Option<Member<'a>> {
        let texts =
            |texts: &[&'static str]| List::of_texts(texts.iter().map(|&t| Cow::Borrowed(t)));
        Some(Member::Field(match name {
            "Name" => Value::text("www.example.org."),
            "Empty" => Value::text(""),
            "Match" => Value::List(texts(&["www.example.", "www", "10"])),
            "None" => Value::List(texts(&[])),
            "Group" => Value::Map(Map {
                entries: [("0", "www"), ("1", "10"), ("a", "10"), ("h", "0a")]
                    .map(|(key, value)| (Cow::Borrowed(key), Value::text(value)))
                    .into(),
                of: Of::Text,
            }),
            "Var" => Value::Map(Map {
                entries: [("f", Value::Float(1.5)), ("n", Value::Int(7)), ("t", Value::text("x"))]
                    .map(|(key, value)| (Cow::Borrowed(key), value))
                    .into(),
                of: Of::Any,
            }),
            "Question" => Value::Object(&self.question),
            "Meta" => return Some(Member::LookUp),
            _ => return None,
        }))
    }

    fn look_up(&'a self, _: &str, label: &str) -> Value<'a> {
        Value::Text(Cow::Owned(format!("<{label}>")))
    }
}

impl<'a> Object<'a> for Question {
    fn type_name(&self) -> &'static str {
        "*main.question"
    }

    fn member(&'a self, name: &str) -> Option<Member<'a>> {
        Some(match name {
            "Qtype" => Member::Field(Value::Uint(28, 16)),
            "String" => Member::Getter(Value::text(";q")),
            _ => return None,
        })
    }

    fn text(&'a self) -> Option<String> {
        Some(";q".to_owned())
    }
}

fn evaluate(body: &str) -> Result<String, Error> {
    let program = Template::parse(body)?;
    let sample = Sample { question: Question };
    let mut out = String::new();
    program.run(&sample, &mut out)?;
    Ok(out)
}

/// The cases of `cases.txt`, which says how they are written.
#[test]
fn bodies_are_evaluated_as_in_go() {
    let mut body = String::new();
    let mut source = String::new();
    let mut cases = 0;
    for line in include_str!("cases.txt").lines().skip_while(|line| !line.is_empty()) {
        let Some((mark, text)) = line.split_once(' ') else { continue };
        let text = unescape(text);
        match mark {
            ">" => {
                source.clone_from(&text);
                body = text;
                cases += 1;
            }
            "=" => {
                assert_eq!(evaluate(&body), Ok(text), "{body}");
                source = Template::parse(&body).map(|program| program.source()).unwrap_or_default();
            }
            "!" => {
                let message = evaluate(&body).map_err(|error| error.message);
                assert_eq!(message, Err(text), "{body}");
            }
            "~" => assert_eq!(source, text, "{body}"),
            _ => panic!("{line}"),
        }
    }
    assert!(cases > 150, "only {cases} cases");
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        out.push(match next {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                other => other.unwrap_or_default(),
            },
            next => next,
        });
    }
    out
}

#[test]
fn everything_is_bounded() {
    let message = |body: &str| evaluate(body).unwrap_err().message;
    assert_eq!(message("{{ range 100000 }}{{ end }}"), "the template takes more than 20000 steps");
    let doubling = r#"{{ $x := "ab" }}{{ range 20 }}{{ $x = print $x $x }}{{ end }}{{ $x }}"#;
    let long = "error calling print: the text is longer than 65536 bytes";
    assert_eq!(message(doubling), long);
    let forever = r#"{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}"#;
    assert_eq!(message(forever), "templates are nested more than 50 levels deep");
    let writes = r#"{{ range 10000 }}{{ printf "%100d" 1 }}{{ end }}"#;
    assert_eq!(message(writes), "the text is longer than 65536 bytes");
    let wide = r#"{{ printf "%999999d" 1 | len }}"#;
    assert_eq!(message(wide), "error calling printf: the text is longer than 65536 bytes");
    for verb in ["%.70000f", "%.70000e", "%.70000U", "%.70000d"] {
        let value = if verb.ends_with(['f', 'e']) { "1.5" } else { "5" };
        let body = format!(r#"{{{{ printf "{verb}" {value} }}}}"#);
        assert_eq!(message(&body), "error calling printf: the text is longer than 65536 bytes");
    }
    assert_eq!(evaluate(r#"{{ printf "%.70000g" 1.5 }}"#).as_deref(), Ok("1.5"));
    let escapes = format!(r#"{{{{ "\\" {} }}}}"#, "| js ".repeat(40));
    let long = "error calling js: the text is longer than 65536 bytes";
    assert_eq!(message(&escapes), long);
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200));
    assert_eq!(message(&deep), "this is nested more than 100 levels deep");
    let deep = "{{ if 1 }}".repeat(200);
    assert_eq!(message(&deep), "this is nested more than 100 levels deep");
}

#[test]
fn mistakes_have_their_place() {
    let at = |body: &str| evaluate(body).unwrap_err().at;
    assert_eq!(at("a {{ .Nope }}"), 5);
    assert_eq!(at("a {{ print (.Match.X) }}"), 12);
    assert_eq!(at("a {{ nope .Name }}"), 5);
    assert_eq!(at("a {{ if .Name }} b"), 5);
    assert_eq!(at("a {{ end }}"), 5);
    assert_eq!(at("a {{ .Name | 1 }}"), 13);
    assert_eq!(at("a {{ $x }}"), 5);
    let hint = evaluate("{{ prrintf 1 }}").unwrap_err().hint;
    assert_eq!(hint.as_deref(), Some("did you mean `printf`?"));
}

#[test]
fn fields_of_the_data_are_known_where_they_are_sure() {
    let program = Template::parse(
        "{{ .A.B }}{{ with .C }}{{ .D }}{{ $.E }}{{ else }}{{ print (.F) }}{{ end }}",
    );
    let program = program.unwrap();
    let names: Vec<&str> = program.fields().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["A", "C", "E", "F"]);
}

#[test]
fn nesting_fits_the_stack() {
    // A test's thread has the stack of a worker.
    let body = |blocks: usize, parens: usize| {
        let (open, close) = ("{{ if 1 }}".repeat(blocks), "{{ end }}".repeat(blocks));
        let pipe = format!("{}1{}", "(print ".repeat(parens), ")".repeat(parens));
        format!(
            r#"{{{{ define "x" }}}}{open}{{{{ {pipe} }}}}{{{{ template "x" }}}}{close}{{{{ end }}}}{{{{ template "x" }}}}"#
        )
    };
    let message = |body: &str| evaluate(body).unwrap_err().message;
    for (blocks, parens) in [(99, 0), (20, 70), (10, 80), (5, 90)] {
        let body = body(blocks, parens);
        assert_eq!(message(&body), "the evaluation nests more than 200 levels deep");
    }
    assert_eq!(message(&body(1, 1)), "templates are nested more than 50 levels deep");
}
