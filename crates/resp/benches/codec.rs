//! What parsing a command and writing a reply cost.
#![allow(missing_docs)]
fn main() {}
