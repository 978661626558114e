//! The files that `import` reads and `export` writes.

pub(crate) mod env;
pub(crate) mod json;

use std::fmt;

use strongroom_backend::SecretValue;

/// One variable of a file.
pub(crate) struct Variable {
    /// Its name, which becomes the end of a reference.
    pub(crate) name: String,
    pub(crate) value: SecretValue,
}

/// What is wrong with a file: where and what, never the text that stands there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Malformed {
    pub(crate) fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}
