//! `root`: the directory that relative paths of the block refer to.
//!
//! It only sets a setting. It never opens a file and never sees a query.

mod config;

use std::io::ErrorKind;

use chain::{Kind, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};

/// The `root` directive.
pub static PLUGIN: Kind =
    Kind { name: "root", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let Some((path, span)) = config::parse(uses)? else {
        return Ok(());
    };
    // Relative to where the server starts, which the settings say before any plugin.
    let path = setup.root().join(path);
    if let Err(problem) = std::fs::metadata(&path) {
        let shown = path.display();
        if problem.kind() != ErrorKind::NotFound {
            let message = format!("unable to access root path `{shown}`: {problem}");
            return Err(Diagnostic::error(span, message)
                .label("this directory is not accessible")
                .help("give a directory that the server can access")
                .into());
        }
        // The directory may appear later; the plugins that need a file in it say so themselves.
        let warning = Diagnostic::warning(span, format!("root path does not exist: `{shown}`"))
            .label("no such directory")
            .help("create the directory, or give another one");
        setup.warn(warning);
    }
    setup.set_root(path, span);
    Ok(())
}
