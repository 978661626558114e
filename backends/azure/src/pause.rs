//! Waiting for the service, within bounds, and for each other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

/// Between two looks at something that the service is doing.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Looks again after growing pauses, until a time. The first look is at once.
pub(crate) struct Pause {
    until: Instant,
    next: Duration,
}

impl Pause {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            until: Instant::now() + patience,
            next: Duration::ZERO,
        }
    }

    /// Waits before the next look; false where the time is up.
    pub(crate) async fn wait(&mut self) -> bool {
        let now = Instant::now();
        if now + self.next >= self.until {
            return false;
        }
        if !self.next.is_zero() {
            tokio::time::sleep(self.next).await;
        }
        self.next = (self.next * 2).clamp(FIRST, LONGEST);
        true
    }
}

/// One change at a time for each name: two within one second could not be told apart by number.
pub(crate) struct Turns(Vec<Arc<tokio::sync::Mutex<()>>>);

impl Turns {
    /// Names that share a turn wait for each other; enough that few do.
    const COUNT: usize = 256;

    pub(crate) fn new() -> Self {
        Self((0..Self::COUNT).map(|_| Arc::default()).collect())
    }

    pub(crate) async fn take(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        let mut hasher = DefaultHasher::new();
        name.to_ascii_lowercase().hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % Self::COUNT as u64).ok()?;
        Some(Arc::clone(self.0.get(at)?).lock_owned().await)
    }
}

/// Names that this process deleted a short while ago. The service shows them neither as there nor
/// as deleted until it is done: without this a secret would seem never to have been.
#[derive(Default)]
pub(crate) struct Recent(Mutex<HashMap<String, Instant>>);

impl Recent {
    /// The service was seen to take half a minute.
    const AGE: Duration = Duration::from_secs(120);
    const MOST: usize = 4096;

    pub(crate) fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= Self::MOST {
            names.retain(|_, at| at.elapsed() < Self::AGE);
        }
        if names.len() < Self::MOST {
            names.insert(name.to_ascii_lowercase(), Instant::now());
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&name.to_ascii_lowercase());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .get(&name.to_ascii_lowercase())
            .is_some_and(|at| at.elapsed() < Self::AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_end_with_the_patience() {
        let mut pause = Pause::new(Duration::from_millis(350));
        let began = Instant::now();
        let mut looks = 0;
        while pause.wait().await {
            looks += 1;
        }
        assert_eq!(looks, 3, "at once, after 100 ms, after 200 ms more");
        assert!(began.elapsed() < Duration::from_millis(700));
    }

    #[tokio::test]
    async fn a_name_has_one_turn_whatever_its_case() {
        let turns = Turns::new();
        let turn = turns.take("Name").await;
        let again = tokio::time::timeout(Duration::from_millis(20), turns.take("nAME"));
        assert!(again.await.is_err());
        drop(turn);
        assert!(turns.take("name").await.is_some());
    }
}
