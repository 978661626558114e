//! Which references are names of the service as they are.

use std::collections::BTreeMap;

use strongroom_backend_remote::{NameError, NameRules, Names};

/// The longest name of a secret.
const MOST: usize = 512;
/// The random characters that the service puts behind a hyphen after a name in an ARN.
const SUFFIX: usize = 6;

/// Every path has only characters that the service takes. What could be taken for the end of an
/// ARN does not stand as it is.
const RULES: NameRules = NameRules {
    max: MOST,
    legal: |path| !ends_like_an_arn(path),
    ignores_case: false,
};

/// The same below a prefix such as `prod-`, whose hyphen a short path would complete.
const BEHIND_A_HYPHEN: NameRules = NameRules {
    max: MOST,
    legal: |path| !ends_like_an_arn(path) && (path.len() > SUFFIX || !is_suffix_part(path)),
    ignores_case: false,
};

/// The names of one vault.
///
/// # Errors
///
/// [`NameError`] for what could make two paths meet.
pub(crate) fn names(prefix: &str, given: &BTreeMap<String, String>) -> Result<Names, NameError> {
    let open = prefix
        .rsplit_once('-')
        .is_some_and(|(_, end)| end.len() < SUFFIX && is_suffix_part(end));
    Names::new(if open { BEHIND_A_HYPHEN } else { RULES }, prefix, given)
}

/// Whether the service takes `text` in a name.
pub(crate) fn is_legal(text: &str) -> bool {
    text.len() <= MOST
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
}

fn ends_like_an_arn(path: &str) -> bool {
    path.rsplit_once('-')
        .is_some_and(|(_, end)| end.len() == SUFFIX && is_suffix_part(end))
}

fn is_suffix_part(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use strongroom_backend::SecretPath;

    use super::*;

    fn name(prefix: &str, path: &str) -> String {
        let names = names(prefix, &BTreeMap::new()).unwrap();
        names.name(&SecretPath::parse(path).unwrap()).unwrap()
    }

    #[test]
    fn paths_stand_as_they_are() {
        for path in [
            "stripe/api-key",
            "A/b_c.d",
            "x-12345",
            "x-1234567",
            "abcdef",
        ] {
            assert_eq!(name("prod/", path), format!("prod/{path}"));
        }
    }

    #[test]
    fn what_ends_like_an_arn_is_encoded() {
        for (prefix, path) in [
            ("", "x-AbCdEf"),
            ("prod/", "db-123456"),
            ("prod-", "abcdef"),
            ("my-ab", "cdef"),
        ] {
            let name = name(prefix, path);
            assert!(name.contains("--"), "{name}");
            assert!(!ends_like_an_arn(&name), "{name}");
        }
        assert_eq!(name("prod-", "abcdefg"), "prod-abcdefg");
        assert_eq!(name("prod-", "a/bcdef"), "prod-a/bcdef");
    }

    #[test]
    fn every_name_that_we_make_is_legal() {
        let long = format!("{}-aaaaaa", "x".repeat(240));
        for path in [&*long, "a-bcdefg", "a--b", "_/-/-abcdef"] {
            assert!(is_legal(&name("p/", path)), "{path}");
        }
        assert!(!is_legal("arn:aws:secretsmanager:x"));
        assert!(!is_legal("a b"));
    }
}
