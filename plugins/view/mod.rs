//! `view`: restricts a server block to the queries for which its expressions are true.
//!
//! The server evaluates the filter before it enters the chain. In the chain the plugin only provides
//! its name as metadata. The expression language is the crate `expr`.

mod config;

use std::sync::Arc;

use chain::{CollectMetadata, Filter, Kind, Query, Roles, ServeDns, Setup, View};
use corefile::{Diagnostics, Directive};
use expr::{Expr, QueryEnvironment};

/// The `view` directive.
pub static PLUGIN: Kind =
    Kind { name: "view", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    for directive in uses {
        let config = config::parse(directive)?;
        let name: Arc<str> = config.name.into();
        let view = View {
            name: Arc::clone(&name),
            identity: config.identity,
            filter: Arc::new(Conditions(config.conditions.into())),
        };
        setup.set_view(view, directive.span);
        setup.link(Named(name));
    }
    Ok(())
}

/// All must be true.
struct Conditions(Box<[Expr]>);

impl Filter for Conditions {
    fn takes(&self, query: &Query) -> bool {
        let env = QueryEnvironment::new(query);
        // An expression that fails is false.
        self.0.iter().all(|condition| condition.is_true(&env).unwrap_or(false))
    }
}

/// Tells the name of the view.
struct Named(Arc<str>);

impl ServeDns for Named {
    fn roles(&self) -> Roles<'_> {
        Roles { metadata: Some(self), ..Roles::default() }
    }
}

impl CollectMetadata for Named {
    fn collect(&self, query: &mut Query) {
        query.set_metadata("view/name", || self.0.to_string());
    }
}
