//! What another process writes is what the next call gets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use strongroom::backend::{Backend, PutOptions, SecretValue, Which};
use strongroom::{Broker, ErrorCode, Registry, VaultTable};
use strongroom_backend_local::{Config, KeySource, LocalBackend};

use crate::support::{Home, Rig, get, name};

const GRANTED: &str = r#"
[component.billing]
grants = [ { vault = "app", secrets = ["**"], actions = ["data-read", "data-write"] } ]
"#;

fn settings() -> Config {
    Config::new("app.vault", KeySource::file("keys/app.key"))
}

/// A broker over a local store, and a second handle to that store, as another process has it.
async fn local() -> (Home, Broker, LocalBackend) {
    let home = Home::new();
    let other = LocalBackend::create(&settings(), home.dir.path()).unwrap();
    home.write_config(&format!(
        "default-vault = \"app\"\n[vault.app]\nbackend = \"local\"\npath = \"app.vault\"\n\
         key = {{ file = \"keys/app.key\" }}\n{GRANTED}"
    ));
    let registry = Registry::new().with("local", |vault: &VaultTable<'_>| {
        let settings: Config = vault.settings()?;
        let base: &Path = &vault.base_dir();
        Ok(Arc::new(LocalBackend::open(&settings, base)?))
    });
    let broker = home.build(registry).await;
    (home, broker, other)
}

async fn write(store: &LocalBackend, path: &str, text: &str) {
    let value = SecretValue::copy_of(text.as_bytes());
    let (path, options) = (name(path), PutOptions::default());
    store.put(&path, &value, &options).await.unwrap();
}

#[tokio::test]
async fn a_value_that_another_process_sets_is_what_the_next_get_returns() {
    let (_home, broker, other) = local().await;
    let session = broker.component("billing").unwrap().session(None);
    for number in 0..1000 {
        let text = number.to_string();
        write(&other, "a", &text).await;
        assert_eq!(get(&session, "a").await.unwrap(), text);
        assert_eq!(get(&session, "a").await.unwrap(), text);
    }
}

#[tokio::test]
async fn what_another_process_deletes_is_not_found_at_once_and_found_when_it_is_back() {
    let (_home, broker, other) = local().await;
    let session = broker.component("billing").unwrap().session(None);
    let missing = get(&session, "a").await.unwrap_err();
    assert_eq!(missing, ErrorCode::NotFound);
    for number in 0..20 {
        let text = number.to_string();
        write(&other, "a", &text).await;
        assert_eq!(get(&session, "a").await.unwrap(), text);
        other.delete(&name("a"), None).await.unwrap();
        for _ in 0..2 {
            let gone = get(&session, "a").await.unwrap_err();
            assert_eq!(gone, ErrorCode::NotFound);
        }
    }
    let versioning = other.versioning().unwrap();
    versioning.undelete(&name("a"), None).await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap(), "19");
    versioning.destroy(&name("a"), 20).await.unwrap();
    assert_eq!(get(&session, "a").await.unwrap_err(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reader_beside_a_writer_never_goes_back() {
    let rig = Rig::new(GRANTED).await;
    let written = Arc::new(AtomicU64::new(rig.put("a", "x").await));
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let session = rig.session("billing");
        let (written, over) = (Arc::clone(&written), Arc::clone(&over));
        readers.push(tokio::spawn(async move {
            let mut last = 0;
            let mut reads = 0_u64;
            while !over.load(Ordering::SeqCst) {
                let before = written.load(Ordering::SeqCst);
                let read = session.get("a", Which::Current).await.unwrap().version;
                assert!(read >= before, "{read} after {before} was written");
                assert!(read >= last, "{read} after {last} was read");
                last = read;
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        }));
    }
    for _ in 0..2000 {
        let version = rig.put("a", "x").await;
        written.store(version, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn versions_of_one_name_do_not_disturb_the_answers_of_others() {
    let rig = Rig::new(GRANTED).await;
    let session = rig.session("billing");
    for number in 0..200 {
        rig.put(&format!("n/{number}"), &number.to_string()).await;
    }
    for round in 0..3 {
        for number in 0..200 {
            let text = get(&session, &format!("n/{number}")).await.unwrap();
            assert_eq!(text, number.to_string(), "round {round}");
        }
        rig.put("n/7", "7").await;
    }
}

#[tokio::test]
async fn many_names_and_large_values_stay_right_when_the_memory_is_full() {
    let rig = Rig::new(&format!(
        "{GRANTED}quotas = {{ bytes-per-second = \"1 TiB\" }}\n"
    ))
    .await;
    let session = rig.session("billing");
    let large = "x".repeat(1 << 20);
    for number in 0..24 {
        rig.put(
            &format!("large/{number}"),
            &format!("{number} {}", &large[8..]),
        )
        .await;
    }
    for _ in 0..2 {
        for number in 0..24 {
            let text = get(&session, &format!("large/{number}")).await;
            assert!(text.unwrap().starts_with(&format!("{number} x")));
        }
    }
    for number in 0..5000 {
        let text = get(&session, &format!("none/{number}")).await;
        assert_eq!(text.unwrap_err(), ErrorCode::NotFound);
    }
    assert!(get(&session, "large/0").await.is_ok());
}
