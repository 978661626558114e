//! The interface `handle`: holding a secret without seeing it.

use strongroom_backend::Which;
use wasmtime::Result as Trap;
use wasmtime::component::Resource;

use super::ctx::VaultCtxView;
use super::vault::bytes;
use super::wit::types::Error;
use super::{logged, wit};
use crate::broker::CallError;
use crate::grants::Action;

/// A guest's capability to one version of one secret: its name and number, never its bytes.
pub struct HeldSecret {
    reference: String,
    version: u64,
}

impl wit::handle::Host for VaultCtxView<'_> {}

impl wit::handle::HostSecret for VaultCtxView<'_> {
    async fn open(&mut self, reference: String) -> Trap<Result<Resource<HeldSecret>, Error>> {
        let session = self.ctx.via("handle.secret.open");
        if self.ctx.handles >= session.handle_limit() {
            // Only closing one helps, which no time does; a second is the least wait there is.
            return Ok(Err(logged(session.over_quota(1000))));
        }
        let opened = session
            .open_handle(&reference, &[Action::Read, Action::UseHttp])
            .await;
        let (reference, version) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(logged(error))),
        };
        let held = HeldSecret {
            reference: reference.to_string(),
            version,
        };
        match self.table.push(held) {
            Ok(handle) => {
                self.ctx.handles += 1;
                Ok(Ok(handle))
            }
            Err(_) => Ok(Err(logged(session.over_quota(1000)))),
        }
    }

    fn version(&mut self, secret: Resource<HeldSecret>) -> Trap<u64> {
        Ok(self.table.get(&secret)?.version)
    }

    async fn reveal(&mut self, secret: Resource<HeldSecret>) -> Trap<Result<Vec<u8>, Error>> {
        let held = self.table.get(&secret)?;
        // A backend without versions has no numbers to ask by: there the handle is to the name.
        let which = match held.version {
            0 => Which::Current,
            version => Which::Version(version),
        };
        Ok(self
            .ctx
            .vias
            .reveal
            .read(&held.reference, which, bytes)
            .await
            .map_err(logged))
    }

    async fn placeholder(&mut self, secret: Resource<HeldSecret>) -> Trap<Result<String, Error>> {
        let session = self.ctx.via("handle.secret.placeholder");
        let reference = &self.table.get(&secret)?.reference;
        let answer: Result<String, CallError> = session
            .not_served(Action::UseHttp, reference, "placeholders are not built in")
            .await;
        Ok(answer.map_err(logged))
    }

    fn drop(&mut self, secret: Resource<HeldSecret>) -> Trap<()> {
        self.table.delete(secret)?;
        self.ctx.handles = self.ctx.handles.saturating_sub(1);
        Ok(())
    }
}
