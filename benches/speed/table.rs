//! Rows, and the table at the end.
#![expect(clippy::print_stdout, reason = "a bench answers by printing")]

use std::fmt::Write as _;

use crate::measure::{Spread, Turns};

/// One line of the table.
pub(crate) struct Row {
    measure: String,
    ours: String,
    against: String,
    ratio: String,
    bound: String,
    verdict: Verdict,
}

/// What became of a bound.
pub(crate) enum Verdict {
    Met,
    NotMet,
    /// It does not say anything on this machine.
    NotApplicable(String),
    /// Something that it needs is not here.
    NotMeasured(String),
    /// There is none: the row is to be read.
    None,
    /// The row did not run to its end.
    Failed(String),
}

/// Which side of its bound a number must lie on.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    /// Times of one call each, as a ratio.
    pub(crate) fn times(measure: impl Into<String>, turns: &Turns, bound: Bound) -> Self {
        let sides = (time(turns.ours().median), time(turns.against().median));
        Self::ratio(measure, sides, turns.ratio(), bound)
    }

    /// Times of one call each, as calls in a second and their ratio.
    pub(crate) fn rates(measure: impl Into<String>, turns: &Turns, bound: Bound) -> Self {
        let sides = (rate(turns.ours().median), rate(turns.against().median));
        let of_times = turns.ratio();
        let ratio = Spread {
            median: 1.0 / of_times.median,
            lowest: 1.0 / of_times.highest,
            highest: 1.0 / of_times.lowest,
        };
        Self::ratio(measure, sides, ratio, bound)
    }

    fn ratio(
        measure: impl Into<String>,
        (ours, against): (String, String),
        ratio: Spread,
        bound: Bound,
    ) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            ratio: spread(ratio, |number| format!("{number:.2}x")),
            bound: bound.text(|number| format!("{number}x")),
            verdict: bound.verdict(ratio.median),
        }
    }

    /// One number with a bound of its own, shown by `show`.
    pub(crate) fn number(
        measure: impl Into<String>,
        (ours, against): (String, String),
        number: Spread,
        bound: Bound,
        show: fn(f64) -> String,
    ) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            ratio: spread(number, show),
            bound: bound.text(show),
            verdict: bound.verdict(number.median),
        }
    }

    /// Words, and whether all is as they say.
    pub(crate) fn fact(
        measure: impl Into<String>,
        (ours, against): (String, String),
        bound: &str,
        verdict: Verdict,
    ) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            ratio: String::new(),
            bound: bound.to_owned(),
            verdict,
        }
    }

    pub(crate) fn failed(name: &str, error: &dyn std::error::Error) -> Self {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(why, ": {error}");
            cause = error.source();
        }
        Self::fact(name, Default::default(), "", Verdict::Failed(why))
    }

    /// The same where the bound says nothing, if `why` is given.
    pub(crate) fn unless(mut self, why: Option<String>) -> Self {
        if let Some(why) = why {
            self.verdict = Verdict::NotApplicable(why);
        }
        self
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }

    fn cells(&self, smoke: bool) -> [String; 6] {
        let verdict = match &self.verdict {
            Verdict::Met | Verdict::NotMet if smoke => "ran".to_owned(),
            Verdict::Met => "met".to_owned(),
            Verdict::NotMet => "NOT MET".to_owned(),
            Verdict::NotApplicable(why) => format!("not applicable: {why}"),
            Verdict::NotMeasured(why) => format!("not measured: {why}"),
            Verdict::None => String::new(),
            Verdict::Failed(why) => format!("FAILED: {why}"),
        };
        let text = |text: &String| text.clone();
        [
            text(&self.measure),
            text(&self.ours),
            text(&self.against),
            text(&self.ratio),
            text(&self.bound),
            verdict,
        ]
    }
}

impl Bound {
    fn verdict(self, number: f64) -> Verdict {
        let met = match self {
            Self::AtMost(bound) => number <= bound,
            Self::AtLeast(bound) => number >= bound,
        };
        if met { Verdict::Met } else { Verdict::NotMet }
    }

    fn text(self, show: impl Fn(f64) -> String) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {}", show(bound)),
            Self::AtLeast(bound) => format!(">= {}", show(bound)),
        }
    }
}

/// Says what goes on, at once.
pub(crate) fn note(text: &str) {
    println!("{text}");
}

/// Prints all rows. `smoke`: their numbers mean nothing.
pub(crate) fn print(rows: &[Row], smoke: bool) {
    let head = [
        "measure",
        "ours",
        "against",
        "ratio (median, lowest-highest)",
        "bound",
        "verdict",
    ];
    let lines: Vec<[String; 6]> = std::iter::once(head.map(str::to_owned))
        .chain(rows.iter().map(|row| row.cells(smoke)))
        .collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    println!();
    for (number, line) in lines.iter().enumerate() {
        println!("{}", joined(line, &widths));
        if number == 0 {
            println!(
                "{}",
                joined(&widths.map(|width| "-".repeat(width)), &widths)
            );
        }
    }
    let not_met = rows
        .iter()
        .filter(|row| matches!(row.verdict, Verdict::NotMet))
        .count();
    println!();
    if smoke {
        println!("A trial run: everything ran, and the numbers mean nothing.");
    } else {
        println!("{} rows, {not_met} bounds not met.", rows.len());
    }
}

fn joined(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    format!("| {} |", padded.join(" | "))
}

fn spread(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!(
        "{}, {}-{}",
        show(spread.median),
        show(spread.lowest),
        show(spread.highest)
    )
}

/// A time in nanoseconds, for people.
pub(crate) fn time(ns: f64) -> String {
    match ns.abs() {
        abs if abs < 1e4 => format!("{ns:.0} ns"),
        abs if abs < 1e7 => format!("{:.1} us", ns / 1e3),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}

fn rate(ns: f64) -> String {
    format!("{:.0}/s", 1e9 / ns)
}
