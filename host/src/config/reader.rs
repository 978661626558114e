use std::cell::RefCell;
use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{Lines, Problem};
use crate::grants::nearest;

/// The most problems that one reading reports; more would not be read.
const PROBLEMS: usize = 20;
/// The most of a name that a message repeats, in characters.
const REPEATED: usize = 64;

/// Collects what is wrong while a document is read, so that all of it is told at once.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    lines: Lines<'t>,
    problems: RefCell<Vec<(usize, Problem)>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: Lines::new(text),
            problems: RefCell::default(),
        }
    }

    /// Reports a problem. The message is made only where it will be told.
    pub(super) fn report(&self, span: &Range<usize>, message: impl FnOnce() -> String) {
        if self.problems.borrow().len() < PROBLEMS {
            let problem = self.lines.problem(span, message());
            self.problems.borrow_mut().push((span.start, problem));
        }
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.lines.line(span.start)
    }

    /// Everything reported, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(at, _)| *at);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// One table, from which every key must be taken.
#[derive(Debug)]
pub(super) struct Section<'r, 't> {
    pub(super) reader: &'r Reader<'t>,
    table: &'r DeTable<'t>,
    span: Range<usize>,
    name: String,
    asked: Vec<&'static str>,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'r, 't> Section<'r, 't> {
    /// `name` is how messages call the table; empty for the whole file.
    pub(super) fn new(
        reader: &'r Reader<'t>,
        name: String,
        table: &'r DeTable<'t>,
        span: Range<usize>,
    ) -> Self {
        Self {
            reader,
            table,
            span,
            name,
            asked: Vec::new(),
        }
    }

    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn label(&self) -> String {
        if self.name.ends_with(']') {
            self.name.clone()
        } else {
            format!("[{}]", self.name)
        }
    }

    pub(super) fn table(&self) -> &'r DeTable<'t> {
        self.table
    }

    /// The table without places, for comparing.
    pub(super) fn owned(&self) -> toml::Table {
        let value = Spanned::new(self.span.clone(), DeValue::Table(self.table.clone()));
        toml::Table::deserialize(ValueDeserializer::from(value)).unwrap_or_default()
    }

    /// Whether a key is absent, or an array of nothing.
    pub(super) fn lacks(&self, key: &str) -> bool {
        match self.table.get(key).map(Spanned::get_ref) {
            None => true,
            Some(DeValue::Array(array)) => array.is_empty(),
            Some(_) => false,
        }
    }

    /// Takes a key, whatever it holds.
    pub(super) fn any(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<At<&'r str>> {
        let value = self.any(key)?;
        string(self.reader, key, value)
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<At<u64>> {
        let value = self.any(key)?;
        let span = value.span();
        let integer = match value.get_ref() {
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()),
            other => {
                wrong_type(self.reader, key, "a number", other, &span);
                return None;
            }
        };
        if integer.is_err() {
            let message = || format!("'{key}' must be a whole number, 0 or more");
            self.reader.report(&span, message);
        }
        integer.ok().map(|value| At { value, span })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.any(key)?;
        if let DeValue::Boolean(boolean) = value.get_ref() {
            return Some(*boolean);
        }
        let (other, span) = (value.get_ref(), value.span());
        wrong_type(self.reader, key, "true or false", other, &span);
        None
    }

