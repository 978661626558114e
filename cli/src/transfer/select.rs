//! Which secrets a command line means: one, those under a prefix, or those that match a pattern.

use strongroom::backend::Reference;
use strongroom::grants::Pattern;
use strongroom::{CallError, Session};

use crate::failure::Failure;

/// What stands where a command takes secrets.
#[derive(Debug)]
pub(crate) enum Selection {
    /// A reference.
    One(Reference),
    /// Ends with `:` or `/`, or is given where only prefixes are: all that begin with it.
    Prefix(String),
    /// Has a `*`: all that match, as in grants.
    Matching {
        /// The vault with its colon, empty for the default vault.
        vault: String,
        pattern: Pattern,
    },
}

/// Whether a text names many secrets by how they begin.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.is_empty() || text.ends_with([':', '/'])
}

impl Selection {
    /// Reads a reference, a prefix or a pattern.
    ///
    /// # Errors
    ///
    /// It is none of them.
    pub(crate) fn parse(session: &Session, text: &str) -> Result<Self, Failure> {
        if text.contains('*') {
            let (vault, pattern) = text
                .find(':')
                .map_or(("", text), |at| text.split_at(at + 1));
            let pattern = Pattern::parse(pattern).map_err(|wrong| {
                Failure::usage(format!("this is no pattern: {wrong}"))
                    .hint("`*` stands for a part of one segment, `**` at the end for all below")
            })?;
            let vault = vault.to_owned();
            return Ok(Self::Matching { vault, pattern });
        }
        if is_prefix(text) {
            return Ok(Self::Prefix(text.to_owned()));
        }
        Ok(Self::One(session.parse(text)?))
    }

    /// What all the names begin with and is left out of them where they are put elsewhere.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::One(_) => "",
            Self::Prefix(text) => text.split_once(':').map_or(text, |(_, path)| path),
            Self::Matching { pattern, .. } => folder(literal(pattern)),
        }
    }

    /// The references that are meant, in order.
    ///
    /// # Errors
    ///
    /// Whatever listing fails on.
    pub(crate) async fn references(&self, session: &Session) -> Result<Vec<Reference>, CallError> {
        match self {
            Self::One(reference) => Ok(vec![reference.clone()]),
            Self::Prefix(prefix) => list(session, prefix).await,
            Self::Matching { vault, pattern } => {
                let mut all = list(session, &format!("{vault}{}", literal(pattern))).await?;
                all.retain(|reference| pattern.matches(reference.path()));
                Ok(all)
            }
        }
    }
}

/// What every match begins with.
fn literal(pattern: &Pattern) -> &str {
    let text = pattern.as_str();
    text.split_once('*').map_or(text, |(literal, _)| literal)
}

fn folder(literal: &str) -> &str {
    let end = literal.rfind('/').map_or(0, |at| at + 1);
    literal.get(..end).unwrap_or_default()
}

async fn list(session: &Session, prefix: &str) -> Result<Vec<Reference>, CallError> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = session.list(prefix, cursor.as_deref()).await?;
        all.extend(page.references);
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_where_its_names_begin_to_differ() {
        let pattern = Pattern::parse("app/db-*/key").unwrap();
        assert_eq!(literal(&pattern), "app/db-");
        assert_eq!(folder(literal(&pattern)), "app/");
        assert_eq!(folder(literal(&Pattern::parse("**").unwrap())), "");
    }
}
