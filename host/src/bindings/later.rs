//! Interfaces that link and are not served: each call is decided and recorded like any other, and
//! then answers `unsupported`, so that a guest of the world `guest` starts on this host.

use std::convert::Infallible;

use wasmtime::Result as Trap;
use wasmtime::component::Resource;

use super::ctx::{VaultCtx, VaultCtxView};
use super::wit::types::Error;
use super::{logged, wit};
use crate::grants::Action;

const NO_LEASES: &str = "leases are not built in";
const NO_TRANSIT: &str = "transit keys are not built in";

/// A lease, of which this host has none: it cannot be made.
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
pub struct NoLease(Infallible);

impl VaultCtx {
    async fn refuse<T>(
        &self,
        function: &str,
        action: Action,
        reference: &str,
        what: &'static str,
    ) -> Trap<Result<T, Error>> {
        let session = self.via(function);
        Ok(session
            .not_served(action, reference, what)
            .await
            .map_err(logged))
    }
}

impl VaultCtxView<'_> {
    fn no_lease<T>(&self, lease: &Resource<NoLease>) -> Trap<T> {
        match self.table.get(lease)?.0 {}
    }
}

impl wit::leases::Host for VaultCtxView<'_> {}

impl wit::leases::HostLease for VaultCtxView<'_> {
    async fn acquire(
        &mut self,
        role: String,
        _ttl_seconds: Option<u32>,
    ) -> Trap<Result<Resource<NoLease>, Error>> {
        self.ctx
            .refuse("leases.lease.acquire", Action::Lease, &role, NO_LEASES)
            .await
    }

    async fn id(&mut self, lease: Resource<NoLease>) -> Trap<String> {
        self.no_lease(&lease)
    }

    async fn credentials(
        &mut self,
        lease: Resource<NoLease>,
    ) -> Trap<Result<Vec<(String, String)>, Error>> {
        self.no_lease(&lease)
    }

    async fn expires(&mut self, lease: Resource<NoLease>) -> Trap<u64> {
        self.no_lease(&lease)
    }

    async fn renew(
        &mut self,
        lease: Resource<NoLease>,
        _ttl_seconds: Option<u32>,
    ) -> Trap<Result<u64, Error>> {
        self.no_lease(&lease)
    }

    async fn revoke(&mut self, lease: Resource<NoLease>) -> Trap<Result<(), Error>> {
        self.no_lease(&lease)
    }

    async fn drop(&mut self, lease: Resource<NoLease>) -> Trap<()> {
        self.no_lease(&lease)
    }
}

impl wit::transit::Host for VaultCtxView<'_> {
    async fn encrypt(
        &mut self,
        key: String,
        _plaintext: Vec<u8>,
        _context: Vec<u8>,
    ) -> Trap<Result<Vec<u8>, Error>> {
        self.ctx
            .refuse("transit.encrypt", Action::UseEncrypt, &key, NO_TRANSIT)
            .await
    }

    async fn decrypt(
        &mut self,
        key: String,
        _ciphertext: Vec<u8>,
        _context: Vec<u8>,
    ) -> Trap<Result<Vec<u8>, Error>> {
        self.ctx
            .refuse("transit.decrypt", Action::UseDecrypt, &key, NO_TRANSIT)
            .await
    }

    async fn rewrap(
        &mut self,
        key: String,
        _ciphertext: Vec<u8>,
        _context: Vec<u8>,
    ) -> Trap<Result<Vec<u8>, Error>> {
        self.ctx
            .refuse("transit.rewrap", Action::UseEncrypt, &key, NO_TRANSIT)
            .await
    }

    async fn sign(&mut self, key: String, _message: Vec<u8>) -> Trap<Result<Vec<u8>, Error>> {
        self.ctx
            .refuse("transit.sign", Action::UseSign, &key, NO_TRANSIT)
            .await
    }

    async fn verify(
        &mut self,
        key: String,
        _message: Vec<u8>,
        _signature: Vec<u8>,
    ) -> Trap<Result<bool, Error>> {
        self.ctx
            .refuse("transit.verify", Action::UseVerify, &key, NO_TRANSIT)
            .await
    }

    async fn hmac(&mut self, key: String, _message: Vec<u8>) -> Trap<Result<Vec<u8>, Error>> {
        self.ctx
            .refuse("transit.hmac", Action::UseHmac, &key, NO_TRANSIT)
            .await
    }

    async fn verify_hmac(
        &mut self,
        key: String,
        _message: Vec<u8>,
        _tag: Vec<u8>,
    ) -> Trap<Result<bool, Error>> {
        self.ctx
            .refuse("transit.verify-hmac", Action::UseVerify, &key, NO_TRANSIT)
            .await
    }
}
