//! A component of the configuration, and what an embedder loads under its name.

use std::sync::{Arc, PoisonError};

use super::builder::BuildError;
use super::scope::Scope;
use super::session::Session;
use super::{Broker, Shared};
use crate::grants::{Digest, Name, Principal};

/// A component of the configuration: the name under which bytes run with its grants.
#[derive(Clone)]
pub struct Component {
    shared: Arc<Shared>,
    name: Name,
    scope: Arc<Scope>,
}

impl Broker {
    /// The component of this name.
    ///
    /// # Errors
    ///
    /// [`BuildError::UnknownComponent`] where the configuration has no such entry.
    pub fn component(&self, name: &str) -> Result<Component, BuildError> {
        let unknown = || BuildError::UnknownComponent(name.to_owned());
        let parsed = Name::parse(name).map_err(|_| unknown())?;
        let mut scopes = self
            .shared
            .scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a reload sets the quotas of the scopes that it finds there.
        let force = self.shared.force.load();
        let entry = force.config.components.get(&parsed).ok_or_else(unknown)?;
        let scope = scopes.entry(parsed.clone()).or_insert_with(|| {
            let subject = self
                .shared
                .log
                .subject(&format!("component:{parsed}"), None, None);
            Arc::new(Scope::of_component(subject, &entry.quotas))
        });
        Ok(Component {
            shared: Arc::clone(&self.shared),
            name: parsed,
            scope: Arc::clone(scope),
        })
    }
}

impl Component {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A caller for one new instance of this component, running bytes of this digest; none where
    /// nobody hashed them, which a pinned digest refuses.
    pub fn session(&self, digest: Option<Digest>) -> Session {
        let principal = Principal::Component {
            name: self.name.clone(),
            digest,
        };
        let text = digest.map(|digest| digest.to_string());
        let instance = crate::platform::new_instance_id();
        let subject =
            self.shared
                .log
                .subject(&principal.to_string(), Some(&instance), text.as_deref());
        Session {
            shared: Arc::clone(&self.shared),
            principal,
            subject,
            cache: Some(self.scope.cache(digest)),
            scope: Arc::clone(&self.scope),
            via: self.shared.log.via("strongroom:vault"),
        }
    }

    /// Checks the digest that the configuration pins.
    #[cfg(feature = "wasmtime")]
    fn check_pin(&self, found: Option<Digest>) -> Result<(), BuildError> {
        let force = self.shared.force.load();
        let pinned = force
            .config
            .components
            .get(&self.name)
            .and_then(|entry| entry.digest);
        match pinned {
            Some(pinned) if Some(pinned) != found => Err(BuildError::Digest {
                name: self.name.to_string(),
                pinned: pinned.to_string(),
                found: found.map_or_else(|| "not known".to_owned(), |found| found.to_string()),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "wasmtime")]
mod load {
    use wasmtime::Engine;

    use super::{BuildError, Component, Digest};
    use crate::VaultCtx;

    /// A component that was hashed, checked against its pin and compiled.
    #[derive(Clone)]
    pub struct Loaded {
        component: Component,
        compiled: wasmtime::component::Component,
        digest: Digest,
    }

    impl Component {
        /// Hashes `bytes`, checks the pinned digest and compiles them.
        ///
        /// # Errors
        ///
        /// [`BuildError::Digest`] where other bytes are pinned, [`BuildError::Compile`] where they
        /// are not a component; the latter says what they are instead.
        pub fn load(&self, engine: &Engine, bytes: &[u8]) -> Result<Loaded, BuildError> {
            let digest = Digest::of(bytes);
            self.check_pin(Some(digest))?;
            let compiled = wasmtime::component::Component::from_binary(engine, bytes)
                .map_err(|error| BuildError::Compile(crate::bindings::explain(bytes, &error)))?;
            Ok(Loaded {
                component: self.clone(),
                compiled,
                digest,
            })
        }

        /// The context of a new instance whose bytes nobody hashed: for a component that the
        /// embedder compiled itself. Its records have no digest.
        ///
        /// # Errors
        ///
        /// [`BuildError::Digest`] where the configuration pins one.
        pub fn instance_unverified(&self) -> Result<VaultCtx, BuildError> {
            self.check_pin(None)?;
            Ok(VaultCtx::new(self.session(None)))
        }
    }

    impl Loaded {
        /// The compiled component.
        pub fn component(&self) -> &wasmtime::component::Component {
            &self.compiled
        }

        /// The digest of its bytes.
        pub fn digest(&self) -> Digest {
            self.digest
        }

        /// The context of a new instance: one for each store.
        pub fn instance(&self) -> VaultCtx {
            VaultCtx::new(self.component.session(Some(self.digest)))
        }
    }
}

#[cfg(feature = "wasmtime")]
pub use load::Loaded;
