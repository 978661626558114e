//! Collecting trials by capability, and running each in a runtime of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use strongroom_backend::{Capabilities, SecretPath};
use tokio::runtime::{Builder, Runtime};

use crate::flaw::Verdict;
use crate::subject::Subject;
use crate::target::{Make, Source, Target};

/// Worker threads for each trial: more than one, so that races are real.
const WORKERS: usize = 4;
/// How long tasks that a trial left behind may take to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// The trials of `target`, for [`libtest_mimic::run`]: those that its capabilities call for. Of a
/// target that is not configured all are listed, and ignored.
///
/// Where the store cannot be made at all there is one trial, `<target>::opens`, and it fails.
pub fn trials(target: Target) -> Vec<Trial> {
    let name = target.name.clone();
    plan(target)
        .into_iter()
        .map(|planned| {
            let full = format!("{name}::{}", planned.name);
            Trial::ignorable_test(full, move || match planned.run() {
                Outcome::Passed => Ok(Completion::Completed),
                Outcome::Failed(text) => Err(Failed::from(text)),
                Outcome::Ignored(reason) => Ok(Completion::ignored_with(reason)),
            })
        })
        .collect()
}

/// Runs the trials of `target` whose name contains `filter`, one after the other and without any
/// output: for tests of a test, such as that a broken store is found out.
pub fn judge(target: Target, filter: &str) -> Vec<Report> {
    plan(target)
        .into_iter()
        .filter(|planned| planned.name.contains(filter))
        .map(|planned| Report {
            trial: planned.name.clone(),
            outcome: planned.run(),
        })
        .collect()
}

/// What came of one trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name without the target's, as `values::every_byte_value`.
    pub trial: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The store did what it must.
    Passed,
    /// It did not; says what and where.
    Failed(String),
    /// It was not tried; says why.
    Ignored(String),
}

/// What a target has, as far as it decides which trials it gets.
pub(crate) struct Traits {
    pub(crate) can: Capabilities,
    pub(crate) cells: bool,
    pub(crate) marks: bool,
    pub(crate) holds: bool,
}

pub(crate) type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One trial: a name, which targets get it, and its body.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) needs: fn(&Traits) -> bool,
    pub(crate) body: fn(Subject) -> Running,
}

impl Case {
    pub(crate) fn new(
        module: &str,
        name: &str,
        needs: fn(&Traits) -> bool,
        body: fn(Subject) -> Running,
    ) -> Self {
        let module = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{module}::{name}"),
            needs,
            body,
        }
    }
}

/// Lists the trials of a file, by what they need.
macro_rules! cases {
    ($($needs:expr => [$($name:ident),+ $(,)?]),+ $(,)?) => {
        pub(super) fn cases() -> Vec<$crate::run::Case> {
            vec![$($($crate::run::Case::new(
                module_path!(),
                stringify!($name),
                $needs,
                |subject| Box::pin($name(subject)),
            )),+),+]
        }
    };
}

pub(crate) use cases;

struct Planned {
    name: String,
    work: Work,
    patience: Duration,
}

enum Work {
    Try(Make, fn(Subject) -> Running),
    Ignore(String),
    Fail(String),
}

fn plan(target: Target) -> Vec<Planned> {
    let patience = target.patience;
    let cases = crate::trials::all();
    let planned = |name: String, work| Planned {
        name,
        work,
        patience,
    };
    let unknown: Vec<_> = target
        .gaps
        .iter()
        .filter(|(gap, _)| !cases.iter().any(|case| case.name == *gap))
        .map(|(gap, _)| {
            let text = "`without` names a trial that does not exist".to_owned();
            planned(gap.clone(), Work::Fail(text))
        })
        .collect();
    let collected: Vec<_> = match &target.source {
        Source::NotConfigured(reason) => cases
            .into_iter()
            .map(|case| planned(case.name, Work::Ignore(reason.clone())))
            .collect(),
        Source::Made(make) => match probe(make, patience) {
            Err(text) => vec![planned("opens".to_owned(), Work::Fail(text))],
            Ok(traits) => cases
                .into_iter()
                .filter(|case| (case.needs)(&traits))
                .map(|case| {
                    let gap = target.gaps.iter().find(|(name, _)| *name == case.name);
                    let work = match gap {
                        Some((_, reason)) => Work::Ignore(reason.clone()),
                        None => Work::Try(make.clone(), case.body),
                    };
                    planned(case.name, work)
                })
                .collect(),
        },
    };
    collected.into_iter().chain(unknown).collect()
}

fn probe(make: &Make, patience: Duration) -> Result<Traits, String> {
    let make = make.clone();
    within(patience, async move {
        let fixture = make().await.map_err(|e| {
            let kind = e.kind();
            format!("the store cannot be made: {kind:?}, {e}")
        })?;
        let probe = SecretPath::parse("probe").map_err(|e| e.to_string())?;
        let marks = fixture.backend.mark().map_err(|e| e.to_string())?.is_some();
        Ok(Traits {
            can: fixture.backend.capabilities().clone(),
            cells: fixture.backend.change_cell(&probe).is_some(),
            marks,
            holds: !fixture.holds.is_empty(),
        })
    })
}

impl Planned {
    fn run(self) -> Outcome {
        let (make, body) = match self.work {
            Work::Try(make, body) => (make, body),
            Work::Ignore(reason) => return Outcome::Ignored(reason),
            Work::Fail(text) => return Outcome::Failed(text),
        };
        let result = within(self.patience, async move {
            let fixture = make().await.map_err(text)?;
            let subject = Subject::new(&fixture);
            let verdict = body(subject).await.map_err(text);
            drop(fixture);
            verdict
        });
        match result {
            Ok(()) => Outcome::Passed,
            Err(text) => Outcome::Failed(text),
        }
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Runs `work` as a task of a new runtime, so that a store that blocks its thread cannot hold the
/// deadline back.
fn within<T: Send + 'static>(
    patience: Duration,
    work: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    let runtime = runtime()?;
    let result = runtime.block_on(async move {
        let mut task = tokio::spawn(work);
        match tokio::time::timeout(patience, &mut task).await {
            Ok(Ok(result)) => result,
            Ok(Err(join)) => Err(format!("the trial panicked: {join}")),
            Err(_) => {
                task.abort();
                Err(format!("no answer within {patience:?}"))
            }
        }
    });
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(text)
}