    /// Takes an array; what is absent is empty.
    pub(super) fn array(&mut self, key: &'static str) -> &'r [Spanned<DeValue<'t>>] {
        let Some(value) = self.any(key) else {
            return &[];
        };
        if let DeValue::Array(array) = value.get_ref() {
            return array;
        }
        let (other, span) = (value.get_ref(), value.span());
        wrong_type(self.reader, key, "an array", other, &span);
        &[]
    }

    /// Takes an array of strings, of which none may be there twice.
    pub(super) fn strings(&mut self, key: &'static str) -> Vec<At<&'r str>> {
        let mut strings: Vec<At<&str>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for value in self.array(key) {
            let Some(text) = string(self.reader, key, value) else {
                continue;
            };
            if !seen.insert(text.value) {
                let message = || format!("'{key}' holds {} twice", quoted(text.value));
                self.reader.report(&text.span, message);
            }
            strings.push(text);
        }
        strings
    }

    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        let value = self.any(key)?;
        let name = match self.name.as_str() {
            "" => key.to_owned(),
            outer => format!("{outer}.{key}"),
        };
        section(self.reader, name, value)
    }

    /// Takes a table of tables, such as `[vault.*]`: each entry's name and content.
    pub(super) fn entries(&mut self, key: &'static str) -> Vec<(At<&'r str>, Self)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let entry = |(name, value): (&'r Spanned<_>, &'r Spanned<DeValue<'t>>)| {
            let (text, span): (&std::borrow::Cow<'_, str>, _) = (name.get_ref(), name.span());
            let label = format!("{key}.{}", shortened(text));
            let mut inner = section(self.reader, label, value)?;
            inner.span = span.clone();
            let name = At {
                value: &**text,
                span,
            };
            Some((name, inner))
        };
        outer.table.iter().filter_map(entry).collect()
    }

    /// Reports that a key is missing.
    pub(super) fn missing(&self, key: &str, hint: &str) {
        let message = || format!("{} has no '{key}'{hint}", self.label());
        self.reader.report(&self.span, message);
    }

    /// Every key that was not asked for is an error.
    pub(super) fn finish(self) {
        for (key, _) in self.table {
            let text = key.get_ref();
            if self.asked.iter().any(|asked| asked == text) {
                continue;
            }
            self.reader.report(&key.span(), || {
                let place = match self.name.as_str() {
                    "" => String::new(),
                    _ => format!(" in {}", self.label()),
                };
                let near = nearest(text, self.asked.iter().copied());
                format!("unknown key {}{place}{near}", quoted(text))
            });
        }
    }
}

pub(super) fn section<'r, 't>(
    reader: &'r Reader<'t>,
    name: String,
    value: &'r Spanned<DeValue<'t>>,
) -> Option<Section<'r, 't>> {
    let span = value.span();
    match value.get_ref() {
        DeValue::Table(table) => Some(Section::new(reader, name, table, span)),
        other => {
            wrong_type(reader, &name, "a table", other, &span);
            None
        }
    }
}

fn string<'r>(
    reader: &Reader<'_>,
    key: &str,
    value: &'r Spanned<DeValue<'_>>,
) -> Option<At<&'r str>> {
    let span = value.span();
    match value.get_ref() {
        DeValue::String(text) => Some(At { value: text, span }),
        other => {
            wrong_type(reader, key, "a string", other, &span);
            None
        }
    }
}

pub(super) fn wrong_type(
    reader: &Reader<'_>,
    key: &str,
    wanted: &str,
    got: &DeValue<'_>,
    span: &Range<usize>,
) {
    let got = got.type_str();
    let article = if got.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    reader.report(span, || {
        format!("'{key}' must be {wanted}, not {article} {got}")
    });
}

/// A name from the file, shortened and without control characters.
pub(super) fn quoted(name: &str) -> String {
    format!("'{}'", shortened(name))
}

/// A name from the file, without quotes.
pub(super) fn shortened(name: &str) -> String {
    let mut short: String = name
        .chars()
        .take(REPEATED)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(REPEATED).is_some() {
        short.push_str("...");
    }
    short
}

/// What the TOML library says of an error, without the values that it may repeat, and with the
/// nearest word where it lists the valid ones.
pub(super) fn library_message(error: &toml::de::Error) -> String {
    let message = error.message();
    let message = match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let before = message.get(..first).unwrap_or_default();
            let after = message.get(last + 1..).unwrap_or_default();
            format!("{before}of this kind{after}")
        }
        _ => message.to_owned(),
    };
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let mut words = message.split('`').skip(1).step_by(2);
    match words.next() {
        Some(word) if unknown => {
            let what = message.split(' ').nth(1).unwrap_or_default();
            let what = if what == "field" { "key" } else { "word" };
            format!("unknown {what} {}{}", quoted(word), nearest(word, words))
        }
        _ => message,
    }
}
