//! Changes of a parameter: its value in one call, value and tags in as few as the service allows.

use crate::error::{Fault, Result, Why};
use crate::service::{Over, Service, Write};
use crate::tags::Written;

/// Writes where there is no parameter, value and tags in one call.
pub(crate) async fn create(service: &Service, write: Write, tags: Written) -> Result<u64> {
    match service.put(&write, &Over::Nothing(tags.tags)).await {
        Err(Fault::Call(refused)) if refused.why == Why::Exists => {
            match service.version(&write.name).await {
                Ok(current) => Err(Fault::Conflict(current)),
                // It was deleted since: what to expect is for the caller to look at again.
                Err(Fault::Call(refused)) if refused.why == Why::Missing => Err(Fault::Changed),
                Err(fault) => Err(fault),
            }
        }
        answer => answer,
    }
}

/// Writes whatever is there, without metadata.
pub(crate) async fn replace(service: &Service, write: Write) -> Result<u64> {
    service.put(&write, &Over::Anything).await
}

/// Writes whatever is there, with metadata: in one call where nothing is, as the service takes tags
/// with a new parameter only.
pub(crate) async fn replace_with(service: Service, write: Write, tags: Written) -> Result<u64> {
    match service.put(&write, &Over::Nothing(tags.tags.clone())).await {
        Err(Fault::Call(refused)) if refused.why == Why::Exists => {}
        answer => return answer,
    }
    let version = service.put(&write, &Over::Anything).await?;
    retag(service, write.name, tags).await?;
    Ok(version)
}

/// Changes tags to what is given, and leaves those alone that it says nothing of.
pub(crate) async fn retag(service: Service, name: String, tags: Written) -> Result<()> {
    let there = service.tags(&name).await?;
    let missing = tags.missing(&there);
    let obsolete = tags.obsolete(&there);
    if !missing.is_empty() {
        service.add_tags(&name, &missing).await?;
    }
    if !obsolete.is_empty() {
        service.remove_tags(&name, obsolete).await?;
    }
    Ok(())
}
