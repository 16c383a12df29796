//! Transactions by consensus, over a simulated network: whatever it does, and wherever nodes crash, at most one of competitors
//! commits, and everybody agrees.

mod cluster;
mod exhaustive;
mod forks;
mod leaders;
mod memory;
mod plain;
mod rng;
mod schedules;
