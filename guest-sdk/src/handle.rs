//! Holding a secret without seeing it.

use crate::Error;
use crate::bindings::strongroom::vault::handle as wit;

/// A capability to one version of one secret.
///
/// Holding it does not bring the bytes into the component. Every use is decided again and audited,
/// so a grant that is taken away ends it at once. Dropping it closes it at the host.
#[derive(Debug)]
pub struct Secret(wit::Secret);

impl Secret {
    /// Opens the current version. Needs `read` or `use-http`.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no current version.
    pub fn open(reference: &str) -> Result<Self, Error> {
        Ok(Self(wit::Secret::open(reference)?))
    }

    /// The version that it holds; 0 where the vault's backend keeps no versions.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// The bytes of that version. Needs `read`, at the time of this call.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] where the grant is gone, [`Error::NotFound`] where the version is.
    pub fn reveal(&self) -> Result<crate::Secret, Error> {
        Ok(self.0.reveal()?.into())
    }

    /// A token that stands for the value in this component's outgoing HTTP requests. Needs `use-http`.
    ///
    /// The host puts the value in its place, in the headers of requests to the hosts that the grant
    /// names. Anywhere else, and outside this instance, it is worthless.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] without a grant; [`Error::Unsupported`] where the host has no such HTTP.
    pub fn placeholder(&self) -> Result<String, Error> {
        Ok(self.0.placeholder()?)
    }
}
