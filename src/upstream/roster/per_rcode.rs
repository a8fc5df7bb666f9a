//! A metric for each rcode.

use std::sync::OnceLock;

use wire::Rcode;

/// Rcodes whose metric is found without a lock; no known server sends others.
const COMMON: usize = 24;

/// One metric for each rcode, registered when the rcode first occurs.
pub struct PerRcode<T>([OnceLock<T>; COMMON]);

impl<T> Default for PerRcode<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; COMMON])
    }
}

impl<T> PerRcode<T> {
    /// Calls `update` with the metric of `rcode`. `register` gets the rcode as a label: its mnemonic, or
    /// its number, as in CoreDNS.
    #[inline]
    pub fn with(&self, rcode: Rcode, register: impl Fn(&str) -> T, update: impl FnOnce(&T)) {
        let register = || {
            let number = rcode.0.to_string();
            register(rcode.mnemonic().unwrap_or(&number))
        };
        match self.0.get(usize::from(rcode.0)) {
            Some(metric) => update(metric.get_or_init(register)),
            None => update(&register()),
        }
    }
}
