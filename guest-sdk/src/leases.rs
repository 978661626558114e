//! Short-lived credentials, made when asked for.

use std::time::{Duration, SystemTime};

use crate::bindings::strongroom::vault::leases as wit;
use crate::{Error, Secret, time};

/// A credential that lives as long as this value, at most.
///
/// Dropping it, or the end of the component's instance, revokes the credential.
#[derive(Debug)]
#[must_use = "dropping a lease revokes its credential"]
pub struct Lease(wit::Lease);

impl Lease {
    /// Asks a role, `[<vault-id>:]<role>`, for a credential. Needs `lease`.
    ///
    /// Without a time to live the role's own holds. It is rounded up to whole seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no such role,
    /// [`Error::InvalidArgument`] for a time to live over the role's limit.
    pub fn acquire(role: &str, ttl: Option<Duration>) -> Result<Self, Error> {
        Ok(Self(wit::Lease::acquire(
            role,
            ttl.map(time::whole_seconds),
        )?))
    }

    /// Its id, as the audit trail has it.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The credential itself: `username`, `password`, or what else the role's engine defines.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] where the grant is gone, [`Error::NotFound`] where the lease is over.
    pub fn credentials(&self) -> Result<Credentials, Error> {
        let fields = self.0.credentials()?;
        Ok(Credentials(
            fields
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
        ))
    }

    /// When it ends unless it is renewed.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        time::from_wit(self.0.expires())
    }

    /// Asks for `ttl` from now, and returns the end that was granted.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::NotFound`] where the lease is over.
    pub fn renew(&self, ttl: Option<Duration>) -> Result<SystemTime, Error> {
        Ok(time::from_wit(self.0.renew(ttl.map(time::whole_seconds))?))
    }

    /// Ends the credential now, and tells whether that worked. Dropping the lease does the same
    /// without telling.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where the engine does not answer: the host goes on trying.
    pub fn revoke(&self) -> Result<(), Error> {
        Ok(self.0.revoke()?)
    }
}

/// The fields of a leased credential. `Debug` shows names alone.
#[derive(Debug)]
pub struct Credentials(Vec<(String, Secret)>);

impl Credentials {
    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    /// All fields, in the engine's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_show_names_alone() {
        let credentials = Credentials(vec![("password".into(), "canary".to_owned().into())]);
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials([(\"password\", Secret(..))])"
        );
        assert!(
            credentials
                .get("password")
                .is_some_and(|value| value.matches(b"canary"))
        );
        assert!(credentials.get("username").is_none());
    }
}
