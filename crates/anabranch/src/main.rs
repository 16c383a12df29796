//! The anabranch binary.
fn main() {}
