//! Where secrets are on the server: mount, prefix, names, and the addresses of requests.

use std::collections::BTreeMap;

use strongroom_backend::{Error, ErrorKind, SecretPath};
use strongroom_backend_remote::place;
use url::Url;

use crate::config::Config;
use crate::error::{Fault, Result};

/// The longest mount, prefix or given name in bytes: above what servers take, below what a URL holds.
const MOST: usize = 512;
/// First segments that are no engine's: a write there would change the server itself.
const NOT_ENGINES: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// One engine, the folder in it that is ours, and which name each path has below the mount.
///
/// Every path of the grammar is a legal name, so a path stands as it is. What a request is sent to
/// is put together from whole segments, each percent-encoded, so no name leaves mount and prefix.
pub(crate) struct Place {
    base: Url,
    mount: String,
    /// Empty, or with a `/` at its end.
    prefix: String,
    given: BTreeMap<SecretPath, String>,
    taken: BTreeMap<String, SecretPath>,
}

impl Place {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mount = trimmed("mount", &config.mount)?;
        let first = mount.split('/').next().unwrap_or_default();
        if NOT_ENGINES.contains(&first) {
            return Err(Fault::Config(format!(
                "the mount '{mount}' is not a secrets engine's: name the mount of a KV engine"
            )));
        }
        let prefix = match config.prefix.trim_matches('/') {
            "" => String::new(),
            _ => format!("{}/", trimmed("prefix", &config.prefix)?),
        };
        let mut place = Self {
            base: config.address.url().clone(),
            mount: mount.to_owned(),
            prefix,
            given: BTreeMap::new(),
            taken: BTreeMap::new(),
        };
        for (path, name) in &config.names {
            let path = SecretPath::parse(path).map_err(|e| {
                Fault::Config(format!("a key of 'names' is not the path of a secret: {e}"))
            })?;
            segments("name", name)?;
            if let Some(other) = place.taken.insert(name.clone(), path.clone()) {
                return Err(Fault::Config(format!(
                    "'{other}' and '{path}' were given the same name"
                )));
            }
            place.given.insert(path, name.clone());
        }
        Ok(place)
    }

    /// The mount, without slashes around it.
    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    /// The folder below the mount, empty or with a `/` at its end.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The names that others gave, by path.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&SecretPath, &str)> {
        self.given.iter().map(|(path, name)| (path, name.as_str()))
    }

    /// The name of `path` below the mount.
    pub(crate) fn name(&self, path: &SecretPath) -> Result<String> {
        if let Some(name) = self.given.get(path) {
            return Ok(name.clone());
        }
        let name = format!("{}{path}", self.prefix);
        match self.taken.get(&name) {
            Some(other) => Err(Fault::Answer(Error::new(
                ErrorKind::InvalidArgument,
                format!("the name of '{path}' was given to '{other}' in 'names'"),
            ))),
            None => Ok(name),
        }
    }

    /// Whether `name` was given to a path: then it is not the path that it reads as.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains_key(name)
    }

    /// `v1/<mount>/<area>/<name>`; KV v1 has no areas.
    pub(crate) fn secret(&self, area: &str, name: &str) -> Result<Url> {
        self.url(
            self.mount
                .split('/')
                .chain(pieces(area))
                .chain(pieces(name)),
        )
    }

    /// The same for a folder: with a `/` at its end, as policies name folders.
    pub(crate) fn folder(&self, area: &str, folder: &str) -> Result<Url> {
        let segments = self
            .mount
            .split('/')
            .chain(pieces(area))
            .chain(pieces(folder));
        self.url(segments.chain([""]))
    }

    /// `v1/<path>`, for what belongs to the server.
    pub(crate) fn server(&self, path: &str) -> Result<Url> {
        self.url(path.split('/'))
    }

    fn url<'s>(&self, segments: impl Iterator<Item = &'s str>) -> Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().push("v1").extend(segments)),
            Err(()) => return Err(Fault::Config("the address cannot have a path".to_owned())),
        }
        Ok(url)
    }
}

impl Config {
    /// What tells this store from others: server, namespace, mount and prefix, without the slashes
    /// around them. Who logs in, how the server is believed and which KV version is expected make
    /// no other store.
    pub fn place(&self) -> String {
        let namespace = self.namespace.as_deref().map(bare);
        place(&[
            ("address", Some(self.address.as_str())),
            ("namespace", namespace),
            ("mount", Some(bare(&self.mount))),
            ("prefix", Some(bare(&self.prefix))),
        ])
    }
}

fn bare(path: &str) -> &str {
    path.trim_matches('/')
}

/// The segments of a text that may be empty or end with a `/`.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split('/').filter(|piece| !piece.is_empty())
}

/// `text` without slashes around it, with legal segments.
pub(crate) fn trimmed<'t>(what: &str, text: &'t str) -> Result<&'t str> {
    let text = text.trim_matches('/');
    segments(what, text)?;
    Ok(text)
}

