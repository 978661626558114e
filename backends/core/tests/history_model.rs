//! `History` against a model that is written from the words of its documentation: a list of
//! versions and, for the secret, what an undelete brings back.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use strongroom_backend::{ErrorKind, History, PutOptions, VersionState, Which};

#[derive(Clone, Debug)]
enum Step {
    Put(Option<u64>),
    Delete(Option<u64>),
    Undelete(Option<u64>),
    Destroy(u64),
    Prune(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0u64..7;
    let some = proptest::option::of(number.clone());
    let step = prop_oneof![
        3 => Just(Step::Put(None)),
        1 => some.clone().prop_map(Step::Put),
        3 => some.clone().prop_map(Step::Delete),
        3 => some.prop_map(Step::Undelete),
        1 => number.prop_map(Step::Destroy),
        1 => (0usize..5).prop_map(Step::Prune),
    ];
    prop::collection::vec(step, 0..40)
}

/// Each version by number: readable, deleted alone, deleted with the secret, or destroyed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Live,
    Alone,
    Whole,
    Destroyed,
}

#[derive(Clone, Debug, Default)]
struct Model {
    last: u64,
    lives: BTreeMap<u64, Life>,
    /// The newest version is the secret's head, unless it was destroyed: nothing else is ever
    /// current.
    headless: bool,
}

impl Model {
    fn head(&self) -> Option<u64> {
        let newest = *self.lives.keys().next_back()?;
        (!self.headless).then_some(newest)
    }

    fn current(&self) -> Option<u64> {
        self.head().filter(|n| self.lives[n] == Life::Live)
    }

    fn with(&self, life: Life) -> Vec<u64> {
        let of = |(n, l): (&u64, &Life)| (*l == life).then_some(*n);
        self.lives.iter().filter_map(of).collect()
    }

    fn set(&mut self, numbers: &[u64], life: Life) {
        for number in numbers {
            self.lives.insert(*number, life);
        }
    }

    /// Carries a step out; `Err` is the kind that it is refused with.
    fn take(&mut self, step: &Step) -> Result<(), ErrorKind> {
        let missing = Err(ErrorKind::NotFound);
        match *step {
            Step::Put(expected) => {
                let current = self.current().unwrap_or(0);
                if expected.is_some_and(|e| e != current) {
                    return Err(ErrorKind::Conflict(current));
                }
                let before = self.with(Life::Whole);
                self.set(&before, Life::Alone);
                self.last += 1;
                self.set(&[self.last], Life::Live);
                self.headless = false;
            }
            Step::Delete(None) => match &self.with(Life::Live)[..] {
                [] => return missing,
                live => self.set(live, Life::Whole),
            },
            Step::Delete(Some(n)) => match self.lives.get(&n) {
                Some(Life::Live) => self.set(&[n], Life::Alone),
                _ => return missing,
            },
            Step::Undelete(None) => {
                let whole = self.with(Life::Whole);
                let head = self.head().filter(|n| self.lives[n] == Life::Alone);
                match (&whole[..], head) {
                    ([], Some(head)) => self.set(&[head], Life::Live),
                    ([], None) => return missing,
                    (whole, _) => self.set(whole, Life::Live),
                }
            }
            Step::Undelete(Some(n)) => match self.lives.get(&n) {
                Some(Life::Alone | Life::Whole) => self.set(&[n], Life::Live),
                _ => return missing,
            },
            Step::Destroy(n) => match self.lives.get(&n) {
                None | Some(Life::Destroyed) => return missing,
                Some(_) => {
                    self.headless |= self.head() == Some(n);
                    self.set(&[n], Life::Destroyed);
                }
            },
            Step::Prune(keep) => {
                while self.lives.len() > keep.max(1) {
                    self.lives.pop_first();
                }
            }
        }
        Ok(())
    }

    fn states(&self) -> Vec<(u64, VersionState)> {
        let state = |(n, life): (&u64, &Life)| {
            let state = match life {
                Life::Live if self.current() == Some(*n) => VersionState::Current,
                Life::Live => VersionState::Superseded,
                Life::Alone | Life::Whole => VersionState::Deleted,
                Life::Destroyed => VersionState::Destroyed,
            };
            (*n, state)
        };
        self.lives.iter().rev().map(state).collect()
    }
}

fn take(history: &mut History, step: &Step) -> Result<Option<u64>, ErrorKind> {
    let now = 9;
    let done = match step {
        Step::Put(expected) => {
            let options = PutOptions {
                expected: *expected,
                ..PutOptions::default()
            };
            history.put(&options, now).map(Some)
        }
        Step::Delete(number) => history.delete(*number, now).map(Some),
        Step::Undelete(number) => history.undelete(*number, now).map(Some),
        Step::Destroy(number) => history.destroy(*number, now).map(|()| None),
        Step::Prune(keep) => {
            history.prune(*keep);
            Ok(None)
        }
    };
    done.map_err(|error| error.kind())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn history_agrees_with_its_model(steps in steps()) {
        let (mut history, mut model) = (History::default(), Model::default());
        for step in &steps {
            let before = history.clone();
            let expected = model.take(step);
            let done = take(&mut history, step);
            prop_assert_eq!(done.map(drop), expected, "{:?}", step);
            if expected.is_err() {
                prop_assert_eq!(&history, &before, "a refused step changes nothing: {:?}", step);
            }
            let states: Vec<_> = history.versions().iter().map(|v| (v.version, v.state)).collect();
            prop_assert_eq!(states, model.states(), "after {:?}", step);
            let current = history.readable(Which::Current, 0).ok();
            prop_assert_eq!(current, model.current(), "after {:?}", step);
            prop_assert_eq!(history.describe().version, current);
            prop_assert_eq!(history.is_listed(), current.is_some());
            for number in 0..=model.last + 1 {
                let readable = history.readable(Which::Version(number), 0).is_ok();
                prop_assert_eq!(readable, model.lives.get(&number) == Some(&Life::Live));
            }
        }
    }

    /// What a change answers is the version that it made current, the one that was named, or one
    /// that it changed; never one that is destroyed or was never written.
    #[test]
    fn a_change_answers_with_a_version_that_it_touched(steps in steps()) {
        let mut history = History::default();
        for step in &steps {
            let before = history.versions();
            let Ok(Some(answered)) = take(&mut history, step) else { continue };
            let state = |versions: &[strongroom_backend::VersionInfo]| {
                versions.iter().find(|v| v.version == answered).map(|v| v.state)
            };
            let (was, is) = (state(&before), state(&history.versions()));
            prop_assert_ne!(was, is, "{:?} answered {}", step, answered);
            if let (Step::Undelete(None), Some(current)) = (step, history.describe().version)
                && before.iter().all(|v| v.state != VersionState::Current)
            {
                prop_assert_eq!(answered, current);
            }
        }
    }
}
