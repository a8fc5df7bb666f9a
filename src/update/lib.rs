//! Dynamic updates of zones (RFC 2136).
