//! Changes of our own Secrets: read, decide, and write to what was read or not at all.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use strongroom_backend::{Change, Error, History, PutOptions, SecretPath, SecretValue};
use tokio::sync::Mutex;

use crate::error::{Fault, Result};
use crate::naming;
use crate::object::{Body, Data, Draft, DraftMeta, OPAQUE, Patch};
use crate::own::{Own, now};
use crate::record::{self, Changes, HISTORY, Held, REFERENCE};

/// How often a change is tried while others change the same Secret.
const TRIES: u32 = 20;
/// The longest pause before a further try, for each one that failed.
const PAUSE: Duration = Duration::from_millis(8);
/// The longest of these pauses.
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// Two names may share a place.
const PLACES: usize = 256;
/// Where changes of one Secret wait for each other rather than race on the server.
pub(crate) struct Places(Vec<Mutex<()>>);

impl Places {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::new(())).collect())
    }

    fn of(&self, name: &str) -> &Mutex<()> {
        // Any hash will do: it never leaves the process.
        let hash = name.bytes().fold(7usize, |hash, b| {
            hash.wrapping_mul(31).wrapping_add(usize::from(b))
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "there are PLACES places, and the index is below that"
        )]
        &self.0[hash % PLACES]
    }
}

/// What became of an attempt to write.
enum Attempt {
    Done,
    /// The object is not the one that was read.
    Raced,
}

impl Own {
    pub(crate) async fn put(
        &self,
        path: &SecretPath,
        value: &SecretValue,
        options: &PutOptions,
    ) -> Result<Change> {
        if value.len() > record::MAX_OBJECT {
            return Err(Error::too_large(record::MAX_OBJECT as u64).into());
        }
        let edit = |history: &mut History| history.put(options, now());
        self.change(path, Some(value), edit).await
    }

    /// Changes the secret by `edit`, whose number is told. With a value, a missing secret is made.
    ///
    /// The server takes the change only for the object that was read: `edit` decides on what is
    /// true at that moment, or is asked again.
    pub(crate) async fn change(
        &self,
        path: &SecretPath,
        value: Option<&SecretValue>,
        edit: impl Fn(&mut History) -> strongroom_backend::Result<u64>,
    ) -> Result<Change> {
        let name = self.name(path)?;
        let _turn = self.places.of(&name).lock().await;
        for failed in 1..=TRIES {
            let held = match self.api.get(&name).await? {
                Some(object) => match Held::new(object, path) {
                    // For who reads there is nothing; for who writes there is something in the way.
                    Err(Fault::Missing(text)) if value.is_some() => {
                        return Err(Fault::Forbidden(text));
                    }
                    held => Some(held?),
                },
                None if value.is_none() => return Err(Error::not_found().into()),
                None => None,
            };
            let before = held
                .as_ref()
                .map(|held| held.history.clone())
                .unwrap_or_default();
            let mut after = before.clone();
            let version = edit(&mut after)?;
            if value.is_some() && before.versions().iter().any(|old| old.version >= version) {
                let text = format!("the history of the Secret '{name}' contradicts itself");
                return Err(Fault::Damaged(text));
            }
            let empty = BTreeMap::new();
            let values = held.as_ref().map_or(&empty, |held| &held.values);
            let new = value.map(|value| (version, value));
            let changes = record::rearrange(&before, &mut after, values, new, self.keep)?;
            let attempt = match &held {
                Some(held) => self.replace(&name, path, held, &after, &changes).await?,
                None => self.create(&name, path, &after, &changes).await?,
            };
            match attempt {
                Attempt::Done => {
                    return Ok(Change {
                        version,
                        counter: None,
                    });
                }
                Attempt::Raced => tokio::time::sleep(pause(failed)).await,
            }
        }
        Err(Fault::Raced(name))
    }

    async fn replace(
        &self,
        name: &str,
        path: &SecretPath,
        held: &Held,
        after: &History,
        changes: &Changes<'_>,
    ) -> Result<Attempt> {
        if held.immutable {
            return Err(Fault::Forbidden(format!(
                "the Secret '{name}' is `immutable`: nothing in it can be changed. Delete it with \
                 kubectl to write '{path}' anew"
            )));
        }
        let history = record::write(after)?;
        let patch = Patch {
            metadata: DraftMeta {
                resource_version: Some(&held.version),
                annotations: BTreeMap::from([(HISTORY, history.as_str())]),
                ..DraftMeta::default()
            },
            data: data(changes),
        };
        match self.api.patch(name, patch.bytes()?).await {
            Ok(()) => Ok(Attempt::Done),
            // Gone meanwhile: it is made anew, or not found.
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|r| r.is_race() || r.status == 404) =>
            {
                Ok(Attempt::Raced)
            }
            Err(error) => Err(error),
        }
    }

    async fn create(
        &self,
        name: &str,
        path: &SecretPath,
        after: &History,
        changes: &Changes<'_>,
    ) -> Result<Attempt> {
        let (history, tag) = (record::write(after)?, naming::tag(name));
        let draft = Draft {
            api_version: "v1",
            kind: "Secret",
            metadata: DraftMeta {
                name: Some(name),
                labels: record::labels(&tag),
                annotations: BTreeMap::from([
                    (HISTORY, history.as_str()),
                    (REFERENCE, path.as_str()),
                ]),
                ..DraftMeta::default()
            },
            secret_type: OPAQUE,
            data: data(changes),
        };
        match self.api.create(draft.bytes()?).await {
            Ok(()) => Ok(Attempt::Done),
            Err(error) => match error.refusal() {
                Some(refusal) if refusal.is_race() => Ok(Attempt::Raced),
                Some(refusal) if refusal.lacks_namespace() && self.create_namespace => {
                    self.api.create_namespace().await?;
                    Ok(Attempt::Raced)
                }
                _ => Err(error),
            },
        }
    }
}

fn data<'c>(changes: &'c Changes<'_>) -> Data<'c> {
    Data::new(changes.iter().map(|(key, value)| (key.as_str(), *value)))
}

/// Up to a time that grows with each failure, at random.
fn pause(failed: u32) -> Duration {
    let most = (PAUSE * failed).min(MAX_PAUSE);
    // Keyed anew each time: as good as a die for this.
    let die = RandomState::new().build_hasher().finish();
    most.mul_f64(f64::from(u32::try_from(die >> 32).unwrap_or(0)) / f64::from(u32::MAX))
}
