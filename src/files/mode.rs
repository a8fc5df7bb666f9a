//! The modes of files that we write.

/// The mode of a file that only its owner reads: queries of clients, keys.
pub const PRIVATE: u32 = 0o600;
/// The mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;
