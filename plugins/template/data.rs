//! The data that templates can use: the query, and the groups that the expression captured from its
//! name.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;

use exchange::Query;
use gotemplate::{Error, List, Map, Member, Object, Of, Template, Value};
use wire::name;

use super::condition::{Conditions, Values};
use super::pattern::Pattern;

/// The fields and methods of the data.
pub(super) const FIELDS: &[&str] = &[
    "Class", "Group", "Match", "Message", "Meta", "Name", "Question", "Regex", "Remote", "Type",
    "Var", "Zone",
];

/// The data of one query.
pub(super) struct Data<'q> {
    pub(super) query: &'q Query,
    pub(super) zone: &'q str,
    /// The name asked for in lower case.
    pub(super) name: &'q str,
    pub(super) pattern: &'q Pattern,
    pub(super) class: &'q str,
    pub(super) qtype: &'q str,
    pub(super) conditions: &'q Conditions,
    /// Of the variables.
    pub(super) values: &'q Values,
}

impl Data<'_> {
    /// Writes what `program` makes of the data.
    pub(super) fn run(&self, program: &Template, out: &mut String) -> Result<(), Error> {
        let root = Root {
            data: self,
            message: Message { query: self.query, question: Question { query: self.query } },
            captures: OnceCell::new(),
        };
        program.run(&root, out)
    }
}

/// The data with what is found out only if a body asks.
struct Root<'d> {
    data: &'d Data<'d>,
    message: Message<'d>,
    captures: OnceCell<Captures<'d>>,
}

struct Captures<'d> {
    list: List<'d>,
    groups: Map<'d>,
}

impl<'d> Root<'d> {
    fn captures(&self) -> &Captures<'d> {
        self.captures.get_or_init(|| {
            let data = self.data;
            let found = data.pattern.captures(data.name);
            let entries: Vec<_> = data
                .pattern
                .groups()
                .iter()
                .map(|(key, group)| {
                    let text = found.get(*group).copied().unwrap_or_default();
                    (Cow::Borrowed(key.as_str()), Value::text(text))
                })
                .collect();
            Captures {
                list: List::of_texts(found.iter().map(|&text| Cow::Borrowed(text))),
                groups: Map { entries: entries.into(), of: Of::Text },
            }
        })
    }
}

impl<'d> Object<'d> for Root<'d> {
    fn type_name(&self) -> &'static str {
        "*template.templateData"
    }

    fn member(&'d self, name: &str) -> Option<Member<'d>> {
        let data = self.data;
        Some(Member::Field(match name {
            "Zone" => Value::text(data.zone),
            "Name" => Value::text(data.name),
            "Regex" => Value::text(data.pattern.as_str()),
            "Match" => Value::List(self.captures().list.clone()),
            "Group" => Value::Map(self.captures().groups.clone()),
            "Class" => Value::text(data.class),
            "Type" => Value::text(data.qtype),
            "Message" => Value::Object(&self.message),
            "Question" => Value::Object(&self.message.question),
            "Remote" => {
                Value::Text(Cow::Owned(data.query.client.peer.ip().to_canonical().to_string()))
            }
            "Var" => Value::Map(data.conditions.shown(data.values)),
            "Meta" => return Some(Member::LookUp),
            _ => return None,
        }))
    }

    fn look_up(&'d self, _: &str, label: &str) -> Value<'d> {
        Value::text(self.data.query.metadata(label).unwrap_or_default())
    }
}

/// The header and the question of the message.
struct Message<'d> {
    query: &'d Query,
    question: Question<'d>,
}

impl<'d> Object<'d> for Message<'d> {
    fn type_name(&self) -> &'static str {
        "*dns.Msg"
    }

    fn member(&'d self, name: &str) -> Option<Member<'d>> {
        let query = self.query;
        let flag = |byte: usize, bit: u8| {
            Value::Bool(query.bytes().get(byte).is_some_and(|flags| flags & bit != 0))
        };
        Some(Member::Field(match name {
            "Id" => Value::Uint(u64::from(query.id()), 16),
            "Response" => flag(2, 0x80),
            "Opcode" => Value::Int(i64::from(query.opcode().0)),
            "Authoritative" => flag(2, 0x04),
            "Truncated" => flag(2, 0x02),
            "RecursionDesired" => Value::Bool(query.recursion_desired()),
            "RecursionAvailable" => flag(3, 0x80),
            "Zero" => flag(3, 0x40),
            "AuthenticatedData" => Value::Bool(query.authentic_data()),
            "CheckingDisabled" => Value::Bool(query.checking_disabled()),
            "Rcode" => Value::Int(query.bytes().get(3).map_or(0, |flags| i64::from(flags & 0x0F))),
            "Compress" => Value::Bool(false),
            "MsgHdr" => Value::Object(self),
            "Question" => {
                let items: Rc<[Value<'d>]> = Rc::new([Value::Object(&self.question)]);
                Value::List(List { items, of: Of::Objects("dns.Question") })
            }
            _ => return None,
        }))
    }
}

/// The question, as the client wrote it.
struct Question<'d> {
    query: &'d Query,
}

impl<'d> Object<'d> for Question<'d> {
    fn type_name(&self) -> &'static str {
        "*dns.Question"
    }

    fn member(&'d self, name: &str) -> Option<Member<'d>> {
        let query = self.query;
        Some(match name {
            "Name" => Member::Field(Value::Text(Cow::Owned(self.name()))),
            "Qtype" => Member::Field(Value::Uint(u64::from(query.qtype().0), 16)),
            "Qclass" => Member::Field(Value::Uint(u64::from(query.qclass().0), 16)),
            "String" => Member::Getter(Value::Text(Cow::Owned(self.text().unwrap_or_default()))),
            _ => return None,
        })
    }

    fn text(&'d self) -> Option<String> {
        let query = self.query;
        Some(format!(";{}\t{}\t {}", self.name(), query.qclass(), query.qtype()))
    }
}

impl Question<'_> {
    fn name(&self) -> String {
        name::Text(self.query.original_name()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_up() {
        let mut query = Query::new();
        let from = Query::new();
        query.make_subquery(&from, b"\x01a\x00", wire::Rtype::A, false);
        query.collect_metadata();
        query.set_metadata("test/label", || "value".to_owned());
        let data = Data {
            query: &query,
            zone: ".",
            name: "a.",
            pattern: &Pattern::all(),
            class: "IN",
            qtype: "A",
            conditions: &Conditions::new(),
            values: &Vec::new(),
        };
        let mut out = String::new();
        let program = Template::parse(r#"{{ .Meta "test/label" }},{{ "none" | .Meta }}"#).unwrap();
        data.run(&program, &mut out).unwrap();
        assert_eq!(out, "value,");
    }
}
