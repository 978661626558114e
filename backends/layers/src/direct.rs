//! A store that nothing is kept of here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{Backend, SecretPath, Which};

use crate::{Answer, Counters, Look, Standing, Store};

/// How often a read that met a writer is repeated before its value is used without being
/// remembered: a writer that died leaves its counter odd until the next one mends it.
const READS_UNDER_WRITES: u32 = 50;

/// How long such a reader waits for the writer: a durable commit takes about this long.
const WRITER_PAUSE: Duration = Duration::from_millis(1);

/// Asks the store each time. Where it has change counters, an answer may be remembered for as long
/// as they do not move.
pub struct Direct {
    inner: Arc<dyn Backend>,
    far: bool,
}

impl Direct {
    /// A store on this machine.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, far: false }
    }

    /// A store across a network.
    pub fn far(inner: Arc<dyn Backend>) -> Self {
        Self { inner, far: true }
    }
}

#[async_trait]
impl Store for Direct {
    fn backend(&self) -> &dyn Backend {
        self.inner.as_ref()
    }

    async fn answer(&self, path: &SecretPath, which: Which, _: Look) -> Answer {
        if let Some(cell) = self.inner.change_cell(path) {
            for _ in 0..READS_UNDER_WRITES {
                let before = cell.load();
                if before.is_multiple_of(2) {
                    let secret = self.inner.get(path, which).await;
                    if cell.load() == before {
                        return Answer::fresh(secret, Some(Standing::on([(cell, before)])));
                    }
                }
                tokio::time::sleep(WRITER_PAUSE).await;
            }
        }
        Answer::fresh(self.inner.get(path, which).await, None)
    }

    async fn answer_many(&self, paths: &[SecretPath], look: Look) -> Vec<Answer> {
        let before: Vec<_> = paths
            .iter()
            .map(|path| self.inner.change_cell(path).map(|cell| (cell.load(), cell)))
            .collect();
        let mut read = self.inner.get_many(paths).await.into_iter();
        let mut answers = Vec::with_capacity(paths.len());
        for (path, before) in paths.iter().zip(before) {
            let Some(secret) = read.next() else {
                answers.push(Answer::short());
                continue;
            };
            answers.push(match before {
                None => Answer::fresh(secret, None),
                Some((number, cell)) if number.is_multiple_of(2) && cell.load() == number => {
                    Answer::fresh(secret, Some(Standing::on([(cell, number)])))
                }
                // A writer was in the way of this one.
                Some(_) => self.answer(path, Which::Current, look).await,
            });
        }
        answers
    }

    fn counters(&self, path: &SecretPath) -> Counters {
        let cell = self.inner.change_cell(path);
        Counters {
            complete: cell.is_some(),
            cells: cell.into_iter().collect(),
            far: self.far,
        }
    }
}
