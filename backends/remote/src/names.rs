//! How references become names of a service, one to one.
//!
//! A path stands as it is where the service takes it and it does not have the shape of an encoded
//! name. Any other becomes `<slug>--<hash>`: readable, legal everywhere, and never the name of a second
//! path, as the hash has 128 bits of SHA-256 over the exact path. The store keeps the exact path beside
//! the value, in a tag or annotation, from which [`Names::path`] reads it back for listings, and
//! which [`Names::verify`] compares at each read.

use std::collections::BTreeMap;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use strongroom_backend::SecretPath;

/// Which names a service takes.
#[derive(Clone, Copy, Debug)]
pub struct NameRules {
    /// The longest name in bytes, prefix included.
    pub max: usize,
    /// Whether the service takes a path as it is, whatever the prefix. It must say no to upper case
    /// where `ignores_case`.
    pub legal: fn(&str) -> bool,
    /// Whether the service takes names that differ in case alone for one name.
    pub ignores_case: bool,
}

/// References and their names in one vault: a prefix, names that others gave, and the encoding.
#[derive(Clone, Debug)]
pub struct Names {
    rules: NameRules,
    prefix: String,
    given: BTreeMap<SecretPath, String>,
    /// The given names, folded where case is ignored.
    taken: BTreeMap<String, SecretPath>,
}

/// Why names cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The prefix leaves no room for names.
    #[error("the prefix leaves less than {ROOM} of {0} bytes for names: shorten it")]
    Prefix(usize),
    /// A key of `names` is not a path.
    #[error("a key of 'names' is not the path of a secret: {0}")]
    Path(strongroom_backend::ReferenceError),
    /// A given name is longer than the service takes, or empty.
    #[error("the name given to '{0}' is empty or too long for the service")]
    Length(SecretPath),
    /// Two paths were given one name.
    #[error("'{0}' and '{1}' were given the same name")]
    Twice(SecretPath, SecretPath),
    /// The path's own name was given to another path.
    #[error("the name of this path was given to '{0}' in 'names'")]
    Taken(SecretPath),
}

/// Bytes that must be left for a name: an encoded one with a slug of some use.
const ROOM: usize = 48;
const SEPARATOR: &str = "--";
/// 128 bits in base32.
const HASH: usize = 26;

impl Names {
    /// Maps paths below `prefix`; `given` are names that others chose, by path, without the prefix.
    /// Whether prefix and given names have legal characters is for the store to check.
    ///
    /// # Errors
    ///
    /// [`NameError`] for what could make two paths meet.
    pub fn new(
        rules: NameRules,
        prefix: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, NameError> {
        if prefix.len() + ROOM > rules.max {
            return Err(NameError::Prefix(rules.max));
        }
        let mut names = Self {
            rules,
            prefix: prefix.to_owned(),
            given: BTreeMap::new(),
            taken: BTreeMap::new(),
        };
        for (path, name) in given {
            let path = SecretPath::parse(path).map_err(NameError::Path)?;
            if name.is_empty() || name.len() > rules.max {
                return Err(NameError::Length(path));
            }
            if let Some(other) = names.taken.insert(names.folded(name), path.clone()) {
                return Err(NameError::Twice(other, path));
            }
            names.given.insert(path, name.clone());
        }
        Ok(names)
    }

    /// The prefix of all names that were not given.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The names that others gave, by path.
    pub fn given(&self) -> impl Iterator<Item = (&SecretPath, &str)> {
        self.given.iter().map(|(path, name)| (path, name.as_str()))
    }

    /// The service's name of `path`, prefix included.
    ///
    /// # Errors
    ///
    /// [`NameError::Taken`] where that name was given to another path.
    pub fn name(&self, path: &SecretPath) -> Result<String, NameError> {
        if let Some(name) = self.given.get(path) {
            return Ok(name.clone());
        }
        let name = if self.stands(path) {
            format!("{}{path}", self.prefix)
        } else {
            self.encoded(path)
        };
        match self.taken.get(&self.folded(&name)) {
            Some(other) => Err(NameError::Taken(other.clone())),
            None => Ok(name),
        }
    }

    /// Whether the name of `path` does not tell the path, so that the store must keep it beside the value.
    pub fn is_encoded(&self, path: &SecretPath) -> bool {
        !self.given.contains_key(path) && !self.stands(path)
    }

    /// Whether what is kept beside a value says that it belongs to `path`. Compared at each read of
    /// an encoded name: without the right note the value is somebody else's.
    pub fn verify(&self, path: &SecretPath, kept: Option<&str>) -> bool {
        !self.is_encoded(path) || kept == Some(path.as_str())
    }

    /// The path that has `name` in the service, with what is `kept` beside it, for listings. None for
    /// a name that no path of this vault has.
    pub fn path(&self, name: &str, kept: Option<&str>) -> Option<SecretPath> {
        let name = self.folded(name);
        if let Some(path) = self.taken.get(&name) {
            return Some(path.clone());
        }
        let rest = name.strip_prefix(&self.folded(&self.prefix))?;
        let own = if is_encoded_shape(rest) { kept? } else { rest };
        let path = SecretPath::parse(own).ok()?;
        // The note may lie, and a path of `names` has no second name.
        let proven = self.name(&path).is_ok_and(|own| self.folded(&own) == name);
        proven.then_some(path)
    }

    fn stands(&self, path: &SecretPath) -> bool {
        let text = path.as_str();
        (self.rules.legal)(text)
            && !is_encoded_shape(text)
            && self.prefix.len() + text.len() <= self.rules.max
    }

    fn encoded(&self, path: &SecretPath) -> String {
        let room = self.rules.max - self.prefix.len() - SEPARATOR.len() - HASH;
        let slug = slug(path.as_str(), room);
        let hash = hash(path.as_str());
        format!("{}{slug}{SEPARATOR}{hash}", self.prefix)
    }

    fn folded(&self, name: &str) -> String {
        if self.rules.ignores_case {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        }
    }
}

/// Whether a name ends as encoded ones do, in either case. Such a path is never taken as it is.
fn is_encoded_shape(name: &str) -> bool {
    let Some((_, hash)) = name.rsplit_once(SEPARATOR) else {
        return false;
    };
    hash.len() == HASH
        && hash
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'2'..=b'7'))
}

