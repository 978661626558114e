//! How references become names of Secrets, one to one.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use strongroom_backend_remote::{NameRules, Names};

use crate::config::{Config, Layout};
use crate::error::{Fault, Result};

/// The longest name of a Secret, and of a key in one.
const NAME: usize = 253;
/// The longest name of a namespace.
const LABEL: usize = 63;
/// What of a hash a label holds: 130 bits in base32.
const TAG: usize = 26;

/// A path stands for itself where it is the name of a Secret.
const OWN: NameRules = NameRules {
    max: NAME,
    legal: is_subdomain,
    ignores_case: false,
};

/// A path stands for itself where it is the name of a Secret, `/` and the name of a key.
const FOREIGN: NameRules = NameRules {
    max: NAME + 1 + NAME,
    legal: is_name_and_key,
    ignores_case: false,
};

/// The names of a vault.
pub(crate) fn names(config: &Config) -> Result<Names> {
    let (rules, what) = match config.layout {
        Layout::Own => (
            OWN,
            "the name of a Secret (lower-case letters, digits, '-' and '.')",
        ),
        Layout::Foreign => (FOREIGN, "'<name of a Secret>/<key>'"),
    };
    let prefix = &config.prefix;
    // Whether a name may follow it, which begins with a letter or a digit.
    if !prefix.is_empty() && !is_subdomain(&format!("{prefix}a")) {
        return Err(Fault::Config(
            "`prefix` must be the beginning of a Secret's name: lower-case letters, digits, '-' \
             and '.', with a letter or digit first"
                .into(),
        ));
    }
    for (path, name) in &config.names {
        let legal = match config.layout {
            Layout::Own => is_subdomain(name),
            Layout::Foreign => split(name).is_some(),
        };
        if !legal {
            let text = format!("in `names`, what '{path}' is given is not {what}");
            return Err(Fault::Config(text));
        }
    }
    Names::new(rules, prefix, &config.names).map_err(|error| Fault::Config(error.to_string()))
}

/// The name of a Secret and the key that a foreign name stands for.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    let (name, key) = name.split_once('/')?;
    (is_subdomain(name) && is_key(key)).then_some((name, key))
}

/// Whether this can be the name of a namespace.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= LABEL && is_word(text)
}

/// What a label can hold of a Secret's name, which may be four times as long as a label. It only
/// finds objects; each one found is then compared by its name.
pub(crate) fn tag(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut tag = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    tag.truncate(TAG);
    tag
}

fn is_name_and_key(path: &str) -> bool {
    split(path).is_some()
}

/// RFC 1123: words joined by dots.
fn is_subdomain(text: &str) -> bool {
    text.len() <= NAME && text.split('.').all(is_word)
}

fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes.iter().all(|b| plain(*b) || *b == b'-')
}

fn is_key(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    // "." and ".." are no keys, nor is what begins like the latter.
    let relative = text == "." || text.starts_with("..");
    !text.is_empty() && text.len() <= NAME && text.bytes().all(legal) && !relative
}

#[cfg(test)]
mod tests {
    use strongroom_backend::SecretPath;

    use super::*;
    use crate::config::Auth;

    fn config(layout: Layout, prefix: &str, given: &[(&str, &str)]) -> Config {
        let mut config = Config::new(Auth::Default, "app");
        config.layout = layout;
        config.prefix = prefix.to_owned();
        config.names = given
            .iter()
            .map(|(p, n)| ((*p).into(), (*n).into()))
            .collect();
        config
    }

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    #[test]
    fn every_name_is_one_that_kubernetes_takes() {
        let names = names(&config(Layout::Own, "shop.", &[])).unwrap();
        let long = "x".repeat(255);
        for text in [
            "db", "a.b", "a-b", "A", "a_b", "a/b", "-", "_", "-.", "a.", "a..b", &long,
        ] {
            let name = names.name(&path(text)).unwrap();
            assert!(is_subdomain(&name), "{text}: {name}");
            let kept = names.is_encoded(&path(text)).then_some(text);
            assert_eq!(names.path(&name, kept), Some(path(text)));
        }
        assert_eq!(names.name(&path("db.main-1")).unwrap(), "shop.db.main-1");
    }

    #[test]
    fn prefixes_and_given_names_must_be_legal() {
        for prefix in ["-", ".", "A-", "a_", "a..", "a/"] {
            assert!(
                names(&config(Layout::Own, prefix, &[])).is_err(),
                "{prefix}"
            );
        }
        for name in ["Upper", "a/b", "-a", "a."] {
            assert!(
                names(&config(Layout::Own, "", &[("a", name)])).is_err(),
                "{name}"
            );
        }
        for name in ["a", "A/b", "a/b/c", "a/..", "a/"] {
            assert!(
                names(&config(Layout::Foreign, "", &[("a", name)])).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_foreign_path_is_a_name_and_a_key() {
        let given = [("docker", "regcred/.dockerconfigjson")];
        let names = names(&config(Layout::Foreign, "", &given)).unwrap();
        let name = |text: &str| {
            let path = path(text);
            (!names.is_encoded(&path)).then(|| names.name(&path).unwrap())
        };
        assert_eq!(name("tls.web/tls.crt").unwrap(), "tls.web/tls.crt");
        assert_eq!(name("db/PASS_word").unwrap(), "db/PASS_word");
        assert_eq!(name("docker").unwrap(), "regcred/.dockerconfigjson");
        for text in ["db", "Db/key", "db/key/more", "d_b/key"] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(
            names.path("regcred/.dockerconfigjson", None),
            Some(path("docker"))
        );
        assert_eq!(names.path("regcred/.other", None), None);
    }

    #[test]
    fn a_tag_fits_a_label() {
        let long = tag(&"x".repeat(253));
        assert!(is_label(&long) && long.len() == TAG);
        assert_ne!(tag("a"), tag("b"));
    }
}
