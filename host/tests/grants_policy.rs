//! What a policy decides, case by case.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::path::Path;
use std::sync::Arc;

use strongroom::config::{Backends, Config};
use strongroom::grants::{Action, Denied, Digest, Job, Name, Policy, Principal};
use strongroom_backend::{Reference, VaultId};

const CONFIG: &str = r#"
default-vault = "app"
[vault.app]
backend = "memory"
[vault.prod]
backend = "memory"

[component.billing]
roles = ["service"]
grants = [
  { vault = "app", secrets = ["stripe/*", "db/main"], actions = ["read"] },
  { vault = "app", secrets = ["stripe/webhook"], actions = ["write"], expires = 2027-01-01T00:00:00Z },
]
[component.pinned]
digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
roles = ["service"]
grants = [ { vault = "app", secrets = ["**"], actions = ["read"] } ]
[component.sender]
grants = [
  { vault = "app", secrets = ["stripe/key"], actions = ["use-http"], hosts = ["api.stripe.com"] },
  { vault = "app", secrets = ["stripe/*"], actions = ["use-http"], hosts = ["files.stripe.com:8443"] },
]
[component.nobody]

[role.service]
grants = [ { vault = "prod", secrets = ["shared/**"], actions = ["data-read"] } ]
"#;

const EXPIRY: u64 = 1_798_761_600_000;

fn policy() -> Policy {
    let backends = Backends::new(["memory"]);
    let config = Config::parse(CONFIG.as_bytes(), Path::new("/etc/s.toml"), &backends);
    config.unwrap_or_else(|error| panic!("{error}")).policy(7)
}

fn component(name: &str) -> Principal {
    Principal::Component {
        name: Name::parse(name).unwrap(),
        digest: None,
    }
}

fn at(text: &str) -> Reference {
    Reference::parse(text, Some(&VaultId::parse("app").unwrap())).unwrap()
}

fn label(principal: &Principal, action: Action, reference: &str, now: u64) -> Option<Arc<str>> {
    let granted = policy().decide(principal, action, &at(reference), now);
    granted.ok().map(|granted| granted.label().clone())
}

#[test]
fn the_deciding_grant_is_named() {
    let billing = component("billing");
    for (action, reference, expected) in [
        (
            Action::Read,
            "stripe/key",
            Some("component.billing.grants[0]"),
        ),
        (
            Action::Read,
            "app:db/main",
            Some("component.billing.grants[0]"),
        ),
        (
            Action::Write,
            "stripe/webhook",
            Some("component.billing.grants[1]"),
        ),
        (
            Action::Read,
            "prod:shared/a/b",
            Some("role.service.grants[0]"),
        ),
        (
            Action::List,
            "prod:shared/a",
            Some("role.service.grants[0]"),
        ),
        (Action::List, "stripe/key", None),
        (Action::Write, "stripe/key", None),
        (Action::Read, "stripe/key/old", None),
        (Action::Read, "prod:stripe/key", None),
        (Action::Read, "shared/a", None),
        (Action::Read, "gone:stripe/key", None),
        (Action::Destroy, "stripe/webhook", None),
    ] {
        let label = label(&billing, action, reference, 0);
        assert_eq!(label.as_deref(), expected, "{action} {reference}");
    }
}

#[test]
fn a_grant_ends_at_its_expiry() {
    let billing = component("billing");
    assert!(label(&billing, Action::Write, "stripe/webhook", EXPIRY - 1).is_some());
    assert!(label(&billing, Action::Write, "stripe/webhook", EXPIRY).is_none());
    assert!(label(&billing, Action::Write, "stripe/webhook", u64::MAX).is_none());
    let granted = policy()
        .decide(&billing, Action::Write, &at("stripe/webhook"), 0)
        .unwrap();
    assert_eq!(granted.valid_until(), Some(EXPIRY));
    assert!(granted.stands(7, EXPIRY - 1));
    assert!(
        !granted.stands(7, EXPIRY),
        "a remembered proof ends with its grant"
    );
    assert!(
        !granted.stands(8, 0),
        "a remembered proof ends with its policy"
    );
}

#[test]
fn a_proof_is_about_one_thing() {
    let granted = policy()
        .decide(&component("billing"), Action::Read, &at("stripe/a"), 0)
        .unwrap();
    assert!(granted.covers(Action::Read, &at("stripe/a")));
    assert!(!granted.covers(Action::Read, &at("stripe/b")));
    assert!(!granted.covers(Action::Read, &at("prod:stripe/a")));
    assert!(!granted.covers(Action::Write, &at("stripe/a")));
    assert!(!granted.covers_listing(&VaultId::parse("app").unwrap()));
}

#[test]
fn without_a_grant_there_is_nothing() {
    let empty = Config::parse(b"", Path::new("s.toml"), &Backends::default()).unwrap();
    let empty = empty.policy(1);
    let operator = Principal::Operator {
        user: "root".into(),
    };
    let job = Principal::Host { job: Job::Refresh };
    for principal in [component("billing"), operator, job] {
        for action in Action::ALL {
            assert_eq!(
                empty.decide(&principal, action, &at("a"), 0).err(),
                Some(Denied)
            );
        }
        assert!(
            empty
                .may_list_any(&principal, &VaultId::parse("app").unwrap(), 0)
                .is_err()
        );
    }
    for name in ["nobody", "unheard-of"] {
        for action in Action::ALL {
            assert!(label(&component(name), action, "stripe/key", 0).is_none());
        }
    }
}

