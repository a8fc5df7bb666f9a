//! One configuration as it is served: a router per listener.

use std::sync::Arc;

use wire::Endpoint;

use super::router::Router;

/// The routers, by the number of their listener.
pub(crate) struct Config {
    routers: Vec<Arc<Router>>,
    none: Arc<Router>,
}

impl Config {
    /// A configuration with these routers.
    pub(crate) fn new(routers: Vec<Arc<Router>>) -> Self {
        Self { routers, none: Arc::default() }
    }

    /// The router of a listener. One that this configuration does not have is being closed and
    /// refuses what still arrives.
    #[inline]
    pub(crate) fn router(&self, site: u16) -> &Router {
        self.routers.get(usize::from(site)).unwrap_or(&self.none)
    }
}

/// Numbers listeners, the same endpoint always alike: a listener that lives through a reload keeps
/// its number.
#[derive(Default)]
pub(crate) struct ListenerIds(Vec<Endpoint>);

impl ListenerIds {
    /// The number of the listener on `endpoint`.
    pub(crate) fn of(&mut self, endpoint: Endpoint) -> u16 {
        let known = self.0.iter().position(|known| *known == endpoint);
        let number = known.unwrap_or_else(|| {
            self.0.push(endpoint);
            self.0.len() - 1
        });
        number as u16
    }

    /// How many numbers are given.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
