//! The TSIG keys of the block, for the plugin that defines them and for those that use them.

use std::sync::Arc;

use corefile::{Diagnostic, Span, Token};
use wire::Name;

use super::Setup;
use crate::settings::{BlockKeys, KeyRef};

impl Setup<'_> {
    /// Verifies signed queries with these keys, and signs the replies to them.
    pub fn set_keys(&mut self, keys: Arc<BlockKeys>, span: Span) {
        self.settings.block.keys = self.setting(keys, span);
    }

    /// The keys of the block. The plugin that defines them runs before all that use them.
    pub fn tsig_keys(&self) -> Option<&Arc<BlockKeys>> {
        self.settings.block.keys.as_ref().map(|keys| &keys.value)
    }

    /// The key of the block that `token` names, for a query's ACL or for messages of our own.
    ///
    /// # Errors
    /// The token is no name, or the block has no such key.
    pub fn tsig_key(&self, token: &Token) -> Result<KeyRef, Diagnostic> {
        let text = token.as_str();
        let name = Name::from_text(text).map_err(|problem| {
            Diagnostic::error(token.span, format!("`{text}` is not the name of a key: {problem}"))
                .label("expected a domain name")
                .help("write the name of a key that `tsig` in this server block defines")
        })?;
        let unknown =
            Diagnostic::error(token.span, format!("no key `{text}` in this server block"));
        let Some(keys) = self.tsig_keys() else {
            return Err(unknown
                .label("this server block has no `tsig`")
                .help(format!("add `tsig {{ secret {text} SECRET }}` to the server block")));
        };
        let known = keys.load();
        if known.get(&name).is_some() {
            return Ok(KeyRef::new(&name, Arc::clone(keys)));
        }
        let names: Vec<String> = known.iter().map(|key| key.name().to_string()).collect();
        let near =
            corefile::nearest(&name.to_lower().to_string(), names.iter().map(String::as_str))
                .map(str::to_owned);
        let unknown = match names.len() {
            0 => unknown.label("`tsig` of this server block defines no keys"),
            1..=8 => unknown.label(format!("`tsig` defines {}", names.join(", "))),
            count => unknown.label(format!("`tsig` defines {count} others")),
        };
        Err(match near {
            Some(near) => unknown.help(format!("did you mean `{near}`?")),
            None => unknown.help(format!("add `secret {text} SECRET` to `tsig`")),
        })
    }
}
