//! Wide columns: how a collection becomes rows, and rows become its parts again.

pub use kind::{Kind, Tag, tag};

mod kind;
