//! Tests of sealing: what goes in comes out, and nothing else ever does.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod damage;
mod golden;
mod keys;
mod roundtrip;
mod support;
