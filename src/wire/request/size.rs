//! How large the reply may be.

use super::Request;
use crate::MIN_UDP_PAYLOAD;

impl Request {
    /// The UDP payload size that the client offers, at least 512.
    #[inline]
    pub fn udp_size(&self) -> u16 {
        self.edns.map_or(MIN_UDP_PAYLOAD, |edns| edns.udp_size.max(MIN_UDP_PAYLOAD))
    }

    /// The UDP payload size that the reply announces: the client's, up to the cap.
    #[inline]
    pub fn announced_udp_size(&self) -> u16 {
        self.udp_size().min(self.udp_cap)
    }

    /// Caps UDP replies at `size` octets instead of [`crate::SAFE_UDP_PAYLOAD`], and lowers a larger offer of
    /// the client, so that the rest of the chain and upstreams see the lower one.
    #[inline]
    pub fn limit_udp_size(&mut self, size: u16) {
        self.udp_cap = size;
        if let Some(edns) = &mut self.edns
            && edns.udp_size > size
        {
            edns.udp_size = size;
            let at = edns.at + 3;
            self.buf[at..at + 2].copy_from_slice(&size.to_be_bytes());
        }
    }
}
