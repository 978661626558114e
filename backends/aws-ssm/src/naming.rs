//! References and the names of parameters, one to one.

use std::collections::BTreeMap;

use strongroom_backend::SecretPath;
use strongroom_backend_remote::{NameError, NameRules, Names};

/// The longest name. The service counts 1,011 characters with the ARN before it, of which the longest
/// beginning that there is has 57.
const MOST: usize = 947;
/// The most levels of a name.
const LEVELS: usize = 15;
/// What no name may begin with, in any case.
const RESERVED: [&str; 2] = ["aws", "ssm"];
/// Put before an encoded name that would begin so.
const GUARD: &str = "_";

/// The names of one vault.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    names: Names,
}

impl Naming {
    /// Maps paths below `prefix`.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, for the operator.
    pub(crate) fn new(prefix: &str, given: &BTreeMap<String, String>) -> Result<Self, String> {
        check_prefix(prefix)?;
        if let Some((path, _)) = given.iter().find(|(_, name)| !is_legal_name(name)) {
            return Err(format!(
                "the name given to '{path}' is no name of a parameter: it has only letters, digits and \
                 '_.-', with '/' only after a first one, at most 15 levels, and does not begin with \
                 'aws' or 'ssm'"
            ));
        }
        let names = Names::new(rules(prefix), prefix, given).map_err(|error| error.to_string())?;
        Ok(Self { names })
    }

    /// The parameter's name: legal there by construction, without a colon.
    pub(crate) fn name(&self, path: &SecretPath) -> Result<String, NameError> {
        let name = self.names.name(path)?;
        if !self.names.is_encoded(path) {
            return Ok(name);
        }
        let prefix = self.prefix();
        match name.strip_prefix(prefix) {
            Some(rest) if prefix == "/" && is_reserved(rest) => {
                Ok(format!("{prefix}{GUARD}{rest}"))
            }
            _ => Ok(name),
        }
    }

    /// The path of a parameter, with what its description says of it. None for one that is not ours.
    pub(crate) fn path(&self, name: &str, kept: Option<&str>) -> Option<SecretPath> {
        let prefix = self.prefix();
        let guarded = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix(GUARD));
        if let Some(rest) = guarded.filter(|rest| prefix == "/" && is_reserved(rest)) {
            let path = self.names.path(&format!("{prefix}{rest}"), kept);
            if let Some(path) = path.filter(|path| self.names.is_encoded(path)) {
                return Some(path);
            }
        }
        let path = self.names.path(name, kept)?;
        // What is guarded has no second name.
        (self.name(&path).ok()? == name).then_some(path)
    }

    /// Whether the name of `path` does not tell it.
    pub(crate) fn is_encoded(&self, path: &SecretPath) -> bool {
        self.names.is_encoded(path)
    }

    /// Whether others chose the name of `path`.
    pub(crate) fn is_given(&self, path: &SecretPath) -> bool {
        self.names.given().any(|(given, _)| given == path)
    }

    /// The names that others chose, by path.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&SecretPath, &str)> {
        self.names.given()
    }

    /// What all other names begin with.
    pub(crate) fn prefix(&self) -> &str {
        self.names.prefix()
    }

    /// What the encoded names of all paths that begin with `start` begin with: a slug has the
    /// letters and digits of its path in their order, in lower case.
    pub(crate) fn encoded_starts(&self, start: &str) -> Vec<String> {
        let word: String = start
            .chars()
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let prefix = self.prefix();
        let mut starts = vec![format!("{prefix}{word}")];
        if prefix == "/" {
            starts.push(format!("{prefix}{GUARD}{word}"));
        }
        starts
    }
}

/// Whether a prefix is one.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix == "/" {
        return Ok(());
    }
    let Some(inner) = prefix.strip_prefix('/').and_then(|p| p.strip_suffix('/')) else {
        return Err("a prefix begins and ends with '/': as in \"/prod/app/\"");
    };
    if !inner.split('/').all(is_level) {
        return Err("the levels of a prefix have letters, digits and '_.-', and are not empty");
    }
    if is_reserved(inner) {
        return Err("names that begin with 'aws' or 'ssm' belong to the service");
    }
    if inner.split('/').count() >= LEVELS {
        return Err("a prefix has at most 14 levels: the service takes 15 with the name");
    }
    Ok(())
}

fn is_level(level: &str) -> bool {
    !level.is_empty()
        && level
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_legal_name(name: &str) -> bool {
    let inner = name.strip_prefix('/').unwrap_or(name);
    let one_level = !inner.contains('/');
    name.len() <= MOST
        && (one_level || name.starts_with('/'))
        && inner.split('/').all(is_level)
        && inner.split('/').count() <= LEVELS
        && !is_reserved(inner)
}

/// Whether a name without its first `/` begins with what belongs to the service.
fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|word| {
        name.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    })
}

fn rules(prefix: &str) -> NameRules {
    let levels = prefix.matches('/').count().saturating_sub(1);
    NameRules {
        max: MOST,
        legal: if levels == 0 {
            below_the_root
        } else {
            below(levels)
        },
        ignores_case: false,
    }
}

