//! Each function of the world, as a guest calls it.

use strongroom::audit::{Action, Outcome};

use crate::support::guest::{Guest, hex, run};
use crate::support::{Rig, now_ms, until};

const GRANTS: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["stripe/*", "db/main"], actions = ["data-read"] } ]
[component.writer]
grants = [ { vault = "app", secrets = ["w/*"], actions = ["data-write"] } ]
[component.keeper]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write", "undelete", "rollback", "destroy"] } ]
[component.user]
grants = [ { vault = "app", secrets = ["key"], actions = ["rotate", "lease", "use-encrypt", "use-decrypt", "use-sign", "use-verify", "use-hmac", "read"] },
           { vault = "app", secrets = ["key"], actions = ["use-http"], hosts = ["api.example.com"] } ]
[component.nobody]
"#;

#[tokio::test]
async fn a_guest_reads_what_it_is_granted() {
    let rig = Rig::new(GRANTS).await;
    rig.put("stripe/key", "old").await;
    rig.put("stripe/key", "sk").await;
    rig.put("db/main", "").await;
    let mut guest = Guest::probe(&rig.broker, "billing").await;
    let sk = format!("value {}", hex("sk"));
    assert_eq!(guest.ask("get stripe/key").await, [sk.as_str()]);
    assert_eq!(guest.ask("get app:stripe/key").await, [sk.as_str()]);
    assert_eq!(
        guest.ask("read stripe/key").await,
        ["version 2", sk.as_str()]
    );
    let old = format!("value {}", hex("old"));
    assert_eq!(guest.ask("get-version stripe/key 1").await, [old]);
    assert_eq!(
        guest.one("get-version stripe/key 3").await,
        "error: not-found"
    );
    assert_eq!(guest.one("get db/main").await.trim_end(), "value");
    assert_eq!(guest.one("get stripe/none").await, "error: not-found");
    let many = "get-many stripe/key hidden stripe/none ../x stripe/key";
    let many = guest.ask(many).await;
    assert_eq!(many.len(), 5);
    assert_eq!([&many[0], &many[4]], [&sk, &sk]);
    assert_eq!(
        [&*many[1], &*many[2]],
        ["error: denied", "error: not-found"]
    );
    assert!(many[3].starts_with("error: invalid-reference "));
    let told = guest.ask("describe stripe/key").await;
    assert_eq!(told[..2], ["reference app:stripe/key", "version 2"]);
    let versions = guest.ask("versions stripe/key").await;
    assert!(
        versions[0].starts_with("version 2 current "),
        "{versions:?}"
    );
    assert!(versions[1].starts_with("version 1 superseded "));
    assert_eq!(versions.len(), 2);
    let list = guest.ask("list").await;
    assert_eq!(
        list,
        ["reference app:db/main", "reference app:stripe/key", "end 2"]
    );
    let (_, ended) = guest.end().await;
    ended.unwrap().unwrap();
    let records = rig.records();
    let digest = records[0].digest.as_ref().unwrap();
    assert!(records.iter().all(|r| r.digest.as_ref() == Some(digest)));
    let vias: Vec<_> = records.iter().filter_map(|r| r.via.as_deref()).collect();
    for function in [
        "get",
        "read",
        "get-version",
        "get-many",
        "describe",
        "versions",
        "list",
    ] {
        let via = format!("strongroom:vault/vault.{function}");
        assert!(vias.contains(&via.as_str()), "{via}");
    }
}

#[tokio::test]
async fn a_guest_is_told_denied_whatever_is_there() {
    let rig = Rig::new(GRANTS).await;
    rig.put("there", "v").await;
    let mut guest = Guest::probe(&rig.broker, "nobody").await;
    let mut calls = 0;
    for reference in ["there", "none", "nowhere:there"] {
        for call in [
            "get R",
            "read R",
            "get-version R 1",
            "describe R",
            "versions R",
            "set R 00",
            "set-metadata R text",
            "delete R",
            "undelete R",
            "destroy R 1",
            "rollback R 1",
            "rotate R",
            "watch R 0 10",
            "open-reveal R",
            "placeholder R",
            "lease R",
            "transit encrypt R 00",
            "transit decrypt R 00",
            "transit rewrap R 00",
            "transit sign R 00",
            "transit hmac R 00",
            "transit verify R 00 00",
            "transit verify-hmac R 00 00",
        ] {
            let call = call.replace('R', reference);
            assert_eq!(guest.ask(&call).await, ["error: denied"], "{call}");
            calls += 1;
        }
    }
    for prefix in ["list", "list nowhere:", "list-page there"] {
        assert_eq!(guest.one(prefix).await, "error: denied");
        calls += 1;
    }
    let records = rig.records();
    assert_eq!(records.len(), calls);
    assert!(records.iter().all(|r| r.outcome == Some(Outcome::Denied)));
    assert_eq!(rig.counts.total(), 0);
}

