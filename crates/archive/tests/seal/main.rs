//! Tests of sealing: what goes in comes out, and nothing else ever does.

mod damage;
mod golden;
mod keys;
mod roundtrip;
mod support;
