//! Keys of a service account, and what Google makes of the tokens that they sign.
//!
//! A key file's token goes to Secret Manager itself: no other server exchanges it, so that Secret
//! Manager is who refuses it.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may stop at whatever it did not expect"
)]

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use serde_json::{Value, json};
use strongroom_backend_testkit::wire::{Reply, Request};

pub(crate) const EMAIL: &str = "reader@shop-prod.iam.gserviceaccount.com";

/// What a token must be for, as a scope or as an audience.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const AUDIENCE: &str = "https://secretmanager.googleapis.com/";
/// The longest life of a token in seconds, and how far clocks may be apart.
const HOUR: i64 = 3600;
const SLACK: i64 = 60;

/// A private key in PEM, and the public one that belongs to it.
pub(crate) struct Key {
    pub(crate) pem: String,
    public: Vec<u8>,
}

/// The key of the account that has this id: there are `k1` and `k2`. All tests of a program share
/// them, as making one takes a while.
pub(crate) fn key(id: &str) -> &'static Key {
    static FIRST: OnceLock<Key> = OnceLock::new();
    static SECOND: OnceLock<Key> = OnceLock::new();
    let key = if id == "k1" { &FIRST } else { &SECOND };
    key.get_or_init(|| {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        Key {
            pem: pair.serialize_pem(),
            public: pair.public_key_raw().to_vec(),
        }
    })
}

/// A key file that names the key `id` and holds the private key of `signer`.
pub(crate) fn file(id: &str, signer: &str) -> String {
    json!({
        "type": "service_account",
        "project_id": "shop-prod",
        "private_key_id": id,
        "private_key": key(signer).pem,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

/// Claims that Google takes.
pub(crate) fn claims() -> Value {
    let now = now();
    json!({
        "iss": EMAIL,
        "sub": EMAIL,
        "scope": SCOPE,
        "iat": now - 10,
        "exp": now + HOUR,
    })
}

/// A token that names the key `id` and is signed with the private key of `signer`.
pub(crate) fn signed(id: &str, signer: &str, claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": id });
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let pair = KeyPair::from_pem_and_sign_algo(&key(signer).pem, &PKCS_RSA_SHA256).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()).unwrap());
    format!("{message}.{signature}")
}

/// Whether Google takes a token for one of the account while the account has the keys of these
/// ids; or else why it does not.
pub(crate) fn accept(token: &str, known: &[&str]) -> Result<(), &'static str> {
    let parts: Vec<&str> = token.split('.').collect();
    let &[header, claims, signature] = parts.as_slice() else {
        return Err("not three parts");
    };
    let (told, about) = (parsed(header)?, parsed(claims)?);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let time = |key: &str| about.get(key).and_then(Value::as_i64).ok_or("no time");
    if text(&told, "alg").as_deref() != Some("RS256") {
        return Err("another algorithm");
    }
    let id = text(&told, "kid").ok_or("no key")?;
    if !known.contains(&id.as_str()) {
        return Err("a key that the account does not have");
    }
    // Nothing that the token claims counts before this.
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key(&id).public.as_slice())
        .verify(
            format!("{header}.{claims}").as_bytes(),
            &decoded(signature)?,
        )
        .map_err(|_| "a signature of another key")?;
    for claim in ["iss", "sub"] {
        if text(&about, claim).as_deref() != Some(EMAIL) {
            return Err("another account");
        }
    }
    let (from, to) = (time("iat")?, time("exp")?);
    if to <= now() {
        return Err("expired");
    }
    if from > now() + SLACK {
        return Err("not yet");
    }
    if to - from > HOUR + SLACK {
        return Err("for too long");
    }
    match (
        text(&about, "scope").as_deref(),
        text(&about, "aud").as_deref(),
    ) {
        (Some(SCOPE), None) | (None, Some(AUDIENCE)) => Ok(()),
        _ => Err("for another service"),
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64")
}

fn parsed(part: &str) -> Result<Value, &'static str> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| "not JSON")
}

/// `reply` for a request with a token that Google takes, as [`accept`] has it; for all others what
/// Google answers.
pub(crate) fn guarded(request: &Request, known: &[&str], reply: Reply) -> Reply {
    let token = bearer(request).ok_or("none");
    match token.and_then(|token| accept(token, known)) {
        Ok(()) => reply,
        Err(_) => Reply::json(
            401,
            r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.",
            "status":"UNAUTHENTICATED"}}"#,
        ),
    }
}

/// The token that a request has.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

fn now() -> i64 {
    let since = UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