fn below_the_root(path: &str) -> bool {
    fits::<LEVELS>(path) && !is_reserved(path)
}

/// The rule under a prefix of this many levels. Every character of a path is one of a name.
fn below(levels: usize) -> fn(&str) -> bool {
    const BY_LEVELS: [fn(&str) -> bool; LEVELS] = [
        fits::<15>, fits::<14>, fits::<13>, fits::<12>, fits::<11>, fits::<10>, fits::<9>,
        fits::<8>, fits::<7>, fits::<6>, fits::<5>, fits::<4>, fits::<3>, fits::<2>, fits::<1>,
    ];
    BY_LEVELS.get(levels).copied().unwrap_or(fits::<0>)
}

fn fits<const MOST_LEVELS: usize>(path: &str) -> bool {
    path.split('/').count() <= MOST_LEVELS
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn naming(prefix: &str, given: &[(&str, &str)]) -> Result<Naming, String> {
        let given = given.iter().map(|(p, n)| ((*p).into(), (*n).into()));
        Naming::new(prefix, &given.collect())
    }

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    fn name(prefix: &str, text: &str) -> String {
        naming(prefix, &[]).unwrap().name(&path(text)).unwrap()
    }

    #[test]
    fn paths_stand_as_they_are() {
        for text in ["stripe/api-key", "A/b_c.d", "aws/ssm/x", "x", "-/_/a."] {
            assert_eq!(name("/prod/app/", text), format!("/prod/app/{text}"));
        }
        assert_eq!(name("/", "db/main"), "/db/main");
    }

    #[test]
    fn what_the_service_does_not_take_is_encoded() {
        let deep = ["s"; 14].join("/");
        assert!(name("/a/b/", &deep).contains("--"));
        assert_eq!(name("/a/", &deep), format!("/a/{deep}"));
        for text in ["aws/ssm/x", "SSM", "Ssm-x/y", "awsome"] {
            let encoded = name("/", text);
            assert!(
                encoded.starts_with("/_") && is_legal_name(&encoded),
                "{encoded}"
            );
        }
    }

    #[test]
    fn names_come_back_whatever_the_prefix() {
        let deep = ["s"; 16].join("/");
        let texts = [
            "a",
            "aws",
            "AWS/x",
            "_aws",
            "ssm-x",
            "a--b",
            &*deep,
            "_aws--mfrggzdfmztwq2lkmfrggzdfmz",
            "aws--mfrggzdfmztwq2lkmfrggzdfmz",
        ];
        let fourteen = format!("/{}/", ["p"; 14].join("/"));
        for prefix in ["/", "/a/", "/a/b.c/", &*fourteen] {
            let naming = naming(prefix, &[]).unwrap();
            let mut seen = HashMap::new();
            for text in texts {
                let name = naming.name(&path(text)).unwrap();
                assert!(is_legal_name(&name), "{name}");
                let kept = naming.is_encoded(&path(text)).then_some(text);
                assert_eq!(naming.path(&name, kept), Some(path(text)), "{name}");
                assert_eq!(seen.insert(name, text), None);
            }
        }
    }

    #[test]
    fn an_encoded_name_begins_as_its_listing_asks() {
        let deep = format!("Db/_x/{}", ["s"; 14].join("/"));
        for prefix in ["/", "/a/"] {
            let naming = naming(prefix, &[]).unwrap();
            for text in [&*deep, "ssm/x/Y", "aws"] {
                let name = naming.name(&path(text)).unwrap();
                for end in 0..=text.len() {
                    let starts = naming.encoded_starts(&text[..end]);
                    let found = starts.iter().any(|start| name.starts_with(start));
                    assert!(
                        found || !naming.is_encoded(&path(text)),
                        "{name} {starts:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn given_names_are_checked() {
        let naming = naming("/a/", &[("k", "Legacy"), ("l", "/x/y")]).unwrap();
        assert_eq!(naming.name(&path("k")).unwrap(), "Legacy");
        assert_eq!(naming.path("/x/y", None), Some(path("l")));
        for name in [
            "a:5",
            "arn:aws:ssm:x",
            "a/b",
            "",
            "/",
            "/a//b",
            "awsX",
            "/ssm/x",
            "a b",
        ] {
            let refused = Naming::new("/a/", &[("k".into(), name.into())].into());
            assert!(refused.is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_path_has_a_legal_name_of_its_own(
            text in "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,9}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,10}){0,15}",
        ) {
            let Ok(path) = SecretPath::parse(&text) else { return Ok(()) };
            for prefix in ["/", "/a/b/c/d/e/"] {
                let naming = naming(prefix, &[]).unwrap();
                let name = naming.name(&path).unwrap();
                prop_assert!(is_legal_name(&name), "{}", name);
                let kept = naming.is_encoded(&path).then_some(&*text);
                prop_assert_eq!(naming.path(&name, kept), Some(path.clone()));
            }
        }
    }
}
