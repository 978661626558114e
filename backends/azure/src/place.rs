//! Where the vault is, and whose tokens it takes.

use strongroom_backend_remote::{Endpoint, place};
use url::Url;

use crate::config::Config;
use crate::error::{Fault, Result};

/// One of Azure's clouds: they share no vaults, no logins and no audiences.
struct Cloud {
    /// What the host names of its vaults end with.
    vaults: &'static str,
    /// Whom a token must be made out to.
    audience: &'static str,
    /// Where tokens come from.
    authority: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        vaults: ".vault.azure.net",
        audience: "https://vault.azure.net",
        authority: "https://login.microsoftonline.com",
    },
    Cloud {
        vaults: ".vault.azure.cn",
        audience: "https://vault.azure.cn",
        authority: "https://login.chinacloudapi.cn",
    },
    Cloud {
        vaults: ".vault.usgovcloudapi.net",
        audience: "https://vault.usgovcloudapi.net",
        authority: "https://login.microsoftonline.us",
    },
];

/// A vault's place, as the settings say it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The vault's own address.
    pub(crate) vault: Url,
    /// Where requests go.
    pub(crate) endpoint: Url,
    /// Whether that is another address than the vault's own.
    pub(crate) overridden: bool,
    /// The one scope that a token is asked for.
    pub(crate) scope: String,
    /// Where tokens come from.
    pub(crate) authority: Url,
}

impl Place {
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let vault = match (&config.vault, &config.vault_url) {
            (Some(name), None) => named(name)?,
            (None, Some(url)) => url.url().clone(),
            _ => return Err(config_fault("give the vault either `vault` or `vault-url`")),
        };
        let host = vault.host_str().unwrap_or_default();
        let cloud = CLOUDS.iter().find(|cloud| {
            host.strip_suffix(cloud.vaults)
                .is_some_and(is_name_of_a_vault)
        });
        let Some(cloud) = cloud.filter(|_| vault.path() == "/" && vault.port().is_none()) else {
            return Err(config_fault(
                "`vault-url` is not the address of a vault: write 'https://<name>.vault.azure.net', \
                 and any other way to it as `endpoint`",
            ));
        };
        let endpoint = match &config.endpoint {
            None => vault.clone(),
            Some(endpoint) => encrypted(endpoint, "`endpoint`")?,
        };
        let authority = match &config.authority_host {
            None => Url::parse(cloud.authority).map_err(|_| Fault::Broken("an address of ours"))?,
            Some(host) => encrypted(host, "`authority-host`")?,
        };
        Ok(Self {
            overridden: config.endpoint.is_some(),
            vault,
            endpoint,
            scope: format!("{}/.default", cloud.audience),
            authority,
        })
    }
}

impl Config {
    /// What tells this store from others: the vault's address however it is written, where requests
    /// go in place of it, and the prefix without case, as Key Vault knows none. Who logs in and how
    /// a delete is done make no other store.
    pub fn place(&self) -> String {
        let named = self.vault.as_ref().map(|name| {
            let name = name.to_ascii_lowercase();
            format!("https://{name}.vault.azure.net")
        });
        let url = self.vault_url.as_ref().map(Endpoint::as_str);
        let vault = url.or(named.as_deref());
        let endpoint = self.endpoint.as_ref().map(Endpoint::as_str);
        place(&[
            ("vault", vault),
            ("endpoint", endpoint.or(vault)),
            ("prefix", Some(&self.prefix.to_ascii_lowercase())),
        ])
    }
}

fn named(name: &str) -> Result<Url> {
    if !is_name_of_a_vault(name) {
        return Err(config_fault(
            "`vault` is not the name of a vault: it has 3 to 24 letters, digits and '-'",
        ));
    }
    Url::parse(&format!("https://{name}.vault.azure.net"))
        .map_err(|_| config_fault("`vault` is not the name of a vault"))
}

