//! Listing names that are bound to fields.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside test functions"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_backend::{Backend, MemoryBackend, PutOptions, SecretPath, SecretValue};
use strongroom_backend_layers::{Direct, FieldOf, Fields};
use strongroom_backend_testkit::{Counting, Counts, Operation};

fn path(name: &str) -> SecretPath {
    SecretPath::parse(name).unwrap()
}

/// The names `x/00`, `x/01`, ... bound to fields of `s/000`, `s/001`, ..., of which each second is
/// there, with `between` other secrets after each.
async fn rig(bound: usize, between: usize) -> (Fields, Counts) {
    let store = Arc::new(MemoryBackend::new());
    let options = PutOptions::default();
    let mut names = BTreeMap::new();
    for number in 0..bound {
        let of = format!("s/{number:03}");
        if number % 2 == 0 {
            let value = SecretValue::copy_of(b"{}");
            store.put(&path(&of), &value, &options).await.unwrap();
        }
        for other in 0..between {
            let value = SecretValue::copy_of(b"v");
            let name = path(&format!("{of}-{other}"));
            store.put(&name, &value, &options).await.unwrap();
        }
        let of = FieldOf {
            of: path(&of),
            field: "f".into(),
        };
        names.insert(path(&format!("x/{number:02}")), of);
    }
    let (counting, counts) = Counting::new(store);
    let inner = Arc::new(Direct::new(Arc::new(counting)));
    (Fields::new(inner, names), counts)
}

#[tokio::test]
async fn secrets_beside_the_page_are_found_in_one_call() {
    // 20 secrets of 40 fit in one page with 5 others after each; with 20 others, 13 of them do.
    for (between, calls) in [(0, 2), (5, 2), (20, 2 + 28)] {
        let (fields, counts) = rig(40, between).await;
        let page = fields.list("x/", None, 100).await.unwrap();
        let names: Vec<_> = page.paths.iter().map(SecretPath::as_str).collect();
        let expected: Vec<_> = (0..40).step_by(2).map(|n| format!("x/{n:02}")).collect();
        assert_eq!(names, expected, "{between}");
        let asked = counts.of(Operation::List);
        assert!(asked <= calls, "{between}: {asked}");
    }
}

#[tokio::test]
async fn pages_are_the_same_at_every_size() {
    let (fields, _) = rig(9, 2).await;
    let all = fields.list("", None, 1000).await.unwrap().paths;
    assert_eq!(all.len(), 9 * 2 + 5 + 5);
    for limit in [1, 2, 3, 7] {
        let mut found: Vec<SecretPath> = Vec::new();
        loop {
            let after = found.last().map(|path| path.as_str().to_owned());
            let page = fields.list("", after.as_deref(), limit).await.unwrap();
            found.extend(page.paths);
            if !page.more {
                break;
            }
        }
        assert_eq!(found, all, "pages of {limit}");
    }
}
