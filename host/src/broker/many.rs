//! Several current values in one call.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_backend::{Reference, SecretPath, VaultId, Which};
use tokio::time::Instant;

use super::InForce;
use super::error::{CallError, ErrorCode};
use super::heard::Heard;
use super::read::{Hit, Wanted};
use super::session::{Secret, Session, now_us};
use crate::grants::Action;

/// References in one call: each is decided and recorded on its own, so this bounds the work of
/// one message.
const MAX_MANY: usize = 100;

/// Which field of a secret was released; none: the whole value.
type Field = Option<Arc<str>>;

type Released<R> = Result<(R, Field), CallError>;

impl Session {
    /// The current values of up to 100 secrets: one result for each, in the order asked. Needs
    /// `read` for each.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidArgument`] for more than 100.
    pub async fn get_many(
        &self,
        references: &[String],
    ) -> Result<Vec<Result<Secret, CallError>>, CallError> {
        let release = |hit: Hit<'_>| (Arc::clone(hit.value), hit.version, hit.expires);
        let results = self.read_many(references, release).await?;
        let secret = |(text, result): (&String, Result<_, CallError>)| {
            let (value, version, expires) = result?;
            Ok(Secret {
                reference: self.parse(text)?,
                value,
                version,
                expires,
            })
        };
        Ok(references.iter().zip(results).map(secret).collect())
    }

    /// One result for each reference, in the order asked; each decided and recorded on its own.
    pub(crate) async fn read_many<R>(
        &self,
        references: &[String],
        release: impl Fn(Hit<'_>) -> R,
    ) -> Result<Vec<Result<R, CallError>>, CallError> {
        if references.len() > MAX_MANY {
            self.charge(None)?;
            let error = CallError::argument("more than 100 references");
            let force = self.shared.force.load_full();
            return Err(self.refuse(&force, Action::Read, (None, None), error).await);
        }
        let (force, now, began) = (
            self.shared.force.load_full(),
            now_us() / 1000,
            Instant::now(),
        );
        // With each, which field of the secret it is: what is granted at the end may be less.
        let release = |hit: Hit<'_>| {
            let field = hit.field.cloned();
            (release(hit), field)
        };
        let mut results = Vec::with_capacity(references.len());
        for text in references {
            results.push(self.warm_read(text, Which::Current, &release).await);
        }
        let cold = results.iter().any(Option::is_none);
        if cold {
            Box::pin(self.cold_many(references, &mut results, began, &release)).await;
        }
        let lost = || Err(CallError::new(ErrorCode::Failed("no answer".to_owned())));
        let mut results: Vec<_> = results
            .into_iter()
            .map(|result| result.unwrap_or_else(lost))
            .collect();
        self.withhold(&force, now, references, &mut results).await;
        let plain = |result: Result<_, _>| result.map(|(released, _)| released);
        Ok(results.into_iter().map(plain).collect())
    }

    /// Fills in the results that are none yet: each vault is asked once for all that it has of them.
    async fn cold_many<R>(
        &self,
        texts: &[String],
        results: &mut [Option<Result<R, CallError>>],
        began: Instant,
        release: &impl Fn(Hit<'_>) -> R,
    ) {
        let force = self.shared.force.load_full();
        let mut vaults: BTreeMap<VaultId, Vec<(usize, Wanted<'_>)>> = BTreeMap::new();
        for (at, (text, result)) in texts.iter().zip(&mut *results).enumerate() {
            if result.is_some() {
                continue;
            }
            match self.want(&force, text, Which::Current).await {
                Ok(wanted) => {
                    let vault = wanted.reference.vault().clone();
                    vaults.entry(vault).or_default().push((at, wanted));
                }
                Err(error) => *result = Some(Err(error)),
            }
        }
        let pending = self.scope.pending();
        for (vault, wanted) in vaults {
            let until = began + force.patience(&vault);
            let heard = match pending {
                Some(_) => self.fetch_many(&force, &vault, &wanted, until).await,
                None => {
                    let over = wanted.iter().map(|(at, _)| (*at, Err(self.over_quota(1))));
                    set(results, over);
                    continue;
                }
            };
            for ((at, wanted), heard) in wanted.into_iter().zip(heard) {
                let result = self.finish(wanted, heard, release).await;
                set(results, [(at, result)]);
            }
        }
    }

    /// Asks one vault, once for each name.
    async fn fetch_many(
        &self,
        force: &InForce,
        vault: &VaultId,
        wanted: &[(usize, Wanted<'_>)],
        until: Instant,
    ) -> Vec<Heard> {
        let all = |error: &CallError| {
            let heard = wanted.iter().map(|_| Heard::failed(error.clone()));
            heard.collect()
        };
        let opened = match self.open(force, vault, until).await {
            Ok(opened) => opened,
            Err(error) => return all(&error),
        };
        let mut paths = Vec::with_capacity(wanted.len());
        let mut places: BTreeMap<&SecretPath, usize> = BTreeMap::new();
        for (
            _,
            Wanted {
                reference, granted, ..
            },
        ) in wanted
        {
            debug_assert!(granted.covers(Action::Read, reference));
            places.entry(reference.path()).or_insert_with(|| {
                paths.push(reference.path().clone());
                paths.len() - 1
            });
        }
        let answers = opened.store.answer_many(&paths, self.look());
        let Ok(answers) = tokio::time::timeout_at(until, answers).await else {
            return all(&CallError::late());
        };
        let heard = wanted.iter().map(|(_, wanted)| {
            let at = places.get(wanted.reference.path());
            let answer = at.and_then(|at| answers.get(*at));
            // The vault answered one for each path, in the order asked.
            answer.map_or_else(
                || Heard::failed(CallError::late()),
                |answer| answer.again().into(),
            )
        });
        heard.collect()
    }

    /// Takes back what was read first if its grant went while the rest was read: nothing of it
    /// has reached the caller yet. `began` and `now` are those of the whole call.
    async fn withhold<R>(
        &self,
        began: &InForce,
        mut now: u64,
        texts: &[String],
        results: &mut [Released<R>],
    ) {
        let mut generation = began.generation;
        loop {
            let force = self.shared.force.load_full();
            let time = now_us() / 1000;
            if (generation, now) == (force.generation, time) {
                return;
            }
            (generation, now) = (force.generation, time);
            let mut withheld: Vec<(Reference, &mut Released<R>)> = Vec::new();
            for (text, result) in texts.iter().zip(&mut *results) {
                let Ok(reference) = self.parse_in(began, text) else {
                    continue;
                };
                let Ok((_, released)) = result else {
                    continue;
                };
                let granted = self.decide(&force, &[Action::Read], &reference);
                let stands = granted.is_ok_and(|granted| {
                    let field = granted.field();
                    field.is_none() || field == released.as_ref()
                });
                if !stands {
                    *result = Err(CallError::denied());
                    withheld.push((reference, result));
                }
            }
            if withheld.is_empty() {
                return;
            }
            for (reference, result) in withheld {
                let target = self.target(&reference);
                let on = (Some(&target), None);
                let denied = CallError::denied();
                *result = Err(self.refuse(&force, Action::Read, on, denied).await);
            }
        }
    }
}

fn set<R>(
    results: &mut [Option<Result<R, CallError>>],
    known: impl IntoIterator<Item = (usize, Result<R, CallError>)>,
) {
    for (at, result) in known {
        if let Some(slot) = results.get_mut(at) {
            *slot = Some(result);
        }
    }
}
