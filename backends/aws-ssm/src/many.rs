//! Several values, ten in a call.

use std::collections::{BTreeMap, HashMap};

use futures::stream::{self, StreamExt};
use strongroom_backend::{Error, Result, Secret, SecretPath, SecretValue};

use crate::backend::{SsmBackend, secret};
use crate::error::{Fault, Result as Answer};
use crate::service::{MOST_IN_BATCH, Read};

/// How many calls run at once: as many as the interface's hundred names need.
const AT_ONCE: usize = 10;

impl SsmBackend {
    /// The current values of `paths`, in their order.
    pub(crate) async fn many(&self, paths: &[SecretPath]) -> Vec<Result<Secret>> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for path in paths {
            if let Ok(name) = self.name(path) {
                *names.entry(name).or_default() += 1;
            }
        }
        let each: Vec<String> = names.keys().cloned().collect();
        let chunks: Vec<_> = each.chunks(MOST_IN_BATCH).map(<[String]>::to_vec).collect();
        let answers: Vec<_> = stream::iter(chunks)
            .map(|chunk| self.batch(chunk))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut answers: HashMap<String, Answer<Read>> = answers.into_iter().flatten().collect();
        let mut secrets = Vec::with_capacity(paths.len());
        for path in paths {
            let answer = self.name(path).and_then(|name| {
                let left = names.get_mut(&name).map_or(0, |left| {
                    *left = left.saturating_sub(1);
                    *left
                });
                match left {
                    0 => answers.remove(&name).unwrap_or(Err(Fault::Missing)),
                    // Asked for again further on: its answer stays.
                    _ => answers.get(&name).map_or(Err(Fault::Missing), again),
                }
            });
            secrets.push(answer.map(secret).map_err(Error::from));
        }
        secrets
    }

    /// The answer of each name of one call; none for a name that is missing.
    async fn batch(&self, names: Vec<String>) -> Vec<(String, Answer<Read>)> {
        match self.service.get_many(&names).await {
            Ok(answers) => answers,
            // One that we may not read, or that no key opens, fails the call for all of them: each
            // is asked for alone, so that the others have their answer.
            Err(Fault::Call(refused)) if names.len() > 1 && refused.may_be_of_one() => {
                let mut answers = Vec::with_capacity(names.len());
                for name in names {
                    let answer = self.service.get(&name, None).await;
                    answers.push((name, answer));
                }
                answers
            }
            Err(fault) => {
                let answer = |name| (name, Err(fault.clone()));
                names.into_iter().map(answer).collect()
            }
        }
    }
}

/// The same answer for one more who asked.
fn again(answer: &Answer<Read>) -> Answer<Read> {
    match answer {
        Ok(read) => Ok(Read {
            value: SecretValue::copy_of(read.value.expose()),
            version: read.version,
        }),
        Err(fault) => Err(fault.clone()),
    }
}
