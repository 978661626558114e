//! Writing a value, and what is known of it.

use strongroom_backend::{Error, Metadata, PutOptions, SecretPath, SecretValue};

use crate::error::{Fault, Result};
use crate::notes::Notes;
use crate::payload::{self, MAX_VALUE};
use crate::resource::Resource;
use crate::service::Life;
use crate::vault::{Vault, now};

/// A write that was checked and needs no more of the caller.
pub(crate) struct Write {
    payload: bytes::Bytes,
    author: Option<String>,
    metadata: Metadata,
}

impl Write {
    /// Checks a write before any call.
    pub(crate) fn new(value: &SecretValue, options: &PutOptions) -> Result<Self> {
        // AddSecretVersion takes no condition, and to make the secret is another call: whatever
        // was looked at before may be another thing by then.
        if options.expected.is_some() {
            return Err(Error::unsupported("Secret Manager cannot compare and set").into());
        }
        if options.expires.is_some() {
            return Err(Error::unsupported("Secret Manager has no expiry of versions").into());
        }
        if value.len() > MAX_VALUE {
            return Err(Error::too_large(MAX_VALUE as u64).into());
        }
        Notes::check(&options.metadata)?;
        Ok(Self {
            payload: payload::encode(value)?,
            author: options.author.clone(),
            metadata: options.metadata.clone(),
        })
    }

    /// Writes. The value first: without it no note is worth anything.
    ///
    /// A note that fails after the value was written is an error where metadata is lost by it, so that
    /// the caller writes again; where it is only the author it is logged, and the write counts.
    pub(crate) async fn run(self, vault: &Vault, path: &SecretPath) -> Result<u64> {
        let resource = vault.space.resource(path)?;
        let mut made = false;
        let number = match vault.rest.add(&resource, self.payload.clone()).await {
            Err(fault) if fault.is_not_found() => {
                made = self.create(vault, path, &resource).await?;
                let added = vault.rest.add(&resource, self.payload.clone()).await;
                // Somebody deleted the secret since, or the service does not know yet that it is there.
                added.map_err(|fault| match fault.is_not_found() {
                    true => Fault::Busy,
                    false => fault,
                })?
            }
            added => added?,
        };
        let author = self.author.as_deref();
        let given = self.metadata != Metadata::default();
        if !given && author.is_none() && number > 1 {
            return Ok(number);
        }
        let noted = vault.note(path, &resource, |notes| {
            notes.set(&self.metadata);
            notes.written(number, author);
        });
        match noted.await {
            Err(fault) if given && !made => Err(fault),
            Err(fault) => {
                tracing::warn!(%fault, "a value was written and its author could not be noted");
                Ok(number)
            }
            Ok(()) => Ok(number),
        }
    }

    /// Makes the secret with its metadata, and noted as one without a current version: a listing looks at
    /// its versions until the first write is noted. Returns whether it was this write that made it.
    async fn create(&self, vault: &Vault, path: &SecretPath, resource: &Resource) -> Result<bool> {
        let mut notes = Notes::first(path.as_str());
        notes.set(&self.metadata);
        notes.touch(now());
        let secret = vault.fresh(&notes)?;
        let made = vault
            .rest
            .create(vault.space.parent(), resource.id(), &secret);
        match made.await {
            Err(fault) if fault.is_taken() => Ok(false),
            Err(fault) if fault.is_not_found() => {
                Err(Fault::Failed("there is no such project or location"))
            }
            Err(fault) => Err(fault),
            Ok(_) => Ok(true),
        }
    }
}

/// Changes metadata alone; returns the current version, 0 for none.
pub(crate) async fn set_metadata(
    vault: &Vault,
    path: &SecretPath,
    metadata: &Metadata,
) -> Result<u64> {
    let resource = vault.space.resource(path)?;
    // A secret without any version was never written.
    let newest = vault.rest.version(&resource, None).await?;
    vault
        .note(path, &resource, |notes| notes.set(metadata))
        .await?;
    Ok(match newest.life {
        Life::Enabled => newest.number,
        Life::Disabled | Life::Destroyed => 0,
    })
}
