use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration, each problem with its place. It repeats names from the file,
/// never other values: they may be secrets that were put there by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1; none where the file as such is refused.
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong, and the nearest valid word where there is one.
    pub message: String,
}

impl ConfigError {
    /// A problem with the file as such.
    pub(crate) fn file(file: &Path, message: impl Into<String>) -> Self {
        let problem = Problem {
            line: None,
            column: None,
            message: message.into(),
        };
        Self::new(file, vec![problem])
    }

    pub(super) fn new(file: &Path, problems: Vec<Problem>) -> Self {
        let file = file.to_owned();
        Self { file, problems }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Every problem found, in the order of the file; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if let Some(column) = problem.column {
                write!(f, ":{column}")?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

/// Finds lines and columns in a text.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after).collect();
        Self { text, starts }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1)
    }

    pub(super) fn problem(&self, span: &Range<usize>, message: String) -> Problem {
        let line = self.line(span.start);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..span.start).unwrap_or_default();
        Problem {
            line: Some(line),
            column: Some(before.chars().count() + 1),
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_in_characters() {
        let lines = Lines::new("a\n\u{e9}\u{e9}b\n");
        let place = |at| {
            let problem = lines.problem(&(at..at), String::new());
            (problem.line.unwrap(), problem.column.unwrap())
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(2), (2, 1));
        assert_eq!(place(6), (2, 3));
        assert_eq!(place(8), (3, 1));
        assert_eq!(place(99), (3, 1));
    }
}
