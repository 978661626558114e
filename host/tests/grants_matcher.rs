//! Decisions against the model of `grants_model`, over generated configurations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod grants_model;

use std::fmt::Write as _;
use std::path::Path;

use grants_model::{Grant, allowed};
use proptest::prelude::*;
use strongroom::config::{Backends, Config};
use strongroom::grants::{Action, Actions, Name, Policy, Principal};
use strongroom_backend::{Reference, VaultId};

const VAULTS: [&str; 3] = ["app", "prod", "app2"];
/// Expiries stand around this instant, in steps of a millisecond.
const NOW: &str = "2027-01-01T00:00:00";
const NOW_MS: u64 = 1_798_761_600_000;

/// An alphabet of two letters, so that patterns and paths meet often.
fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("**".to_owned()),
        4 => "[ab*]{1,4}(/[ab*]{1,4}){0,3}(/\\*\\*)?",
    ]
    .prop_filter("'**' only as the last segment", |text| {
        let inner = text.strip_suffix("/**").unwrap_or(text);
        text == "**" || !inner.contains("**")
    })
}

fn path() -> impl Strategy<Value = String> {
    "[ab]{1,4}(/[ab]{1,4}){0,4}"
}

fn grant() -> impl Strategy<Value = Grant> {
    let words: Vec<_> = Actions::words()
        .filter(|word| *word != "use-http")
        .collect();
    let secrets = proptest::collection::hash_set(pattern(), 1..4);
    let actions = proptest::sample::subsequence(words, 1..4);
    let expires = proptest::option::of(0u64..4);
    (
        proptest::sample::select(&VAULTS[..]),
        secrets,
        actions,
        expires,
    )
        .prop_map(|(vault, secrets, actions, expires)| Grant {
            vault: vault.to_owned(),
            secrets: secrets.into_iter().collect(),
            actions,
            expires: expires.map(|ms| NOW_MS + ms),
        })
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    proptest::collection::vec(grant(), 0..4)
}

fn toml_of(grants: &[Grant]) -> String {
    let mut text = String::from("grants = [\n");
    for Grant {
        vault,
        secrets,
        actions,
        expires,
    } in grants
    {
        write!(
            text,
            "{{ vault = {vault:?}, secrets = {secrets:?}, actions = {actions:?}"
        )
        .unwrap();
        if let Some(at) = expires {
            write!(text, ", expires = {NOW}.{:03}Z", at - NOW_MS).unwrap();
        }
        text.push_str(" },\n");
    }
    text + "]\n"
}

fn policy(own: &[Grant], role: &[Grant], roles: &str) -> Policy {
    let mut text = String::new();
    for (index, vault) in VAULTS.iter().enumerate() {
        write!(
            text,
            "[vault.{vault}]\nbackend = 'memory'\npath = '{index}'\n"
        )
        .unwrap();
    }
    write!(text, "[component.it]\nroles = {roles}\n{}", toml_of(own)).unwrap();
    write!(
        text,
        "[role.one]\n{}[role.other]\n{}",
        toml_of(role),
        toml_of(&[])
    )
    .unwrap();
    let config = Config::parse(
        text.as_bytes(),
        Path::new("s.toml"),
        &Backends::new(["memory"]),
    );
    config
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .policy(1)
}

fn component() -> Principal {
    Principal::Component {
        name: Name::parse("it").unwrap(),
        digest: None,
    }
}

fn reference(vault: &str, path: &str) -> Reference {
    Reference::parse(&format!("{vault}:{path}"), None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn decisions_agree_with_the_model(
        own in grants(), role in grants(), carried in any::<bool>(), path in path(), now in 0u64..5,
    ) {
        let now = NOW_MS + now;
        let roles = if carried { "['other', 'one']" } else { "['other']" };
        let policy = policy(&own, &role, roles);
        let mut all = own;
        all.extend(role.into_iter().filter(|_| carried));
        // "app3" is a vault that does not exist.
        for vault in ["app", "prod", "app2", "app3"] {
            let asked = reference(vault, &path);
            for action in Action::ALL {
                let decided = policy.decide(&component(), action, &asked, now);
                let expected = allowed(&all, action.as_str(), vault, &path, now);
                prop_assert_eq!(decided.is_ok(), expected, "{} {}", action, asked);
                if let Ok(granted) = decided {
                    prop_assert!(granted.stands(1, now));
                    prop_assert!(granted.covers(action, &asked));
                }
            }
            // May start to list where some path could be listed now.
            let lists = |grant: &Grant| {
                grant.vault == vault
                    && grant.expires.is_none_or(|at| now < at)
                    && grant.actions.iter().any(|word| ["list", "data-read"].contains(word))
            };
            let vault = VaultId::parse(vault).unwrap();
            let may = policy.may_list_any(&component(), &vault, now).is_ok();
            prop_assert_eq!(may, all.iter().any(lists));
        }
    }

    #[test]
    fn an_added_grant_never_takes_away(
        own in grants(), added in grant(), path in path(), now in 0u64..5,
    ) {
        let now = NOW_MS + now;
        let before = policy(&own, &[], "[]");
        let mut more = own;
        more.push(added);
        let after = policy(&more, &[], "[]");
        for vault in VAULTS {
            let asked = reference(vault, &path);
            for action in Action::ALL {
                let was = before.decide(&component(), action, &asked, now).is_ok();
                let is = after.decide(&component(), action, &asked, now).is_ok();
                prop_assert!(is || !was, "{} {}", action, asked);
            }
        }
    }

    #[test]
    fn an_explanation_decides_the_same_and_gives_a_reason(
        own in grants(), path in path(), now in 0u64..5,
    ) {
        let now = NOW_MS + now;
        let policy = policy(&own, &[], "[]");
        let asked = reference("app", &path);
        for action in Action::ALL {
            let decided = policy.decide(&component(), action, &asked, now);
            let explained = policy.explain(&component(), action, &asked, now);
            prop_assert_eq!(decided.is_ok(), explained.decision.is_ok());
            if decided.is_err() {
                prop_assert_eq!(explained.near.len(), own.len().min(5));
                prop_assert!(explained.near.iter().all(|miss| !miss.why.is_empty()));
            }
        }
    }
}
