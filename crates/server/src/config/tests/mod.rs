//! Tests of the configuration as a whole; those of one file are in that file.

mod changes;
mod differential;
mod files;
mod manual;
mod oracle;
mod rewriting;
mod rows;
