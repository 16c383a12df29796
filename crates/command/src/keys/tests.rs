//! The family against itself (what was logged is what was there) and against a real Redis.

mod at_rest;
mod behaviour;
mod caches;
mod random;
