//! What can go wrong in here, and how the broker is told.

use std::io;
use std::path::{Path, PathBuf};

use strongroom_backend::{Error, ErrorKind};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why a store could not answer. No text holds a value, or a piece of a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Config(String),
    /// What was there a moment ago is not any more, or is another: looking again may help.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    #[error("{}: {text}", path.display())]
    Damaged { path: PathBuf, text: String },
    #[error("{what} {}: {source}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot find {}", .0.display())]
    Gone(PathBuf),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    Refused(String),
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
}

impl Fault {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Io {
            what,
            path: path.to_owned(),
            source: errno.into(),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Config,
            Self::Changed(_) | Self::Gone(_) => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unavailable,
            },
            Self::Limit(_) => ErrorKind::Failed,
            Self::Missing(_) => ErrorKind::NotFound,
            Self::Refused(_) => ErrorKind::PermissionDenied,
            Self::TooLarge { limit, .. } => ErrorKind::TooLarge(*limit),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let (kind, text) = (fault.kind(), fault.to_string());
        match fault {
            Fault::Io { source, .. } => Self::new(kind, text).with_source(source),
            _ => Self::new(kind, text),
        }
    }
}
