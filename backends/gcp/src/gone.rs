//! The note of a delete.

/// How much of the annotations it may take.
const MAX: usize = 1 << 10;

/// That the newest version was deleted or destroyed, and which versions were deleted with the secret.
///
/// Versions tell the truth of what is readable; this tells a listing where it must look, and an
/// undelete which versions to take back. It counts for as long as `newest` is the newest version: a
/// write that follows a delete makes it void without having to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) newest: u64,
    /// First and last number of each run, rising.
    with: Vec<(u64, u64)>,
}

impl Gone {
    pub(crate) fn new(newest: u64, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut with: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match with.last_mut() {
                Some((_, last)) if number <= last.saturating_add(1) => *last = number,
                _ => with.push((number, number)),
            }
        }
        Self { newest, with }
    }

    /// Whether the version was deleted with the secret.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.with
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// Whether no version was.
    pub(crate) fn is_bare(&self) -> bool {
        self.with.is_empty()
    }

    /// Takes a version out of those deleted with the secret.
    pub(crate) fn remove(&mut self, number: u64) {
        let mut with = Vec::with_capacity(self.with.len() + 1);
        for (first, last) in self.with.drain(..) {
            if !(first..=last).contains(&number) {
                with.push((first, last));
                continue;
            }
            if first < number {
                with.push((first, number - 1));
            }
            if number < last {
                with.push((number + 1, last));
            }
        }
        self.with = with;
    }

    /// `3:1,3`: the newest version, and the runs. Of runs that find no room the oldest are left out:
    /// those versions stay deleted until they are taken back by number.
    pub(crate) fn text(&self) -> String {
        let mut runs: Vec<String> = Vec::new();
        let mut length = 24;
        for (first, last) in self.with.iter().rev() {
            let run = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            length += run.len() + 1;
            if length > MAX {
                break;
            }
            runs.push(run);
        }
        runs.reverse();
        format!("{}:{}", self.newest, runs.join(","))
    }

    /// What [`Self::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (newest, runs) = text.split_once(':')?;
        let mut with: Vec<(u64, u64)> = Vec::new();
        for run in runs.split(',').filter(|run| !run.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            let rises = with.last().is_none_or(|(_, before)| *before < first);
            if first > last || !rises {
                return None;
            }
            with.push((first, last));
        }
        Some(Self {
            newest: newest.parse().ok()?,
            with,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_numbers(numbers in proptest::collection::btree_set(1u64..60, 0..40), out in 1u64..60) {
            let mut gone = Gone::new(60, numbers.iter().copied());
            prop_assert_eq!(Gone::parse(&gone.text()), Some(gone.clone()));
            gone.remove(out);
            for number in 1..60 {
                prop_assert_eq!(gone.has(number), number != out && numbers.contains(&number));
            }
            prop_assert_eq!(gone.is_bare(), numbers.iter().all(|n| *n == out));
            prop_assert_eq!(Gone::parse(&gone.text()), Some(gone));
        }
    }
}
