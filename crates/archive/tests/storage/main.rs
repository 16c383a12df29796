//! Tests of storage: one suite for all places, and what is special of each.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod cloud;
mod directory;
mod http;
mod http_hostile;
mod memory;
mod s3;
mod sealed;
mod server;
mod service;
mod suite;
mod tls;
mod url;