#[test]
fn operators_do_everything_on_vaults_that_exist() {
    let alice = Principal::Operator {
        user: "alice".into(),
    };
    for action in Action::ALL {
        assert_eq!(
            label(&alice, action, "prod:any/thing", 0).as_deref(),
            Some("operator")
        );
        assert_eq!(label(&alice, action, "gone:any/thing", 0), None);
    }
}

#[test]
fn a_job_does_its_work_only() {
    let refresh = Principal::Host { job: Job::Refresh };
    for action in Action::ALL {
        let expected = (action == Action::Read).then_some("host");
        assert_eq!(label(&refresh, action, "prod:a", 0).as_deref(), expected);
    }
    assert!(label(&refresh, Action::Read, "gone:a", 0).is_none());
}

#[test]
fn other_bytes_than_the_pinned_have_no_grants_nor_roles() {
    let name = Name::parse("pinned").unwrap();
    for (digest, allowed) in [
        (Some(Digest::of(b"")), true),
        (Some(Digest::of(b"other")), false),
        (None, false),
    ] {
        let principal = Principal::Component {
            name: name.clone(),
            digest,
        };
        for reference in ["app:a", "prod:shared/a"] {
            assert_eq!(
                label(&principal, Action::Read, reference, 0).is_some(),
                allowed
            );
        }
        let prod = VaultId::parse("prod").unwrap();
        assert_eq!(policy().may_list_any(&principal, &prod, 0).is_ok(), allowed);
    }
}

#[test]
fn listing_starts_only_where_something_may_be_listed() {
    let policy = policy();
    let may = |name: &str, vault: &str| {
        let vault = VaultId::parse(vault).unwrap();
        policy.may_list_any(&component(name), &vault, 0)
    };
    let granted = may("billing", "prod").unwrap();
    assert!(granted.covers_listing(&VaultId::parse("prod").unwrap()));
    assert!(!granted.covers_listing(&VaultId::parse("app").unwrap()));
    assert!(
        !granted.covers(Action::List, &at("prod:shared/a")),
        "names are decided one by one"
    );
    assert_eq!(may("billing", "app").err(), Some(Denied));
    assert_eq!(may("billing", "gone").err(), Some(Denied));
}

#[test]
fn one_of_several_actions_is_enough_where_the_contract_says_so() {
    let policy = policy();
    let any = [Action::List, Action::Read];
    let billing = component("billing");
    let granted = policy
        .decide_any(&billing, &any, &at("stripe/key"), 0)
        .unwrap();
    assert_eq!(granted.action(), Action::Read);
    assert!(policy.decide_any(&billing, &any, &at("other"), 0).is_err());
    assert!(
        policy
            .decide_any(&billing, &[], &at("stripe/key"), 0)
            .is_err()
    );
}

#[test]
fn a_value_goes_to_the_host_of_its_own_grant_alone() {
    let policy = policy();
    let to = |reference: &str, host: &str, port| {
        let granted = policy.decide_http(&component("sender"), &at(reference), host, port, 0);
        granted.ok().map(|granted| granted.label().to_string())
    };
    assert_eq!(
        to("stripe/key", "api.stripe.com", 443).unwrap(),
        "component.sender.grants[0]"
    );
    assert_eq!(
        to("stripe/key", "files.stripe.com", 8443).unwrap(),
        "component.sender.grants[1]"
    );
    assert_eq!(to("stripe/other", "api.stripe.com", 443), None);
    assert_eq!(to("stripe/key", "api.stripe.com", 80), None);
    assert_eq!(to("stripe/key", "evil.example", 443), None);
    let read = policy.decide(&component("sender"), Action::Read, &at("stripe/key"), 0);
    assert!(read.is_err(), "use is not reading");
    let none = policy.decide_http(
        &component("billing"),
        &at("stripe/key"),
        "api.stripe.com",
        443,
        0,
    );
    assert!(none.is_err(), "reading is not use");
}

#[test]
fn explanations_say_which_grant_and_why_not() {
    let explain = |name: &str, action, reference: &str, now| {
        let explained = policy().explain(&component(name), action, &at(reference), now);
        explained.to_string()
    };
    let allowed = explain("billing", Action::Write, "stripe/webhook", 0);
    assert_eq!(
        allowed,
        "allowed by component.billing.grants[1], until 2027-01-01T00:00:00Z"
    );
    let denied = explain("billing", Action::Write, "stripe/webhook", EXPIRY);
    let expected = "denied: no grant allows it
  component.billing.grants[0] (line 11) allows read, not write
  component.billing.grants[1] (line 12) expired at 2027-01-01T00:00:00Z
  role.service.grants[0] (line 26) is for vault 'prod'; covers only shared/**; allows read, list, not write";
    assert_eq!(denied, expected);
    let unknown = explain("biling", Action::Read, "ap:stripe/key", 0);
    let expected = "denied: no grant allows it
  there is no vault 'ap': did you mean 'app'?
  there is no [component.biling]: did you mean 'billing'?";
    assert_eq!(unknown, expected);
    let pinned = explain("pinned", Action::Read, "a", 0);
    assert!(pinned.contains("pins other bytes"), "{pinned}");
}
