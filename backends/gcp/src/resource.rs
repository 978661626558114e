//! Resource names: from a path to `projects/…/secrets/…`, and back.

use std::collections::BTreeMap;

use strongroom_backend::SecretPath;
use strongroom_backend_remote::{Endpoint, NameRules, Names, place};

use crate::config::Config;
use crate::error::{Fault, Result};

/// Letters, digits, `_` and `-`, at most 255, and case counts.
const RULES: NameRules = NameRules {
    max: 255,
    legal: is_id,
    ignores_case: false,
};

/// Where the secrets of a vault are, and what they are called there.
pub(crate) struct Space {
    /// `projects/p` or `projects/p/locations/l`.
    parent: String,
    names: Names,
}

/// A secret's name in the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    name: String,
    /// Where the id begins.
    id: usize,
}

impl Space {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        // An organization's projects are called `example.com:name`.
        if !is_word(&config.project, b".:-", 128) {
            return Err(Fault::Config(
                "project is not the id or number of a project".to_owned(),
            ));
        }
        let mut parent = format!("projects/{}", config.project);
        if let Some(location) = &config.location {
            check_location(location)?;
            parent.push_str("/locations/");
            parent.push_str(location);
        }
        if !config.prefix.is_empty() && !is_id(&config.prefix) {
            return Err(Fault::Config(
                "prefix has more than letters, digits, '_' and '-', which is all that names have"
                    .to_owned(),
            ));
        }
        if let Some((path, _)) = config.names.iter().find(|(_, name)| !is_id(name)) {
            return Err(Fault::Config(format!(
                "the name given to '{path}' is not the id of a secret: letters, digits, '_' and '-', \
                 without project or version"
            )));
        }
        Ok(Self {
            parent,
            names: names(&config.prefix, &config.names)?,
        })
    }

    pub(crate) fn parent(&self) -> &str {
        &self.parent
    }

    /// The resource of a path.
    pub(crate) fn resource(&self, path: &SecretPath) -> Result<Resource> {
        let id = self
            .names
            .name(path)
            .map_err(|error| Fault::Invalid(error.to_string()))?;
        let before = format!("{}/secrets/", self.parent);
        Ok(Resource {
            id: before.len(),
            name: before + &id,
        })
    }

    /// The path of a resource name that a listing gave, with the path that is noted there.
    pub(crate) fn path(&self, name: &str, noted: Option<&str>) -> Option<SecretPath> {
        let (_, id) = name.rsplit_once("/secrets/")?;
        self.names.path(id, noted)
    }

    /// Whether the noted path is that of another secret. One without a note is taken: the name itself
    /// has 128 bits of a hash of the exact path, and others may make secrets of such a name.
    pub(crate) fn contradicts(&self, path: &SecretPath, noted: Option<&str>) -> bool {
        noted.is_some() && !self.names.verify(path, noted)
    }
}

impl Config {
    /// What tells this store from others: the service's address, project, location and prefix. That
    /// an id and a number are the same project is not known here.
    pub fn place(&self) -> String {
        let service = self.service();
        let endpoint = self.endpoint.as_ref().map_or(&*service, Endpoint::as_str);
        place(&[
            ("endpoint", Some(endpoint)),
            ("project", Some(&self.project)),
            ("location", self.location.as_deref()),
            ("prefix", Some(&self.prefix)),
        ])
    }
}

fn names(prefix: &str, given: &BTreeMap<String, String>) -> Result<Names> {
    Names::new(RULES, prefix, given).map_err(|error| Fault::Config(error.to_string()))
}

impl Resource {
    /// `projects/p/secrets/id`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The secret's own name.
    pub(crate) fn id(&self) -> &str {
        self.name.get(self.id..).unwrap_or_default()
    }

    /// A version of it; none is the newest.
    pub(crate) fn version(&self, number: Option<u64>) -> String {
        match number {
            Some(number) => format!("{}/versions/{number}", self.name),
            None => format!("{}/versions/latest", self.name),
        }
    }

    /// The number in the name of one of its versions. The project may be called otherwise there: the
    /// service answers with its number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let (secret, number) = name.rsplit_once("/versions/")?;
        let (_, id) = secret.rsplit_once("/secrets/")?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (id == self.id()).then_some(number)
    }
}

