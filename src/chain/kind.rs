//! How a plugin declares itself.

use corefile::{Diagnostics, Directive};

use crate::Setup;

/// A plugin as the registry sees it. [`Kind::DEFAULT`] gives the fields that most plugins leave out.
pub struct Kind {
    /// The directive's name.
    pub name: &'static str,
    /// Its README: `catena help` shows it.
    pub doc: &'static str,
    /// Whether a server block may use it only once.
    pub once: bool,
    /// Whether it answers queries from its own data or an upstream's: `catena check` warns where the
    /// order of such plugins may surprise.
    pub answers: bool,
    /// Turns the directives of one server block (all of this name, in order) into links and
    /// settings.
    ///
    /// Errors: everything that is wrong with them, each with its place.
    pub setup: fn(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics>,
    /// Registers the metrics that are exposed, at zero, even if no server block uses the plugin:
    /// dashboards and alerts of CoreDNS's operators rely on these series.
    pub baseline_metrics: fn(),
    /// Whether it sets up listeners only: the body of a listener inside a server block may have it, too.
    pub listener: bool,
    /// What the plugin does where there is no Corefile, if it is part of the configuration that serves
    /// then: `every name is answered by …`.
    pub without_corefile: Option<&'static str>,
}

impl Kind {
    /// A directive that may be repeated and does nothing.
    pub const DEFAULT: Self = Self {
        name: "",
        doc: "",
        once: false,
        answers: false,
        setup: |_, _| Ok(()),
        baseline_metrics: || (),
        listener: false,
        without_corefile: None,
    };
}
