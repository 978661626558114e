//! The check for `doctor`: what works and who we are, step by step.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview};
use kube::core::params::ListParams;
use strongroom_backend_remote::clock;

use crate::backend::{KubernetesBackend, Served};
use crate::client::Api;
use crate::error::{Fault, Result};
use crate::object::parse;

/// A clock that is further off than this makes tokens look expired or not yet valid.
const SKEW: u64 = 30;
/// The longest name of a user that is shown.
const SHOWN: usize = 200;

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const WHAT: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";

pub(crate) async fn check(store: &KubernetesBackend) -> Result<Vec<String>> {
    let api = store.api();
    let mut lines = Vec::new();
    who(api, &mut lines).await?;
    let (writes, creates) = match &store.layout {
        Served::Own(own) => (true, own.create_namespace),
        Served::Foreign(_) => (false, false),
    };
    namespace(api, creates, &mut lines).await?;
    let rights = rights(api).await?;
    list(api, rights.as_ref(), &mut lines).await?;
    if let Some(rights) = rights {
        lines.push(rights.line(writes));
    }
    Ok(lines)
}

/// Reaches the server, and says as whom.
async fn who(api: &Api, lines: &mut Vec<String>) -> Result<()> {
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
    });
    let address = api.address();
    let reply = match api.post("asking who we are", WHO, &body).await {
        Err(Fault::Transport(transport)) => return Err(Fault::Unreached(address, transport)),
        // Whoever asks is known to the server, which may not tell.
        Err(error) if error.is_status(403) || error.is_status(404) => {
            lines.push(format!("reached {address}"));
            lines.push("authenticated: the server does not tell as whom".into());
            return Ok(());
        }
        reply => reply?,
    };
    let way = if address.starts_with("https:") {
        "over TLS"
    } else {
        "without TLS"
    };
    lines.push(format!("reached {address} {way}"));
    let review: SelfSubjectReview = parse(&reply.body, "a SelfSubjectReview")?;
    let user = review.status.and_then(|status| status.user_info?.username);
    let user: String = user
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    lines.push(format!("authenticated as {user}"));
    if let Some(ahead) = reply.date.as_deref().and_then(ahead) {
        lines.push(clock::compared(ahead, SKEW, "its tokens look expired")?);
    }
    Ok(())
}

/// By how many seconds the server's clock is ahead of ours.
fn ahead(date: &str) -> Option<i64> {
    let theirs = rfc2822::parse(date).ok()?.timestamp().as_second();
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(theirs.saturating_sub(i64::try_from(ours).ok()?))
}

async fn namespace(api: &Api, creates: bool, lines: &mut Vec<String>) -> Result<()> {
    let name = api.namespace();
    match api.namespace_exists().await {
        Ok(true) => lines.push(format!("namespace {name}: there")),
        Ok(false) if creates => {
            lines.push(format!(
                "namespace {name}: not there yet, the first write makes it"
            ));
        }
        Ok(false) => {
            return Err(Fault::Config(format!(
                "there is no namespace {name}: check `namespace`, create it, or set \
                 `create-namespace = true`"
            )));
        }
        Err(error) if error.is_status(403) => {
            lines.push(format!(
                "namespace {name}: we may not see whether it is there"
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What our user may do with Secrets of the namespace.
struct Rights {
    any: Vec<String>,
    /// Only with Secrets of certain names.
    named: Vec<String>,
}

impl Rights {
    fn new(rules: Vec<ResourceRule>) -> Self {
        let mut rights = Self {
            any: Vec::new(),
            named: Vec::new(),
        };
        for rule in rules {
            let has = |list: &Option<Vec<String>>, name: &str| {
                list.iter()
                    .flatten()
                    .any(|entry| entry == name || entry == "*")
            };
            if !has(&rule.api_groups, "") || !has(&rule.resources, "secrets") {
                continue;
            }
            let named = rule.resource_names.is_some_and(|names| !names.is_empty());
            let verbs = if named {
                &mut rights.named
            } else {
                &mut rights.any
            };
            verbs.extend(rule.verbs);
        }
        rights
    }

    fn may(&self, verb: &str) -> bool {
        has(&self.any, verb)
    }

    fn may_some(&self, verb: &str) -> bool {
        has(&self.named, verb)
    }

    fn line(&self, writes: bool) -> String {
        let verbs: &[&str] = match writes {
            true => &["get", "list", "watch", "create", "patch"],
            false => &["get", "list", "watch"],
        };
        let mut parts: [Vec<&str>; 3] = Default::default();
        let [all, some, none] = &mut parts;
        for verb in verbs {
            match (self.may(verb), self.may_some(verb)) {
                (true, _) => all.push(verb),
                (false, true) => some.push(verb),
                (false, false) => none.push(verb),
            }
        }
        let words = ["may", "may, for certain names only:", "may not"];
        let parts: Vec<_> = words
            .iter()
            .zip(&parts)
            .filter(|(_, verbs)| !verbs.is_empty())
            .map(|(word, verbs)| format!("{word} {}", verbs.join(", ")))
            .collect();
        format!("secrets: {}", parts.join("; "))
    }
}

fn has(verbs: &[String], verb: &str) -> bool {
    verbs.iter().any(|entry| entry == verb || entry == "*")
}

/// None where the server does not tell, or not all of it.
async fn rights(api: &Api) -> Result<Option<Rights>> {
    let body = serde_json::json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": api.namespace() },
    });
    let reply = match api.post("asking what we may", WHAT, &body).await {
        Err(error) if error.is_status(403) || error.is_status(404) => return Ok(None),
        reply => reply?,
    };
    let review: SelfSubjectRulesReview = parse(&reply.body, "a SelfSubjectRulesReview")?;
    let status = review.status.filter(|status| !status.incomplete);
    Ok(status.map(|status| Rights::new(status.resource_rules)))
}

/// Lists one Secret without its values. Where reading is allowed and listing is not, the store works.
async fn list(api: &Api, rights: Option<&Rights>, lines: &mut Vec<String>) -> Result<()> {
    let params = ListParams {
        limit: Some(1),
        ..ListParams::default()
    };
    match api.page_metadata(&params).await {
        Ok(_) => lines.push("list: works".into()),
        Err(error) if error.is_status(403) => {
            let reads = rights.is_some_and(|rights| rights.may("get") || rights.may_some("get"));
            if !reads {
                return Err(error);
            }
            lines.push(
                "list: not allowed, although reading is; `strongroom list` will not work".into(),
            );
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> ResourceRule {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        ResourceRule {
            api_groups: Some(vec![String::new()]),
            resource_names: Some(owned(names)),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
        }
    }

    #[test]
    fn rights_are_told_by_verb() {
        let rights = Rights::new(vec![
            rule(&["get"], &["secrets"], &["db"]),
            rule(&["list", "watch"], &["pods", "secrets"], &[]),
            rule(&["*"], &["pods"], &[]),
        ]);
        assert_eq!(
            rights.line(true),
            "secrets: may list, watch; may, for certain names only: get; may not create, patch"
        );
        let all = Rights::new(vec![rule(&["*"], &["*"], &[])]);
        assert_eq!(all.line(false), "secrets: may get, list, watch");
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        assert!(ahead("Sun, 06 Nov 1994 08:49:37 GMT").unwrap() < -900_000_000);
        assert!(ahead("Sat, 06 Nov 2094 08:49:37 GMT").unwrap() > 900_000_000);
        assert_eq!(ahead("yesterday"), None);
    }
}
