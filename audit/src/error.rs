use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error as ThisError;

/// Why a log could not be opened, read, repaired or ended.
///
/// No text holds key material or a secret's value.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Something stands where `init` would have to write.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file or folder that the log cannot trust: its type, owner or mode.
    #[error("{}: {why}", path.display())]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        why: String,
    },
    /// The log was deleted; only `resume` begins a new one.
    #[error("the audit log {} is missing; put it back, or begin anew with `strongroom audit resume`", .0.display())]
    Missing(PathBuf),
    /// The log is not what its head claims.
    #[error("the audit log was tampered with or damaged: {0}")]
    Tampered(String),
    /// `resume` found nothing to mend.
    #[error("the audit log is whole; there is nothing to resume")]
    Healthy,
    /// A key, checkpoint or head that cannot be read.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// The log cannot be written now; it goes on by itself once mended.
    #[error("the audit log is unavailable: {0}")]
    Unavailable(Arc<str>),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn untrusted(path: &Path, why: impl Into<String>) -> Self {
        Self::Untrusted {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn malformed(path: &Path, why: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn tampered(why: impl Into<String>) -> Self {
        Self::Tampered(why.into())
    }
}

/// Why a record was not taken. Whatever it would have released must not be released.
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum AppendError {
    /// The journal, or the principal's share of it, is full: wait with
    /// [`Log::ready`](crate::Log::ready), then try again.
    #[error("the audit journal is full")]
    Full,
    /// No record can be written; the text tells the operator why.
    #[error("the audit log is unavailable: {0}")]
    Unavailable(Arc<str>),
}
