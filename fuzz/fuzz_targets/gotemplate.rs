//! A template: its printed form is the same template, and an evaluation stays within its bounds.
#![no_main]

use std::borrow::Cow;

use gotemplate::{Error, List, MAX_OUTPUT, Map, Member, Object, Of, Template, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(template) = Template::parse(text) else { return };
    let made = evaluate(&template, text);
    let printed = template.source();
    // As in Go, a brace before an action, and two texts that only a comment or a definition
    // separates, make other delimiters when they are printed.
    if printed.contains("{{{") || ["/*", "define"].iter().any(|word| text.contains(word)) {
        return;
    }
    let again = Template::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error:?}"));
    assert_eq!(again.source(), printed);
    assert_eq!(again.literal(), template.literal());
    let names = |template: &Template| -> Vec<String> {
        template.fields().iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    assert_eq!(names(&again), names(&template));
    // The printed form leaves out the body of a block.
    if !text.contains("block") {
        assert_eq!(evaluate(&again, &printed), made, "printed as {printed}");
    }
});

/// The output and the message of the error, if any.
fn evaluate(template: &Template, text: &str) -> (String, Option<String>) {
    let mut out = String::new();
    let done = template.run(&Data, &mut out);
    // The piece that exceeds the bound is the last one.
    let last = if done.is_ok() { 0 } else { text.len().max(MAX_OUTPUT) };
    assert!(out.len() <= MAX_OUTPUT + last, "{} bytes", out.len());
    if let (Some(literal), Ok(())) = (template.literal(), &done) {
        assert_eq!(literal, out);
    }
    (out, done.err().map(|Error { message, .. }| message))
}

/// One field of each type.
struct Data;

impl<'a> Object<'a> for Data {
    fn type_name(&self) -> &'static str {
        "data"
    }

    fn member(&'a self, name: &str) -> Option<Member<'a>> {
        let entries = [("a", Value::Float(1.5)), ("b", Value::Int(-7)), ("c", Value::text("x"))];
        Some(Member::Field(match name {
            "T" => Value::text("www.example.org."),
            "U" => Value::Uint(28, 16),
            "L" => {
                Value::List(List::of_texts(["www", "10", "\u{fc}"].map(Cow::Borrowed).into_iter()))
            }
            "M" => Value::Map(Map {
                entries: entries.map(|(key, value)| (Cow::Borrowed(key), value)).into(),
                of: Of::Any,
            }),
            "N" => Value::None,
            "O" => Value::Object(self),
            "G" => return Some(Member::Getter(Value::Bool(true))),
            "F" => return Some(Member::LookUp),
            _ => return None,
        }))
    }

    fn look_up(&'a self, _: &str, argument: &str) -> Value<'a> {
        Value::Text(Cow::Owned(argument.to_uppercase()))
    }

    fn text(&'a self) -> Option<String> {
        Some("data".to_owned())
    }
}