#[tokio::test]
async fn what_is_not_built_in_links_and_is_unsupported_where_granted() {
    let rig = Rig::new(GRANTS).await;
    rig.put("key", "v").await;
    let mut guest = Guest::probe(&rig.broker, "user").await;
    let calls = [
        "rotate key",
        "lease key",
        "lease key 60",
        "transit encrypt key 00 01",
        "transit decrypt key 00 01",
        "transit rewrap key 00 01",
        "transit sign key 00",
        "transit hmac key 00",
        "transit verify key 00 00",
        "transit verify-hmac key 00 00",
        "placeholder key",
    ];
    for call in calls {
        let answer = guest.one(call).await;
        assert!(
            answer.starts_with("error: unsupported "),
            "{call}: {answer}"
        );
    }
    let invalid = |r: &&strongroom::audit::Record| r.outcome == Some(Outcome::Invalid);
    assert_eq!(rig.records().iter().filter(invalid).count(), calls.len());
}

#[tokio::test]
async fn a_guest_that_imports_the_reader_world_links() {
    let rig = Rig::new(GRANTS).await;
    rig.put("stripe/key", "sk").await;
    let args = ["stripe/key", "hidden", "stripe/none"];
    let lines = run(&rig.broker, "billing", "reader_only", &args).await;
    let value = format!("value {}", hex("sk"));
    assert_eq!(lines, [value.as_str(), "error: denied", "error: not-found"]);
}

#[tokio::test]
async fn a_writer_cannot_read_back_and_learns_of_conflicts() {
    let rig = Rig::new(GRANTS).await;
    let mut guest = Guest::probe(&rig.broker, "writer").await;
    assert_eq!(guest.one("set w/a 6f6e65").await, "version 1");
    assert_eq!(guest.one("get w/a").await, "error: denied");
    assert_eq!(guest.one("describe w/a").await, "error: denied");
    assert_eq!(guest.one("set-if w/a 0 00").await, "error: conflict 1");
    assert_eq!(guest.one("set-if w/a 1 74776f").await, "version 2");
    assert_eq!(guest.one("set-if w/none 4 00").await, "error: conflict 0");
    assert_eq!(guest.one("set other 00").await, "error: denied");
    assert_eq!(guest.one("undelete w/a").await, "error: denied");
    assert_eq!(guest.one("destroy w/a 1").await, "error: denied");
    assert_eq!(guest.one("rollback w/a 1").await, "error: denied");
    assert_eq!(guest.one("delete w/a").await, "ok");
    assert_eq!(guest.one("delete w/a").await, "error: not-found");
    let code = guest.one("set-metadata w/a - =x").await;
    assert!(code.starts_with("error: invalid-argument "), "{code}");
}

#[tokio::test]
async fn versions_tell_which_are_mine_and_never_who_else_wrote() {
    let rig = Rig::new(GRANTS).await;
    let mut writer = Guest::probe(&rig.broker, "writer").await;
    assert_eq!(writer.one("set w/a 00").await, "version 1");
    let mut keeper = Guest::probe(&rig.broker, "keeper").await;
    assert_eq!(keeper.one("set w/a 01").await, "version 2");
    let versions = keeper.ask("versions w/a").await;
    assert!(versions[0].ends_with("mine=true"), "{versions:?}");
    assert!(versions[1].ends_with("mine=false"), "{versions:?}");
    assert!(!versions.join(" ").contains("writer"));
}