fn is_name_of_a_vault(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Tokens never go over plain HTTP, not even on loopback: Microsoft's client refuses to.
fn encrypted(endpoint: &Endpoint, key: &str) -> Result<Url> {
    if endpoint.is_tls() && endpoint.url().path() == "/" {
        return Ok(endpoint.url().clone());
    }
    Err(config_fault(format!(
        "{key} must be 'https://host' or 'https://host:port' without a path"
    )))
}

pub(crate) fn config_fault(text: impl Into<String>) -> Fault {
    Fault::Config(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Place> {
        Place::of(&toml::from_str(text).unwrap())
    }

    #[test]
    fn a_name_or_an_address_gives_the_cloud() {
        let named = found("vault = 'my-vault'").unwrap();
        assert_eq!(named.endpoint.as_str(), "https://my-vault.vault.azure.net/");
        assert_eq!(named.scope, "https://vault.azure.net/.default");
        assert!(!named.overridden);
        let china = found("vault-url = 'https://my-vault.vault.azure.cn/'").unwrap();
        assert_eq!(china.scope, "https://vault.azure.cn/.default");
        assert_eq!(china.authority.as_str(), "https://login.chinacloudapi.cn/");
        let moved = found("vault = 'my-vault'\nendpoint = 'https://10.0.0.1:1'").unwrap();
        assert!(moved.overridden);
        assert_eq!(moved.scope, named.scope);
    }

    #[test]
    fn the_place_is_the_vault_and_the_prefix_without_case() {
        let place = |text: &str| toml::from_str::<Config>(text).unwrap().place();
        let one = place("vault = 'my-vault'\nprefix = 'prod-'");
        for same in [
            "vault = 'My-Vault'\nprefix = 'PROD-'",
            "vault-url = 'https://my-vault.vault.azure.net'\nprefix = 'prod-'",
            "vault-url = 'https://MY-vault.vault.azure.net:443/'\nprefix = 'prod-'",
            "vault = 'my-vault'\nprefix = 'prod-'\nendpoint = 'https://my-vault.vault.azure.net'",
            "vault = 'my-vault'\nprefix = 'prod-'\nauth = 'developer'",
            "vault = 'my-vault'\nprefix = 'prod-'\nsettle = 20\ndelete = 'disable'",
            "vault = 'my-vault'\nprefix = 'prod-'\nauthority-host = 'https://login.example.com'",
            "vault = 'my-vault'\nprefix = 'prod-'\nca-file = 'ca.pem'\n[names]\na = 'B'",
        ] {
            assert_eq!(place(same), one, "{same}");
        }
        for other in [
            "vault = 'my-vault'",
            "vault = 'other-vault'\nprefix = 'prod-'",
            "vault-url = 'https://my-vault.vault.azure.cn'\nprefix = 'prod-'",
            "vault = 'my-vault'\nprefix = 'prod-'\nendpoint = 'https://127.0.0.1:1'",
        ] {
            assert_ne!(place(other), one, "{other}");
        }
    }

    #[test]
    fn what_is_no_vault_is_refused() {
        for text in [
            "",
            "vault = 'v'\nvault-url = 'https://v.vault.azure.net'",
            "vault = 'a.b'",
            "vault = 'evil.example/x'",
            "vault = 'ab'",
            "vault-url = 'https://vault.azure.net'",
            "vault-url = 'https://localhost:1'",
            "vault-url = 'https://v.vault.azure.net.example.com'",
            "vault-url = 'https://a.b.vault.azure.net'",
            "vault-url = 'https://my-vault.vault.azure.net/path'",
            "vault-url = 'https://my-vault.vault.azure.net:8443'",
            "vault = 'my-vault'\nendpoint = 'http://127.0.0.1:1'",
            "vault = 'my-vault'\nauthority-host = 'http://127.0.0.1:1'",
        ] {
            assert!(matches!(found(text), Err(Fault::Config(_))), "{text}");
        }
    }
}
