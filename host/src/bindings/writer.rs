//! The interface `writer`.

use strongroom_backend::{PutOptions, SecretValue};
use wasmtime::Result as Trap;

use super::ctx::VaultCtxView;
use super::wit::types::Error;
use super::{logged, wit};

impl wit::writer::Host for VaultCtxView<'_> {
    async fn set(
        &mut self,
        reference: String,
        value: Vec<u8>,
        options: Option<wit::writer::SetOptions>,
    ) -> Trap<Result<u64, Error>> {
        let value = SecretValue::new(value);
        let options = options.map_or_else(PutOptions::default, |given| PutOptions {
            expected: given.expected_version,
            expires: given.expires,
            ..PutOptions::default()
        });
        Ok(self
            .ctx
            .via("writer.set")
            .set(&reference, value, options)
            .await
            .map_err(logged))
    }

    async fn set_metadata(
        &mut self,
        reference: String,
        metadata: wit::writer::Metadata,
    ) -> Trap<Result<(), Error>> {
        let metadata = strongroom_backend::Metadata {
            kind: None,
            description: metadata.description,
            labels: metadata.labels,
        };
        let session = self.ctx.via("writer.set-metadata");
        Ok(session
            .set_metadata(&reference, metadata)
            .await
            .map_err(logged))
    }

    async fn delete(&mut self, reference: String, version: Option<u64>) -> Trap<Result<(), Error>> {
        Ok(self
            .ctx
            .via("writer.delete")
            .delete(&reference, version)
            .await
            .map_err(logged))
    }

    async fn undelete(
        &mut self,
        reference: String,
        version: Option<u64>,
    ) -> Trap<Result<(), Error>> {
        Ok(self
            .ctx
            .via("writer.undelete")
            .undelete(&reference, version)
            .await
            .map_err(logged))
    }

    async fn destroy(&mut self, reference: String, version: u64) -> Trap<Result<(), Error>> {
        Ok(self
            .ctx
            .via("writer.destroy")
            .destroy(&reference, version)
            .await
            .map_err(logged))
    }

    async fn rollback(&mut self, reference: String, to: u64) -> Trap<Result<u64, Error>> {
        Ok(self
            .ctx
            .via("writer.rollback")
            .rollback(&reference, to)
            .await
            .map_err(logged))
    }

    async fn rotate(&mut self, reference: String) -> Trap<Result<u64, Error>> {
        Ok(self
            .ctx
            .via("writer.rotate")
            .rotate(&reference)
            .await
            .map_err(logged))
    }
}