#[tokio::test]
async fn delete_undelete_rollback_and_destroy_do_what_they_say() {
    let rig = Rig::new(GRANTS).await;
    let mut guest = Guest::probe(&rig.broker, "keeper").await;
    guest.one("set a 31").await;
    guest.one("set a 32").await;
    assert_eq!(guest.one("rollback a 1").await, "version 3");
    assert_eq!(guest.one("get a").await, "value 31");
    assert_eq!(guest.one("delete a").await, "ok");
    assert_eq!(guest.one("get a").await, "error: not-found");
    assert_eq!(guest.one("get-version a 3").await, "error: not-found");
    assert_eq!(guest.one("undelete a").await, "ok");
    assert_eq!(guest.one("get a").await, "value 31");
    assert_eq!(guest.one("destroy a 3").await, "ok");
    assert_eq!(guest.one("get a").await, "error: not-found");
    assert_eq!(guest.one("undelete a").await, "error: not-found");
    assert_eq!(guest.one("get-version a 2").await, "value 32");
    let soon = now_ms() + 500;
    guest.one(&format!("set-expiring e {soon} 33")).await;
    assert_eq!(guest.one("get e").await, "value 33");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(guest.one("get e").await, "error: not-found");
}

#[tokio::test]
async fn a_handle_holds_one_version() {
    let rig = Rig::new(GRANTS).await;
    rig.put("db/main", "1").await;
    let mut guest = Guest::start(&rig.broker, "billing", "probe", &["hold", "db/main"]).await;
    assert_eq!(guest.line().await.unwrap(), "open 1");
    rig.put("db/main", "2").await;
    guest.send("").await;
    assert_eq!(guest.line().await.unwrap(), "value 31");
    rig.edit(&GRANTS.replace("\"db/main\"", "\"db/other\""))
        .await;
    for _ in 0..2 {
        guest.send("").await;
        assert_eq!(guest.line().await.unwrap(), "error: denied");
    }
    rig.edit(GRANTS).await;
    guest.send("").await;
    assert_eq!(guest.line().await.unwrap(), "value 31");
    let (lines, ended) = guest.end().await;
    assert!(lines.is_empty() && ended.is_ok());
    let outcomes = rig.outcomes(Action::Read);
    let denied = outcomes.iter().filter(|o| **o == Outcome::Denied).count();
    assert_eq!((outcomes.len(), denied), (5, 2), "each use is on record");
}

#[tokio::test]
async fn a_watching_guest_learns_of_a_change_and_of_a_revocation() {
    let rig = Rig::new(GRANTS).await;
    rig.put("db/main", "1").await;
    let mut guest = Guest::probe(&rig.broker, "billing").await;
    assert_eq!(guest.one("watch db/main 0 60000").await, "version 1");
    assert_eq!(guest.one("watch db/main 1 50").await, "timeout");
    let long = guest.one("watch db/main 1 60001").await;
    assert!(long.starts_with("error: invalid-argument "), "{long}");
    let asked = rig.counts.total();
    guest.send("watch db/main 1 60000").await;
    until("the watch begins", || rig.counts.total() > asked).await;
    rig.put("db/main", "2").await;
    assert_eq!(guest.answer("watch").await, ["version 2"]);
    let asked = rig.counts.total();
    guest.send("watch db/main 2 60000").await;
    until("the watch begins", || rig.counts.total() > asked).await;
    rig.edit("[component.billing]\n").await;
    assert_eq!(guest.answer("watch").await, ["error: denied"]);
}

#[tokio::test]
async fn a_malformed_or_huge_reference_is_refused_without_its_text() {
    let rig = Rig::new(GRANTS).await;
    let mut guest = Guest::probe(&rig.broker, "billing").await;
    for text in [
        "/x",
        "stripe//key",
        "stripe/../x",
        "stripe/k%65y",
        "arn:aws:x:y",
        "stripe/ключ",
    ] {
        let answer = guest.one(&format!("get {text}")).await;
        assert!(answer.starts_with("error: invalid-reference "), "{answer}");
        assert!(!answer.contains(text), "{answer}");
        let detail = rig.records().pop().unwrap().detail.unwrap();
        assert!(detail.starts_with(&format!("reference of {} bytes", text.len())));
    }
    let answer = guest.one("big-string 8000000").await;
    assert!(answer.starts_with("error: invalid-reference "), "{answer}");
    let detail = rig.records().pop().unwrap().detail.unwrap();
    assert!(detail.starts_with("reference of 8000000 bytes"), "{detail}");
}
