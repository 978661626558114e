//! Random operations, on the store and on the memory store as its model: the answers must agree.
//!
//! Operations come from a seed, so that a failure repeats; `STRONGROOM_TESTKIT_SEED` (a number)
//! tries another walk.

use std::collections::HashMap;
use std::fmt;

use strongroom_backend::{
    Backend, CompareAndSet, ErrorKind, MemoryBackend, PutOptions, Result, SecretPath, SecretValue,
    VersionInfo, VersionNumbers, VersionState, Versioning, Which,
};

use super::writes;
use crate::flaw::{Flaw, Verdict, ensure};
use crate::run::cases;
use crate::subject::{Subject, labelled, path};

/// A name within a walk.
type Name = &'static str;

const WALKS: u64 = 4;
const STEPS: usize = 150;
/// Few enough that operations meet, and that no secret gets more versions than stores keep.
const NAMES: [Name; 5] = ["a", "A", "a/b", "a-b", "b"];
/// How many of the last operations a failure shows.
const SHOWN: usize = 25;

cases! { writes => [random_operations_agree_with_the_memory_store] }

/// Whatever is done in whatever order, kinds of answers, values, states and listings agree.
async fn random_operations_agree_with_the_memory_store(s: Subject) -> Verdict {
    let seed = std::env::var("STRONGROOM_TESTKIT_SEED");
    let seed: u64 = seed.ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    for walk in 0..WALKS {
        let seed = seed.wrapping_add(walk.wrapping_mul(1 << 32));
        let mut walk = Walk::new(&s, format!("walk-{walk}"), seed);
        walk.run().await.map_err(|flaw| {
            let from = walk.log.len().saturating_sub(SHOWN);
            let log: Vec<_> = walk
                .log
                .iter()
                .skip(from)
                .map(ToString::to_string)
                .collect();
            Flaw::new(format!(
                "{flaw}; seed {seed}, after:\n  {}",
                log.join("\n  ")
            ))
        })?;
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        name: Name,
        value: u8,
        expected: Option<u64>,
        labels: bool,
    },
    Get(Name, Which),
    GetMany(Vec<Name>),
    Delete(Name, Option<u64>),
    Undelete(Name, Option<u64>),
    Destroy(Name, u64),
    List(&'static str, usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

struct Walk<'s> {
    s: &'s Subject,
    root: String,
    model: MemoryBackend,
    random: Random,
    /// The store's number of each number of the model.
    numbers: HashMap<(Name, u64), u64>,
    log: Vec<Step>,
}

impl<'s> Walk<'s> {
    fn new(s: &'s Subject, root: String, seed: u64) -> Self {
        Self {
            s,
            root,
            model: MemoryBackend::new(),
            random: Random(seed),
            numbers: HashMap::new(),
            log: Vec::new(),
        }
    }

    async fn run(&mut self) -> Verdict {
        for _ in 0..STEPS {
            let step = self.choose();
            self.log.push(step.clone());
            self.take(step).await?;
        }
        for name in NAMES {
            self.compare_history(name).await?;
        }
        Ok(())
    }

    /// The next operation, among those that the store can do.
    fn choose(&mut self) -> Step {
        let can = &self.s.can;
        let numbered = can.versions != VersionNumbers::None;
        let soft = numbered && can.undelete;
        let alone = soft && can.delete_version;
        let name = self.random.one_of(&NAMES);
        let number = 1 + self.random.below(6) as u64;
        let one = self.random.below(2) == 0;
        match self.random.below(20) {
            0..=6 => Step::Put {
                name,
                value: self.random.below(256) as u8,
                expected: match (can.compare_and_set, self.random.below(4)) {
                    (CompareAndSet::Full, 0) => Some(number),
                    (CompareAndSet::Full | CompareAndSet::CreateOnly, 1) => Some(0),
                    _ => None,
                },
                labels: can.metadata && one,
            },
            7..=8 if soft => Step::Get(name, Which::Version(number)),
            9..=10 => Step::GetMany((0..4).map(|_| self.random.one_of(&NAMES)).collect()),
            11..=12 => Step::Delete(name, (alone && one).then_some(number)),
            13..=14 if soft => Step::Undelete(name, (alone && one).then_some(number)),
            15 if soft && can.destroy => Step::Destroy(name, number),
            16..=17 if can.list => Step::List(
                self.random.one_of(&["", "a", "a/", "A"]),
                1 + self.random.below(6),
            ),
            _ => Step::Get(name, Which::Current),
        }
    }

    async fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Put {
                name,
                value,
                expected,
                labels,
            } => self.put(name, value, expected, labels).await,
            Step::Get(name, which) => {
                let store = match which {
                    Which::Current => Which::Current,
                    Which::Version(number) => Which::Version(self.number(name, number)),
                };
                let model = self.model.get(&path(name)?, which).await;
                let got = self.s.backend.get(&self.path(name)?, store).await;
                self.same_secret(name, model, got)
            }
            Step::GetMany(names) => {
                let mut asked = Vec::new();
                for name in &names {
                    asked.push(self.path(name)?);
                }
                let answers = self.s.backend.get_many(&asked).await;
                ensure!(
                    answers.len() == names.len(),
                    "get_many answers {} times",
                    answers.len()
                );
                for (name, got) in names.into_iter().zip(answers) {
                    let model = self.model.get(&path(name)?, Which::Current).await;
                    self.same_secret(name, model, got)?;
                }
                Ok(())
            }
            Step::Delete(name, version) => {
                let model = self.model.delete(&path(name)?, version).await;
                let version = version.map(|number| self.number(name, number));
                let got = self.s.backend.delete(&self.path(name)?, version).await;
                self.same_kind(name, model.map(drop), got.map(drop))
            }
            Step::Undelete(name, version) => {
                let model = self.model.undelete(&path(name)?, version).await;
                let version = version.map(|number| self.number(name, number));
                let got = self
                    .s
                    .versioning()?
                    .undelete(&self.path(name)?, version)
                    .await;
                self.same_kind(name, model.map(drop), got.map(drop))
            }
            Step::Destroy(name, version) => {
                let model = self.model.destroy(&path(name)?, version).await;
                let version = self.number(name, version);
                let got = self
                    .s
                    .versioning()?
                    .destroy(&self.path(name)?, version)
                    .await;
                self.same_kind(name, model.map(drop), got.map(drop))
            }
            Step::List(prefix, limit) => {
                let model = self.model.list(prefix, None, limit).await?;
                let prefix = format!("{}/{prefix}", self.root);
                let page = self.s.backend.list(&prefix, None, limit).await?;
                let expected: Vec<_> = model
                    .paths
                    .iter()
                    .map(|p| format!("{}/{p}", self.root))
                    .collect();
                let got: Vec<_> = page.paths.iter().map(ToString::to_string).collect();
                ensure!(
                    got == expected && page.more == model.more,
                    "the model lists {expected:?} (more: {}), the store {got:?} (more: {})",
                    model.more,
                    page.more
                );
                Ok(())
            }
        }
    }

    async fn put(&mut self, name: Name, value: u8, expected: Option<u64>, labels: bool) -> Verdict {
        let mut options = PutOptions {
            expected,
            ..PutOptions::default()
        };
        if labels {
            options.metadata = labelled(&[("value", &value.to_string())]);
        }
        let bytes = SecretValue::new(vec![value; usize::from(value)]);
        let model = self.model.put(&path(name)?, &bytes, &options).await;
        options.expected = expected.map(|number| self.number(name, number));
        let got = self
            .s
            .backend
            .put(&self.path(name)?, &bytes, &options)
            .await;
        if let (Ok(model), Ok(got)) = (&model, &got) {
            self.numbers.insert((name, model.version), got.version);
        }
        self.same_kind(name, model.map(drop), got.map(drop))
    }

    async fn compare_history(&mut self, name: Name) -> Verdict {
        let can = &self.s.can;
        if !can.undelete || can.versions == VersionNumbers::None {
            return Ok(());
        }
        let model = self.model.versions(&path(name)?).await;
        let got = self.s.backend.versions(&self.path(name)?).await;
        let states =
            |versions: Vec<VersionInfo>, number: &dyn Fn(u64) -> u64| -> Vec<(u64, VersionState)> {
                versions
                    .iter()
                    .map(|v| (number(v.version), v.state))
                    .collect()
            };
        let expected = model.map(|v| states(v, &|number| self.number(name, number)));
        let got = got.map(|v| states(v, &|number| number));
        match (expected, got) {
            (Ok(expected), Ok(got)) => {
                ensure!(
                    expected == got,
                    "the model has {expected:?}, the store {got:?}"
                );
                let model = self.model.describe(&path(name)?).await?;
                let told = self.s.backend.describe(&self.path(name)?).await?;
                let current = model.version.map(|number| self.number(name, number));
                ensure!(
                    told.version == current,
                    "described as {:?}, not {current:?}",
                    told.version
                );
                ensure!(
                    told.labels == model.labels,
                    "labels differ from the model's"
                );
                Ok(())
            }
            (expected, got) => self.same_kind(name, expected.map(drop), got.map(drop)),
        }
    }

    fn same_secret(
        &self,
        name: Name,
        model: Result<strongroom_backend::Secret>,
        got: Result<strongroom_backend::Secret>,
    ) -> Verdict {
        if let (Ok(model), Ok(got)) = (&model, &got) {
            let number = self.number(name, model.version);
            ensure!(
                got.version == number,
                "version {} answered, not {number}",
                got.version
            );
            ensure!(
                got.value == model.value,
                "the value of version {number} differs"
            );
        }
        self.same_kind(name, model.map(drop), got.map(drop))
    }

    fn same_kind(&self, name: Name, model: Result<()>, got: Result<()>) -> Verdict {
        let model = model.map_err(|error| match error.kind() {
            ErrorKind::Conflict(number) => ErrorKind::Conflict(self.number(name, number)),
            kind => kind,
        });
        let got = got.map_err(|error| error.kind());
        ensure!(
            model == got,
            "the model answers {model:?}, the store {got:?}"
        );
        Ok(())
    }

    /// What the store calls the model's version; a number not written yet stays as it is, where it
    /// cannot be one of the store's.
    fn number(&self, name: Name, number: u64) -> u64 {
        match self.numbers.get(&(name, number)) {
            Some(number) => *number,
            None if number == 0 => 0,
            None => u64::MAX - number,
        }
    }

    fn path(&self, name: Name) -> std::result::Result<SecretPath, Flaw> {
        path(&format!("{}/{}", self.root, name))
    }
}

/// SplitMix64: a few lines that give the same walk on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        let at = self.below(texts.len());
        texts.get(at).copied().unwrap_or_default()
    }
}
