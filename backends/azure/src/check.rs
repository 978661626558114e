//! What `doctor` asks: one step after the other, so that the first that fails names the cause.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strongroom_backend_remote::clock;

use crate::backend::Inner;
use crate::config::Deletion;
use crate::error::{Fault, Result};

/// From this many seconds on, clocks are said to differ: tokens are valid for minutes.
const SKEW: u64 = 60;

impl Inner {
    pub(crate) async fn check(&self) -> Result<Vec<String>> {
        let mut lines = vec![format!("vault {}", self.place.vault)];
        if self.place.overridden {
            lines.push(format!("requests go to {}", self.place.endpoint));
        }
        let token = self.credential.token().await?;
        let whom = bearer(token.token.secret());
        let whom = whom.map(|whom| format!(", as {whom}")).unwrap_or_default();
        lines.push(format!(
            "logged in at {} with {}{whom}",
            self.place.authority.host_str().unwrap_or_default(),
            self.credential.way,
        ));
        let some = self.vault.some_names().await?;
        lines.push("the vault's TLS certificate is trusted, and it accepts the token".to_owned());
        lines.push(match some.len() {
            0 => "may list secrets: there are none".to_owned(),
            _ => "may list secrets: there are some".to_owned(),
        });
        if let Some(ahead) = self.vault.clock.ahead() {
            let line = clock::compared(ahead, SKEW, "its tokens look expired");
            lines.push(line.map_err(|apart| Fault::Clock(apart.to_string()))?);
        }
        match self.deletion {
            Deletion::Soft => {}
            Deletion::Disable => {
                lines.push("deleted secrets stay in the vault, disabled".to_owned());
            }
            Deletion::Purge if some.iter().any(|listed| !listed.purgeable) => {
                return Err(Fault::PurgeProtected);
            }
            Deletion::Purge => lines.push("deleted secrets are purged".to_owned()),
        }
        Ok(lines)
    }
}

/// What a token says of its bearer.
#[derive(Deserialize)]
struct Claims {
    upn: Option<String>,
    appid: Option<String>,
    oid: Option<String>,
}

/// Whom a token names, for people: it is not verified, which is the vault's part.
fn bearer(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let named = [
        ("user", claims.upn),
        ("application", claims.appid),
        ("object", claims.oid),
    ];
    let (what, name) = named
        .into_iter()
        .find_map(|(what, name)| Some((what, name?)))?;
    let shown = |c: &char| c.is_ascii_graphic();
    Some(format!(
        "{what} {}",
        name.chars().filter(shown).take(100).collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(
            bearer(&token(r#"{"appid":"1-2","oid":"3"}"#)).unwrap(),
            "application 1-2"
        );
        let hostile = token("{\"upn\":\"a\\nb\\u001b[31m\"}");
        assert_eq!(bearer(&hostile).unwrap(), "user ab[31m");
        assert_eq!(bearer("opaque"), None);
        assert_eq!(bearer(&token("{}")), None);
    }
}
