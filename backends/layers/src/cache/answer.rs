//! The cache as a store that the broker asks.

use async_trait::async_trait;
use strongroom_backend::{Backend, Error, ErrorKind, Secret, SecretPath, Which};

use super::flight::{Landed, Shared};
use super::shelf::{Key, key};
use super::{Cached, Found, Kept, Stamp, expired, millis, wall};
use crate::{Answer, Counters, Look, Origin, Store};

#[async_trait]
impl Store for Cached {
    fn backend(&self) -> &dyn Backend {
        self
    }

    async fn answer(&self, path: &SecretPath, which: Which, look: Look) -> Answer {
        let key = key(path, which);
        // Before anything that is looked at, so that a refusal meanwhile shows.
        let dropped = self.drop_cell(path).load();
        let numbers = self.numbers(path);
        if look == Look::Anew {
            let landed = self.fetch(&key, which, numbers).await;
            return self.landed(&key, landed, look, dropped);
        }
        let ticket = {
            let mut state = self.state();
            if let Some(found) = self.look(&mut state, &key, numbers) {
                drop(state);
                return self.found(path, found, dropped);
            }
            state.flights.join(&key, numbers, &self.state)
        };
        let landed = ticket.land(|| self.fetch(&key, which, numbers)).await;
        self.landed(&key, landed, look, dropped)
    }

    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(paths.len());
        let mut open = Vec::new();
        {
            let mut state = self.state();
            for path in paths {
                let dropped = self.drop_cell(path).load();
                let numbers = self.numbers(path);
                let key = key(path, Which::Current);
                let found = match look {
                    Look::Kept => self.look(&mut state, &key, numbers),
                    Look::Anew => None,
                };
                if found.is_none() {
                    open.push((key, Stamp::now(numbers), dropped));
                }
                answers.push(found.map(|found| (found, dropped)));
            }
        }
        let asked: Vec<SecretPath> = open.iter().map(|((path, _), ..)| path.clone()).collect();
        let read = match asked.is_empty() {
            true => Vec::new(),
            false => self.inner.get_many(&asked).await,
        };
        let mut read = open
            .into_iter()
            .zip(read)
            .map(|((key, stamp, dropped), answer)| {
                let learnt = self.learn(&key, stamp, dropped, answer);
                let landed = learnt.map_err(|error| (Shared::new(error), stamp));
                self.landed(&key, landed, look, dropped)
            });
        let mut all = Vec::with_capacity(paths.len());
        for (path, found) in paths.iter().zip(answers) {
            all.push(match found {
                Some((found, dropped)) => self.found(path, found, dropped),
                None => read.next().unwrap_or_else(Answer::short),
            });
        }
        all
    }

    /// Of the store's own counters and of the writes made on this machine.
    fn counters(&self, path: &SecretPath) -> Counters {
        let theirs = self.inner.change_cell(path);
        Counters {
            complete: theirs.is_some(),
            cells: theirs.into_iter().chain([self.own_cell(path)]).collect(),
            far: true,
        }
    }

    fn clear(&self) {
        self.drop_all(&mut self.state());
    }

    fn sweep(&self) {
        let longest = self.settings.ttl.max(self.settings.max_stale);
        let stands = |path: &SecretPath, stamp: &Stamp| self.numbers(path) == stamp.under;
        let mut state = self.state();
        state.values.sweep(|(path, _), kept| {
            !expired(kept) && kept.stamp.age() < longest && stands(path, &kept.stamp)
        });
        let limit = self.settings.negative_ttl;
        state
            .missing
            .sweep(|(path, _), stamp| stamp.age() < limit && stands(path, stamp));
    }
}

impl Cached {
    fn found(&self, path: &SecretPath, found: Found, dropped: u64) -> Answer {
        match found {
            Found::Value(kept, origin) => self.value(path, kept, origin, dropped),
            Found::Missing(stamp) => {
                let age_ms = millis(stamp.age());
                let origin = Origin::Cached { age_ms };
                self.missing(path, Error::not_found(), stamp, origin, dropped)
            }
        }
    }

    fn value(&self, path: &SecretPath, kept: Kept, origin: Origin, dropped: u64) -> Answer {
        let left = self.settings.ttl.saturating_sub(kept.stamp.age());
        Answer {
            origin,
            good_until: wall().saturating_add(millis(left)),
            ..Answer::fresh(
                Ok(Secret {
                    value: kept.value,
                    version: kept.version,
                    expires: kept.expires,
                }),
                self.standing(path, kept.stamp.under, dropped),
            )
        }
    }

    fn missing(
        &self,
        path: &SecretPath,
        error: Error,
        stamp: Stamp,
        origin: Origin,
        dropped: u64,
    ) -> Answer {
        let left = self.settings.negative_ttl.saturating_sub(stamp.age());
        Answer {
            origin,
            good_until: wall().saturating_add(millis(left)),
            ..Answer::fresh(Err(error), self.standing(path, stamp.under, dropped))
        }
    }

    /// What the store answered just now.
    fn landed(&self, key: &Key, landed: Landed, look: Look, dropped: u64) -> Answer {
        let (error, stamp) = match landed {
            Ok(kept) => return self.value(&key.0, kept, Origin::Fresh, dropped),
            Err((shared, stamp)) => (shared.into_error(), stamp),
        };
        if error.kind() == ErrorKind::NotFound {
            return self.missing(&key.0, error, stamp, Origin::Fresh, dropped);
        }
        let bridged = (look == Look::Kept && error.is_temporary())
            .then(|| self.bridge(key))
            .flatten();
        match bridged {
            Some((kept, origin)) => self.value(&key.0, kept, origin, dropped),
            None => Answer::failed(error),
        }
    }
}