/// Lower-case letters, digits and single hyphens, with a letter or digit at both ends.
fn slug(path: &str, most: usize) -> String {
    let mut slug = String::with_capacity(path.len().min(most));
    for c in path.chars().map(|c| c.to_ascii_lowercase()) {
        if slug.len() >= most {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "secret".to_owned()
    } else {
        slug.to_owned()
    }
}

fn hash(path: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"strongroom name 1\0");
    hasher.update(path.as_bytes());
    let digest = hasher.finalize();
    let mut hash = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    hash.truncate(HASH);
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// As Key Vault: letters, digits and hyphens, at most 127, case ignored.
    const STRICT: NameRules = NameRules {
        max: 127,
        legal: |path| {
            path.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        },
        ignores_case: true,
    };

    fn names(prefix: &str, given: &[(&str, &str)]) -> Result<Names, NameError> {
        let given = given.iter().map(|(p, n)| ((*p).into(), (*n).into()));
        Names::new(STRICT, prefix, &given.collect())
    }

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    #[test]
    fn a_legal_path_stands_as_it_is_and_others_stay_readable() {
        let names = names("app-", &[]).unwrap();
        assert_eq!(names.name(&path("db-main")).unwrap(), "app-db-main");
        let encoded = names.name(&path("stripe/api_Key")).unwrap();
        assert!(encoded.starts_with("app-stripe-api-key--"), "{encoded}");
        assert!(encoded.len() <= STRICT.max);
    }

    #[test]
    fn the_encoding_never_changes() {
        let name = names("", &[]).unwrap().name(&path("a/b")).unwrap();
        assert_eq!(name, "a-b--mxpldl3mzsgqn2nrgfgmivc53s");
    }

    #[test]
    fn a_path_of_the_encoded_shape_is_encoded_again() {
        let names = names("", &[]).unwrap();
        let first = names.name(&path("a/b")).unwrap();
        let second = names.name(&path(&first)).unwrap();
        assert_ne!(first, second);
        let upper = names.name(&path(&first.to_uppercase())).unwrap();
        assert_ne!(first, upper.to_lowercase());
    }

    #[test]
    fn short_paths_never_meet_even_without_case() {
        const CHARS: [&str; 6] = ["a", "A", "-", "_", ".", "/"];
        let names = names("", &[]).unwrap();
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts
                .iter()
                .flat_map(|text| CHARS.map(|c| format!("{text}{c}")))
                .collect();
            for text in &texts {
                let Ok(path) = SecretPath::parse(text) else {
                    continue;
                };
                let name = names.name(&path).unwrap();
                let kept = names.is_encoded(&path).then_some(path.as_str());
                assert_eq!(names.path(&name, kept), Some(path.clone()));
                let other = seen.insert(name.to_lowercase(), text.clone());
                assert_eq!(other, None, "{text}");
            }
        }
        assert!(seen.len() > 4_000);
    }

    #[test]
    fn a_given_name_is_reached_by_its_path_alone() {
        let names = names("", &[("stripe/api-key", "LegacyStripeKey")]).unwrap();
        assert_eq!(
            names.name(&path("stripe/api-key")).unwrap(),
            "LegacyStripeKey"
        );
        assert_eq!(
            names.name(&path("legacystripekey")),
            Err(NameError::Taken(path("stripe/api-key")))
        );
        assert_eq!(
            names.path("LEGACYSTRIPEKEY", None),
            Some(path("stripe/api-key"))
        );
    }

    #[test]
    fn given_names_may_not_meet() {
        let twice = names("", &[("a", "Key"), ("b", "kEY")]).unwrap_err();
        assert_eq!(twice, NameError::Twice(path("a"), path("b")));
        assert!(matches!(
            names("", &[("/", "Key")]),
            Err(NameError::Path(_))
        ));
        assert!(matches!(names("", &[("a", "")]), Err(NameError::Length(_))));
        assert!(names(&"p".repeat(80), &[]).is_err());
    }

    #[test]
    fn a_note_that_lies_is_not_believed() {
        let names = names("", &[]).unwrap();
        let name = names.name(&path("a/b")).unwrap();
        assert_eq!(names.path(&name, Some("c/d")), None);
        assert_eq!(names.path(&name, None), None);
        assert!(!names.verify(&path("a/b"), Some("c/d")));
        assert!(!names.verify(&path("a/b"), None));
        assert!(names.verify(&path("ab"), None));
    }

    proptest! {
        #[test]
        fn names_come_back(text in "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,9}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,30}){0,6}") {
            let names = names("p-", &[]).unwrap();
            let Ok(path) = SecretPath::parse(&text) else { return Ok(()); };
            let name = names.name(&path).unwrap();
            prop_assert!(name.len() <= STRICT.max);
            prop_assert!((STRICT.legal)(&name));
            let kept = names.is_encoded(&path).then_some(text.as_str());
            prop_assert_eq!(names.path(&name, kept), Some(path));
        }
    }
}
