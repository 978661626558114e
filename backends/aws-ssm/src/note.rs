//! The description of a parameter: who wrote the version, and the path where the name does not tell.
//!
//! It is the one thing beside the value that belongs to a version and changes in the same call.

use strongroom_backend_aws::tag::{decoded, encoded};

const START: &str = "Written by Strongroom";
const AUTHOR: &str = " for ";
const PATH: &str = "; path ";
/// The most characters of a description.
const MOST: usize = 1024;

/// What a description of ours says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) author: Option<String>,
    pub(crate) path: Option<String>,
}

impl Note {
    /// The description. An author that it cannot hold is left out.
    pub(crate) fn to_text(&self) -> String {
        let mut text = START.to_owned();
        let author = self.author.as_deref().map(encoded);
        if let Some(author) = author.filter(|author| author.len() <= MOST / 2) {
            text.push_str(AUTHOR);
            text.push_str(&author);
        }
        if let Some(path) = &self.path {
            text.push_str(PATH);
            text.push_str(path);
        }
        text
    }

    /// What a description says; none for one that is not ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(START)?;
        let (author, path) = match rest.split_once(PATH) {
            Some((author, path)) => (author, Some(path.to_owned())),
            None => (rest, None),
        };
        let author = match author {
            "" => None,
            author => Some(decoded(author.strip_prefix(AUTHOR)?)?),
        };
        Some(Self { author, path })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_reads_as_a_sentence() {
        let note = Note {
            author: Some("component:billing".into()),
            path: None,
        };
        assert_eq!(
            note.to_text(),
            "Written by Strongroom for component:billing"
        );
        assert_eq!(Note::default().to_text(), "Written by Strongroom");
        for text in [
            "",
            "by hand",
            "Written by Strongroom!",
            "Written by Strongroomfor x",
        ] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_note_comes_back(author in proptest::option::of(".{0,40}"), path in proptest::option::of("[a-z/]{1,20}")) {
            let note = Note { author, path };
            prop_assert!(note.to_text().len() <= MOST);
            prop_assert_eq!(Note::parse(&note.to_text()), Some(note));
        }
    }
}
