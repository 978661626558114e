//! What can go wrong in here, and how the broker is told.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use strongroom_backend::{Error, ErrorKind};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Why an operation on the store did not succeed. No text holds a value or key material.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Answer(#[from] Error),
    #[error("the store is damaged or was tampered with: {0}; restore it from a backup")]
    Damaged(&'static str),
    #[error("the store is damaged or was tampered with: {0}; restore it from a backup")]
    DamagedAt(String),
    #[error("{0}")]
    Config(String),
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the key does not open this store: it is the key of another store, or was replaced")]
    WrongKey,
    #[error("the passphrase does not open this store")]
    WrongPassphrase,
    #[error(
        "the store was given a new key source since this process opened it; restart with that source"
    )]
    Rekeyed,
    #[error("the store has format {found}, this program reads format {known}: use a newer version")]
    NewerFormat { found: u32, known: u32 },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Busy(&'static str),
    #[error("SQLite could not do it")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the operating system gives no random bytes")]
    Random(#[from] getrandom::Error),
    #[error("{0}")]
    Limit(&'static str),
    #[error("a write to the store was broken off")]
    Broken,
}

impl Fault {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// The error that callers outside get; `store` is named where its disk is what failed.
    pub(crate) fn at(self, store: &Path) -> Error {
        match self {
            Self::Sqlite(error) => sqlite(error, store),
            other => other.into(),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer(error) => error.kind(),
            Self::Damaged(_) | Self::DamagedAt(_) => ErrorKind::Damaged,
            Self::Config(_) => ErrorKind::Config,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::Config,
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unavailable,
            },
            Self::WrongKey | Self::WrongPassphrase | Self::Rekeyed => ErrorKind::Unauthenticated,
            Self::NewerFormat { .. } => ErrorKind::Unsupported,
            Self::Refused(_) => ErrorKind::PermissionDenied,
            Self::Busy(_) | Self::Random(_) => ErrorKind::Unavailable,
            Self::Sqlite(_) | Self::Limit(_) | Self::Broken => ErrorKind::Failed,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answer(error) => error,
            Fault::Sqlite(error) => sqlite(error, Path::new("the store")),
            other => {
                let kind = other.kind();
                match other {
                    Fault::Io { what, path, source } => {
                        Self::new(kind, format!("{what} {}: {source}", path.display()))
                            .with_source(source)
                    }
                    other => Self::new(kind, other.to_string()),
                }
            }
        }
    }
}

fn sqlite(error: rusqlite::Error, store: &Path) -> Error {
    let store = store.display();
    let (kind, text) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Unavailable,
            format!("the disk of {store} is full: nothing was changed, make room and try again"),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Unavailable,
            format!("{store} is in use by another program: try again"),
        ),
        Some(ErrorCode::SystemIoFailure) => (
            ErrorKind::Unavailable,
            format!("the disk of {store} fails: look at the system's log"),
        ),
        Some(ErrorCode::CannotOpen) => {
            (ErrorKind::Unavailable, format!("{store} cannot be opened"))
        }
        Some(ErrorCode::OutOfMemory) => (
            ErrorKind::Unavailable,
            "there is not enough memory".to_owned(),
        ),
        Some(ErrorCode::ReadOnly) => (
            ErrorKind::PermissionDenied,
            format!("{store} cannot be written, or was replaced while it was open"),
        ),
        Some(ErrorCode::PermissionDenied) => (
            ErrorKind::PermissionDenied,
            format!("{store} may not be opened"),
        ),
        // What is left are statements that do not fit the tables, and rows that do not fit the
        // statements: our statements are constant, so the file is what changed.
        _ => (
            ErrorKind::Damaged,
            format!("{store} is damaged or was tampered with: restore it from a backup"),
        ),
    };
    Error::new(kind, text).with_source(error)
}
