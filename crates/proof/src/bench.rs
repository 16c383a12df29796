//! placeholder
use anyhow::Result;
use crate::server::Program;
#[derive(clap::Args, Clone, Debug)]
/// o
pub struct Options { /// q
#[arg(long)] pub quick: bool }
/// r
pub fn run(_:&Program,_:&Program,_:&Options)->Result<bool>{Ok(true)}