/// Checks the name of a location.
pub(crate) fn check_location(location: &str) -> Result<()> {
    if is_word(location, b"-", 63) {
        return Ok(());
    }
    Err(Fault::Config(
        "a location is not of the form 'europe-west3'".to_owned(),
    ))
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Lower-case letters and digits with `others` between them.
fn is_word(text: &str, others: &[u8], most: usize) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= most
        && ends.iter().all(|end| end.is_some_and(plain))
        && text.bytes().all(|b| plain(b) || others.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    fn space(change: impl FnOnce(&mut Config)) -> Result<Space> {
        let mut config = Config::new("shop-prod");
        change(&mut config);
        Space::new(&config)
    }

    #[test]
    fn a_path_is_one_segment_of_a_name() {
        let space = space(|config| {
            config.prefix = "app-".to_owned();
            config.location = Some("europe-west3".to_owned());
        })
        .unwrap();
        let resource = space.resource(&path("Db_main")).unwrap();
        let secret = "projects/shop-prod/locations/europe-west3/secrets/app-Db_main";
        assert_eq!(resource.name(), secret);
        assert_eq!(resource.id(), "app-Db_main");
        assert_eq!(resource.version(None), format!("{secret}/versions/latest"));
        let other = space
            .resource(&path("projects/other/secrets/x/versions/1"))
            .unwrap();
        assert_eq!(other.name().matches('/').count(), 5);
        assert!(
            other
                .id()
                .starts_with("app-projects-other-secrets-x-versions-1--")
        );
    }

    #[test]
    fn a_number_is_taken_from_an_answer_about_the_same_secret_only() {
        let space = space(|_| {}).unwrap();
        let resource = space.resource(&path("a")).unwrap();
        assert_eq!(
            resource.number("projects/123/secrets/a/versions/7"),
            Some(7)
        );
        for wrong in [
            "projects/123/secrets/b/versions/7",
            "projects/123/secrets/a/versions/latest",
            "projects/123/secrets/a/versions/0",
            "projects/123/secrets/a/versions/-1",
            "projects/123/secrets/a",
            "a/versions/7",
            "",
        ] {
            assert_eq!(resource.number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn settings_that_lead_elsewhere_are_refused() {
        for project in ["", "p/secrets/x", "../q", "p?x", "P", "-p", ".", "p:"] {
            assert!(
                space(|c| c.project = project.to_owned()).is_err(),
                "{project}"
            );
        }
        for project in ["shop-prod", "123456", "example.com:shop"] {
            assert!(
                space(|c| c.project = project.to_owned()).is_ok(),
                "{project}"
            );
        }
        for prefix in ["app/", "a.b", "a:b", "a%2f"] {
            assert!(space(|c| c.prefix = prefix.to_owned()).is_err(), "{prefix}");
        }
        for name in ["a/versions/1", "projects/q/secrets/x", "a:access", ""] {
            let given = [("x".to_owned(), name.to_owned())];
            assert!(space(|c| c.names = given.into()).is_err(), "{name}");
        }
        assert!(space(|c| c.location = Some("a/b".to_owned())).is_err());
    }

    #[test]
    fn the_place_is_service_project_location_and_prefix() {
        let place = |text: &str| {
            let text = format!("project = 'p'\n{text}");
            toml::from_str::<Config>(&text).unwrap().place()
        };
        for same in [
            "replication = 'automatic'",
            "replication = ['europe-west1']",
            "auth = { key-file = 'k' }",
            "auth = 'default'",
            "ca-file = 'ca.pem'",
            "prefix = ''",
            "endpoint = 'https://SecretManager.googleapis.com:443/'",
            "[names]\na = 'B'",
        ] {
            assert_eq!(place(same), place(""), "{same}");
        }
        for other in [
            "prefix = 'a'",
            "location = 'europe-west3'",
            "endpoint = 'http://127.0.0.1:9'",
        ] {
            assert_ne!(place(other), place(""), "{other}");
        }
        let regional = "location = 'l'\nendpoint = 'https://secretmanager.l.rep.googleapis.com'";
        assert_eq!(place(regional), place("location = 'l'"));
        assert_ne!(place("prefix = 'a'"), place("prefix = 'A'"));
        assert_ne!(Config::new("q").place(), place(""));
    }
}