fn segments(what: &str, text: &str) -> Result<()> {
    let legal = |s: &str| !matches!(s, "" | "." | "..") && !s.chars().any(char::is_control);
    if text.len() > MOST || !text.split('/').all(legal) {
        return Err(Fault::Config(format!(
            "a {what} of a Vault store is 1 to {MOST} bytes in segments joined by '/', none empty, \
             '.' or '..': as in 'team/secret'"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use strongroom_backend_remote::Endpoint;

    use super::*;
    use crate::config::{Auth, Credential};

    fn config(address: &str, mount: &str) -> Config {
        let address = Endpoint::parse(address).unwrap();
        Config::new(address, mount, Auth::Token(Credential::Env("T".into())))
    }

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_put_together_from_segments() {
        let mut config = config("https://vault.example.com/behind/", "/team/secret/");
        config.prefix = "/app/".into();
        config.names = [("old".to_owned(), "legacy/Its name?#%2e".to_owned())].into();
        let place = Place::new(&config).unwrap();
        let name = place.name(&path("db/main")).unwrap();
        assert_eq!(
            place.secret("data", &name).unwrap().as_str(),
            "https://vault.example.com/behind/v1/team/secret/data/app/db/main"
        );
        let name = place.name(&path("old")).unwrap();
        assert_eq!(
            place.secret("", &name).unwrap().path(),
            "/behind/v1/team/secret/legacy/Its%20name%3F%23%252e"
        );
        assert_eq!(
            place.folder("metadata", place.prefix()).unwrap().path(),
            "/behind/v1/team/secret/metadata/app/"
        );
        assert_eq!(
            place.folder("metadata", "").unwrap().path(),
            "/behind/v1/team/secret/metadata/"
        );
        assert_eq!(
            place.server("sys/health").unwrap().path(),
            "/behind/v1/sys/health"
        );
    }

    #[test]
    fn the_place_is_server_namespace_mount_and_prefix() {
        const BASE: &str = "address = 'https://vault.example.com'\nmount = 'secret'\n";
        let place = |text: &str| toml::from_str::<Config>(text).unwrap().place();
        let auth = "auth = { token-env = 'T' }";
        let one = place(&format!("{BASE}{auth}"));
        for same in [
            format!("{BASE}auth = {{ token-file = 't' }}"),
            format!("{BASE}auth = {{ kubernetes = {{ role = 'r' }} }}"),
            format!("{BASE}{auth}\nkv = 'v1'"),
            format!("{BASE}{auth}\nca-file = 'ca.pem'"),
            format!("{BASE}{auth}\nverify-tls = false"),
            format!("{BASE}{auth}\nprefix = '/'"),
            format!("{BASE}{auth}\n[names]\na = 'B'"),
            format!("address = 'https://Vault.example.com:443/'\nmount = 'secret'\n{auth}"),
            format!("address = 'https://vault.example.com'\nmount = '/secret/'\n{auth}"),
        ] {
            assert_eq!(place(&same), one, "{same}");
        }
        for other in [
            format!("{BASE}{auth}\nprefix = 'app'"),
            format!("{BASE}{auth}\nnamespace = 'team'"),
            format!("address = 'https://vault.example.com:8200'\nmount = 'secret'\n{auth}"),
            format!("address = 'https://vault.example.com/v'\nmount = 'secret'\n{auth}"),
            format!("address = 'https://vault.example.com'\nmount = 'Secret'\n{auth}"),
        ] {
            assert_ne!(place(&other), one, "{other}");
        }
        let in_folder = |text: &str| place(&format!("{BASE}{auth}\n{text}"));
        assert_eq!(
            in_folder("prefix = 'app/'\nnamespace = '/team/'"),
            in_folder("prefix = '/app'\nnamespace = 'team'")
        );
    }

    #[test]
    fn a_mount_that_is_no_engine_is_refused() {
        for mount in [
            "",
            "/",
            "a//b",
            "..",
            "a/../sys",
            "a/.",
            "sys",
            "sys/policies",
            "/auth/token",
            "a\nb",
        ] {
            assert!(Place::new(&config("https://h", mount)).is_err(), "{mount}");
        }
        for mount in ["secret", "team/secret", "system", "kv-auth"] {
            assert!(Place::new(&config("https://h", mount)).is_ok(), "{mount}");
        }
        let mut bad = config("https://h", "secret");
        bad.prefix = "a/../b".into();
        assert!(Place::new(&bad).is_err());
    }

    #[test]
    fn two_paths_never_have_one_name() {
        let mut given = config("https://h", "secret");
        given.prefix = "app".into();
        given.names = [("a".to_owned(), "app/b".to_owned())].into();
        let place = Place::new(&given).unwrap();
        assert_eq!(place.name(&path("a")).unwrap(), "app/b");
        assert!(place.name(&path("b")).is_err());
        assert!(place.is_taken("app/b"));
        for names in [
            [("a", "x"), ("b", "x")],
            [("a", "x/../y"), ("b", "y")],
            [("a", ""), ("b", "y")],
            [("a//b", "x"), ("b", "y")],
        ] {
            given.names = names.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            assert!(Place::new(&given).is_err(), "{names:?}");
        }
    }
}
