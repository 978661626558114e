//! Reading many secrets, twenty in one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use strongroom_backend::{Error, ErrorKind, Result, Secret, SecretPath};

use crate::client::{MOST_IN_BATCH, Read};
use crate::error::{self, Why};
use crate::read;
use crate::state::CURRENT;
use crate::store::SecretsManagerBackend;

/// Requests for many secrets that are under way at once.
const BATCHES: usize = 5;
/// Requests for one secret that are under way at once.
const SINGLES: usize = 10;
/// How long a denial of reading many at once is remembered: an operator may grant it.
const DENIED_FOR: Duration = Duration::from_secs(300);

type Answers = BTreeMap<String, Result<Secret>>;

impl SecretsManagerBackend {
    /// The current values, in the order asked.
    pub(crate) async fn read_many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let mut together = BTreeSet::new();
        let mut names = Vec::with_capacity(paths.len());
        for path in paths {
            let name = self.name(path);
            // A name that does not tell its path needs a look at a tag, which only a single read takes.
            if let (Ok(name), false) = (&name, self.names.is_encoded(path)) {
                together.insert(name.clone());
            }
            names.push(name);
        }
        let mut answers = self.batches(together.into_iter().collect()).await;
        let mut left = BTreeMap::new();
        for (path, name) in paths.iter().zip(&names) {
            if let Ok(name) = name
                && !answers.contains_key(name)
            {
                left.insert(name.clone(), path.clone());
            }
        }
        let singles: Vec<_> = stream::iter(left)
            .map(|(name, path)| self.single(name, path))
            .buffer_unordered(SINGLES)
            .collect()
            .await;
        answers.extend(singles);
        let answer = |name: error::Result<String>| {
            let name = name?;
            match answers.get(&name) {
                Some(Ok(secret)) => Ok(Secret {
                    value: Arc::clone(&secret.value),
                    ..*secret
                }),
                Some(Err(error)) => Err(error::again(error)),
                None => Err(Error::new(ErrorKind::Failed, "a secret was left out")),
            }
        };
        names.into_iter().map(answer).collect()
    }

    async fn single(&self, name: String, path: SecretPath) -> (String, Result<Secret>) {
        let answer = self.read_current(&path).await;
        (name, answer.map_err(Error::from))
    }

    /// What requests for twenty each answer; a name that they do not answer for is left out.
    async fn batches(&self, names: Vec<String>) -> Answers {
        let chunks: Vec<Vec<String>> = names.chunks(MOST_IN_BATCH).map(<[_]>::to_vec).collect();
        let answers = stream::iter(chunks).map(|names| self.batch(names));
        let answers: Vec<_> = answers.buffer_unordered(BATCHES).collect().await;
        answers.into_iter().flatten().collect()
    }

    async fn batch(&self, names: Vec<String>) -> Answers {
        if names.len() < 2 || self.is_batch_denied() {
            return Answers::new();
        }
        let (values, refusals) = match self.service.values(&names).await {
            Ok(answer) => answer,
            Err(refused) => {
                if refused.why == Why::Denied {
                    self.deny_batch();
                }
                // Whatever stands against all of them together may not stand against each: but a
                // service that cannot answer now is not asked twenty times more.
                if !refused.is_temporary() {
                    return Answers::new();
                }
                let error = Error::from(error::Fault::from(refused));
                let answer = |name| (name, Err(error::again(&error)));
                return names.into_iter().map(answer).collect();
            }
        };
        let mut answers = Answers::new();
        for read in values {
            let Some(name) = read.name.clone().filter(|name| names.contains(name)) else {
                continue;
            };
            if is_current(&read) {
                let answer = read::current(&name, read).map_err(Error::from);
                answers.insert(name, answer);
            }
        }
        for (name, code) in refusals {
            // Other codes are told apart by a single read.
            if code == "ResourceNotFoundException" && names.contains(&name) {
                answers
                    .entry(name)
                    .or_insert_with(|| Err(Error::not_found()));
            }
        }
        answers
    }

    fn is_batch_denied(&self) -> bool {
        let denied = self
            .batch_denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        denied.is_some_and(|at| at.elapsed() < DENIED_FOR)
    }

    fn deny_batch(&self) {
        tracing::warn!(
            "the credentials may not call secretsmanager:BatchGetSecretValue: secrets are read one by \
             one for the next five minutes"
        );
        let mut denied = self
            .batch_denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *denied = Some(Instant::now());
    }
}

/// Whether the value is the current one. The request cannot ask for it by its label, so it is looked at.
fn is_current(read: &Read) -> bool {
    read.labels.iter().any(|label| label == CURRENT)
}
