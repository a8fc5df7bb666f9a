//! The `catena` program.
fn main() {}
