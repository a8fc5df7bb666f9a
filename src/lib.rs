//! Catena: a pluggable DNS server.
