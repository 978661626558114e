//! The login service: tokens for one client.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use strongroom_backend_testkit::wire::{Reply, Request};

use super::{ASSERTION, AUDIENCE, CLIENT, SECRET, State, TENANT};

/// The tokens given out.
#[derive(Default)]
pub(crate) struct Tokens {
    given: Vec<String>,
    count: u64,
    /// Whether the vault takes none, as with those of another tenant.
    pub(crate) refused: bool,
    /// How many logins were asked for.
    pub(crate) logins: u64,
    /// What the login service answers in place of a token.
    pub(crate) broken: Option<(u16, String)>,
}

impl Tokens {
    pub(crate) fn expire(&mut self) {
        self.given.clear();
    }

    /// A new token.
    pub(crate) fn give(&mut self) -> String {
        self.count += 1;
        let claims = json!({ "aud": AUDIENCE, "appid": CLIENT, "jti": self.count });
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        self.given.push(token.clone());
        token
    }

    pub(crate) fn accepts(&self, token: &str) -> bool {
        !self.refused && self.given.iter().any(|given| given == token)
    }
}

pub(crate) fn respond(state: &mut State, request: &Request) -> Option<Reply> {
    let tenant = request.path().strip_suffix("/oauth2/v2.0/token")?;
    let tokens = &mut state.tokens;
    tokens.logins += 1;
    if let Some((status, body)) = &tokens.broken {
        return Some(Reply::json(*status, body));
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect();
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    let refusal = if request.method != "POST" || given("grant_type") != "client_credentials" {
        Some((400, 900_144, "invalid_request"))
    } else if tenant.trim_start_matches('/') != TENANT {
        Some((400, 90_002, "invalid_request"))
    } else if given("client_id") != CLIENT {
        Some((400, 700_016, "unauthorized_client"))
    } else if given("client_secret") != SECRET && given("client_assertion") != ASSERTION {
        Some((401, 7_000_215, "invalid_client"))
    } else if given("scope") != format!("{AUDIENCE}/.default") {
        Some((400, 500_011, "invalid_resource"))
    } else {
        None
    };
    if let Some((status, code, error)) = refusal {
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{code}: refused. Tenant '{TENANT}', app '{CLIENT}'."),
            "error_codes": [code],
        });
        return Some(Reply::json(status, &body.to_string()));
    }
    let token = tokens.give();
    let body = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token });
    Some(Reply::json(200, &body.to_string()))
}
