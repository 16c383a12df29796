//! The one error that later calls may resolve.

/// A name that is not there yet.
#[derive(Debug)]
pub struct Unknown(pub String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not known", self.0)
    }
}

impl std::error::Error for Unknown {}
