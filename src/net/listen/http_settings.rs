//! How a listener speaks HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use crate::Bound;

/// Connections of a listener, unless said otherwise: CoreDNS's number.
const MAX_CONNECTIONS: usize = 200;
/// Streams of a connection at once.
const MAX_STREAMS: u32 = 256;

/// How a listener speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The paths that are served.
    pub paths: Vec<String>,
    /// Connections of the listener at once; 0: no bound of its own.
    pub max_connections: usize,
    /// Streams of a connection at once.
    pub max_streams: u32,
    /// Addresses and prefix lengths of proxies that tell the client's address.
    pub proxies: Vec<(IpAddr, u8)>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            paths: vec!["/dns-query".to_owned()],
            max_connections: MAX_CONNECTIONS,
            max_streams: MAX_STREAMS,
            proxies: Vec::new(),
        }
    }
}

impl HttpSettings {
    /// Whether an address is that of a trusted proxy.
    pub(super) fn trusts(&self, ip: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, true),
            IpAddr::V6(ip) => (ip.to_bits(), false),
        };
        let (own, is_v4) = bits(ip.to_canonical());
        self.proxies.iter().any(|(network, len)| {
            let (network, same) = bits(*network);
            let shift = 128 - u32::from(*len);
            same == is_v4 && (own ^ network).checked_shr(shift).unwrap_or(0) == 0
        })
    }
}

/// The settings of a listener, and its connections.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) settings: HttpSettings,
    pub(super) connections: Arc<Bound>,
}

impl Http {
    pub(super) fn new(settings: HttpSettings) -> Self {
        let most = match settings.max_connections {
            0 => usize::MAX,
            most => most,
        };
        Self { settings, connections: Arc::new(Bound::new(most)) }
    }
}
