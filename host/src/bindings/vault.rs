//! The interfaces `vault` and `watch`.

use std::time::Duration;

use strongroom_backend::{Reference, VersionState, Which};
use wasmtime::Result as Trap;

use super::ctx::VaultCtxView;
use super::wit::types::{Error, SecretInfo, VersionInfo};
use super::{logged, wit};
use crate::broker::Hit;

/// The copy that the generated bindings lower into the guest's memory.
pub(super) fn bytes(hit: Hit<'_>) -> Vec<u8> {
    hit.value.expose().to_vec()
}

impl wit::vault::Host for VaultCtxView<'_> {
    async fn get(&mut self, reference: String) -> Trap<Result<Vec<u8>, Error>> {
        Ok(self
            .ctx
            .vias
            .get
            .read(&reference, Which::Current, bytes)
            .await
            .map_err(logged))
    }

    async fn read(&mut self, reference: String) -> Trap<Result<wit::vault::Versioned, Error>> {
        let release = |hit: Hit<'_>| wit::vault::Versioned {
            version: hit.version,
            value: hit.value.expose().to_vec(),
        };
        Ok(self
            .ctx
            .vias
            .read
            .read(&reference, Which::Current, release)
            .await
            .map_err(logged))
    }

    async fn get_version(
        &mut self,
        reference: String,
        version: u64,
    ) -> Trap<Result<Vec<u8>, Error>> {
        let session = self.ctx.via("vault.get-version");
        Ok(session
            .read(&reference, Which::Version(version), bytes)
            .await
            .map_err(logged))
    }

    async fn get_many(
        &mut self,
        references: Vec<String>,
    ) -> Trap<Result<Vec<Result<Vec<u8>, Error>>, Error>> {
        let results = self.ctx.vias.get_many.read_many(&references, bytes).await;
        Ok(results
            .map(|results| results.into_iter().map(|r| r.map_err(logged)).collect())
            .map_err(logged))
    }

    async fn describe(&mut self, reference: String) -> Trap<Result<SecretInfo, Error>> {
        let described = self.ctx.via("vault.describe").describe(&reference).await;
        let info = |(reference, d): (Reference, strongroom_backend::Description)| SecretInfo {
            reference: reference.to_string(),
            version: d.version,
            created: d.created,
            updated: d.updated,
            expires: d.expires,
            rotates: d.rotates,
            kind: d.kind,
            description: d.description,
            labels: d.labels,
        };
        Ok(described.map(info).map_err(logged))
    }

    async fn versions(&mut self, reference: String) -> Trap<Result<Vec<VersionInfo>, Error>> {
        use wit::types::VersionState as State;
        let session = self.ctx.via("vault.versions");
        let me = session.principal().to_string();
        let info = |v: strongroom_backend::VersionInfo| VersionInfo {
            version: v.version,
            state: match v.state {
                VersionState::Current => State::Current,
                VersionState::Superseded => State::Superseded,
                VersionState::Pending => State::Pending,
                VersionState::Deleted => State::Deleted,
                VersionState::Destroyed => State::Destroyed,
            },
            created: v.created,
            expires: v.expires,
            mine: v.author.as_deref() == Some(&me),
        };
        let versions = session.versions(&reference).await;
        Ok(versions
            .map(|(_, v)| v.into_iter().map(info).collect())
            .map_err(logged))
    }

    async fn list(
        &mut self,
        prefix: String,
        cursor: Option<String>,
    ) -> Trap<Result<wit::vault::Page, Error>> {
        let page = self
            .ctx
            .via("vault.list")
            .list(&prefix, cursor.as_deref())
            .await;
        let told = |page: crate::Page| wit::vault::Page {
            references: page.references.iter().map(ToString::to_string).collect(),
            cursor: page.cursor,
        };
        Ok(page.map(told).map_err(logged))
    }
}

impl wit::watch::Host for VaultCtxView<'_> {
    async fn wait_for_change(
        &mut self,
        reference: String,
        known: u64,
        timeout_ms: u32,
    ) -> Trap<Result<Option<u64>, Error>> {
        let session = self.ctx.via("watch.wait-for-change");
        let timeout = Duration::from_millis(u64::from(timeout_ms));
        Ok(session
            .wait_for_change(&reference, known, timeout)
            .await
            .map_err(logged))
    }
}
