//! The template of one record: evaluated once if its result is constant, otherwise for each query.

use gotemplate::{Error, Template};
use wire::{Name, Reply, Section};
use zone::master::{self, OwnedRecord};

use super::data::{self, Data};

/// One record of a stanza.
pub(super) struct Body {
    pub(super) section: Section,
    /// The text as Go prints it: a label of the metrics.
    pub(super) source: String,
    made: Made,
    adapted: Option<String>,
}

enum Made {
    /// The result is the same for all queries.
    Once(Result<OwnedRecord, String>),
    ForEach(Template),
}

/// Why no record was made.
pub(super) enum Trouble {
    /// The template failed.
    Template(String),
    /// Its output is not a record.
    Record(String),
}

impl Body {
    /// Parses the text.
    ///
    /// # Errors
    /// The syntax is not Go's.
    pub(super) fn new(text: &str, section: Section) -> Result<Self, Error> {
        let program = Template::parse(text)?;
        let source = program.source();
        let mut adapted = None;
        let made = match program.literal() {
            Some(text) => {
                let mut record = None;
                let read = first_record(text, &mut |found| record = Some(OwnedRecord::from(found)));
                let why = match read {
                    Ok(what) => {
                        adapted = what;
                        String::new()
                    }
                    Err(why) => why,
                };
                Made::Once(record.ok_or(why))
            }
            None => Made::ForEach(program),
        };
        Ok(Self { section, source, made, adapted })
    }

    /// The reason why the text can never be a record.
    pub(super) fn broken(&self) -> Option<&str> {
        match &self.made {
            Made::Once(Err(why)) => Some(why),
            _ => None,
        }
    }

    /// The warning about a constant text that is read otherwise than it is written.
    pub(super) fn adapted(&self) -> Option<&str> {
        self.adapted.as_deref()
    }

    /// The fields that the data does not have, with their places.
    pub(super) fn unknown_fields(&self) -> Vec<(&str, usize)> {
        match &self.made {
            Made::Once(_) => Vec::new(),
            Made::ForEach(program) => {
                let mut fields = program.fields();
                fields.retain(|(name, _)| !data::FIELDS.contains(name));
                fields
            }
        }
    }

    /// Whether the record depends on the query.
    pub(super) fn needs_data(&self) -> bool {
        matches!(self.made, Made::ForEach(_))
    }

    /// Writes the record. Returns its RDATA if it is an alias. Without data only constant records are
    /// written.
    pub(super) fn push(
        &self,
        data: Option<&Data<'_>>,
        text: &mut String,
        reply: &mut Reply,
    ) -> Result<Option<wire::name::NameBuf>, Trouble> {
        let mut alias = None;
        let mut take = |record: zone::RecordRef<'_>| {
            if record.rtype == wire::Rtype::CNAME {
                let mut target = wire::name::NameBuf::new();
                alias = target.push_name(record.rdata).is_ok().then_some(target);
            }
            reply.push(self.section, record.into());
        };
        match (&self.made, data) {
            (Made::Once(Ok(record)), _) => take(record.as_ref()),
            (Made::Once(Err(why)), _) => return Err(Trouble::Record(why.clone())),
            (Made::ForEach(program), Some(data)) => {
                text.clear();
                data.run(program, text).map_err(|error| {
                    let at = error.at;
                    Trouble::Template(format!(
                        "template: {}:1:{at}: {}",
                        self.word(),
                        error.message
                    ))
                })?;
                first_record(text, &mut take).map_err(Trouble::Record)?;
            }
            (Made::ForEach(_), None) => {
                return Err(Trouble::Template("there is no data".to_owned()));
            }
        }
        Ok(alias)
    }

    /// The name of the section in metrics and messages.
    pub(super) fn word(&self) -> &'static str {
        match self.section {
            Section::Answer => "answer",
            Section::Authority => "authority",
            Section::Additional => "additional",
        }
    }
}

/// Parses the first record of a text in zone file syntax. Returns its warnings.
///
/// # Errors
/// The text is no record.
fn first_record(
    text: &str,
    take: &mut dyn FnMut(zone::RecordRef<'_>),
) -> Result<Option<String>, String> {
    let root = Name::root();
    let mut options = master::Options::new(&root);
    options.default_ttl = Some(master::FALLBACK_TTL);
    let mut any = false;
    let read = master::parse_text(text, &options, &mut |record| {
        if any {
            return Err("more than one record".to_owned());
        }
        any = true;
        take(record);
        Ok(())
    });
    match read {
        Ok(warnings) if any => Ok(warnings.into_iter().next().map(|warning| warning.message)),
        _ if any => Ok(None),
        Err(errors) => {
            let first = errors.into_iter().next();
            Err(first.map_or_else(String::new, |error| error.message))
        }
        Ok(_) => Err("no record found".to_owned()),
    }
}
