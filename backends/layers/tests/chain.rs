//! The rules of chains.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside test functions"
)]

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, CompareAndSet, Description, Error, ErrorKind, ListPage,
    MemoryBackend, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo,
    VersionNumbers, Which,
};
use strongroom_backend_layers::{Answer, Chain, Direct, Look, Member, OnError, Store};
use strongroom_backend_testkit::{Counting, Counts, Fault, Faults, Faulty, Operation, When};

/// Without numbers and without writing, as variables are.
struct Variables(Capabilities, Vec<(SecretPath, Vec<u8>)>);

impl Variables {
    fn of(names: &[&str]) -> Self {
        let capabilities = Capabilities {
            write: false,
            versions: VersionNumbers::None,
            compare_and_set: CompareAndSet::None,
            undelete: false,
            delete_version: false,
            destroy: false,
            metadata: false,
            expiry: false,
            ..MemoryBackend::new().capabilities().clone()
        };
        let value = |name: &&str| (path(name), b"variable".to_vec());
        Self(capabilities, names.iter().map(value).collect())
    }

    fn find(&self, path: &SecretPath) -> Result<&[u8]> {
        let mut found = self.1.iter().filter(|(name, _)| name == path);
        found
            .next()
            .map(|(_, value)| &**value)
            .ok_or_else(Error::not_found)
    }
}

#[async_trait]
impl Backend for Variables {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        if which != Which::Current {
            return Err(Error::unsupported("versions"));
        }
        Ok(Secret {
            value: Arc::new(SecretValue::copy_of(self.find(path)?)),
            version: 0,
            expires: None,
        })
    }
    async fn put(&self, _: &SecretPath, _: &SecretValue, _: &PutOptions) -> Result<Change> {
        Err(Error::unsupported("put"))
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.find(path)?;
        Ok(Description {
            version: Some(0),
            created: 1,
            updated: 1,
            expires: None,
            rotates: None,
            kind: None,
            description: None,
            labels: Vec::new(),
        })
    }
    async fn delete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        Err(Error::unsupported("delete"))
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        let all = self.1.iter().map(|(name, _)| name.clone());
        let fits = |name: &SecretPath| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| name.as_str() > after)
        };
        let mut paths: Vec<_> = all.filter(fits).collect();
        let more = paths.len() > limit;
        paths.truncate(limit);
        Ok(ListPage { paths, more })
    }
    async fn versions(&self, _: &SecretPath) -> Result<Vec<VersionInfo>> {
        Err(Error::unsupported("versions"))
    }
    async fn check(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Two memory stores, the second behind faults, with counts of the calls of each.
struct Rig {
    stores: [Arc<MemoryBackend>; 2],
    counts: [Counts; 2],
    faults: [Faults; 2],
    chain: Chain,
}

fn rig(on_error: OnError) -> Rig {
    let stores = [(); 2].map(|()| Arc::new(MemoryBackend::new()));
    let mut counts = Vec::new();
    let mut faults = Vec::new();
    let mut members = Vec::new();
    for (store, id) in stores.iter().zip(["first", "second"]) {
        let (faulty, handle) = Faulty::new(Arc::clone(store));
        faults.push(handle);
        let (counting, handle) = Counting::new(Arc::new(faulty));
        counts.push(handle);
        members.push(member(id, Arc::new(counting)));
    }
    Rig {
        stores,
        counts: counts.try_into().ok().unwrap(),
        faults: faults.try_into().ok().unwrap(),
        chain: Chain::new(members, on_error),
    }
}

fn member(id: &str, store: Arc<dyn Backend>) -> Member {
    Member {
        id: id.into(),
        store: Arc::new(Direct::new(store)),
        copy_of: None,
    }
}

fn path(name: &str) -> SecretPath {
    SecretPath::parse(name).unwrap()
}

async fn put(store: &dyn Backend, name: &str, value: &str) -> Result<Change> {
    put_if(store, name, value, None).await
}

async fn put_if(store: &dyn Backend, name: &str, v: &str, e: Option<u64>) -> Result<Change> {
    let value = SecretValue::copy_of(v.as_bytes());
    let options = PutOptions {
        expected: e,
        ..PutOptions::default()
    };
    store.put(&path(name), &value, &options).await
}

async fn ask(chain: &Chain, name: &str) -> Answer {
    chain.answer(&path(name), Which::Current, Look::Kept).await
}

fn text(answer: &Answer) -> std::result::Result<(&str, &[u8]), ErrorKind> {
    let from = answer.from.as_deref().unwrap_or_default();
    let value = answer.secret.as_ref().map_err(Error::kind)?;
    Ok((from, value.value.expose()))
}

#[tokio::test]
async fn the_first_that_has_it_answers_and_is_named() {
    let rig = rig(OnError::Stop);
    put(&*rig.stores[1], "a", "two").await.unwrap();
    put(&*rig.stores[1], "b", "two").await.unwrap();
    put(&*rig.stores[0], "b", "one").await.unwrap();
    assert_eq!(
        text(&ask(&rig.chain, "a").await),
        Ok(("second", &b"two"[..]))
    );
    assert_eq!(
        text(&ask(&rig.chain, "b").await),
        Ok(("first", &b"one"[..]))
    );
    assert_eq!(text(&ask(&rig.chain, "c").await), Err(ErrorKind::NotFound));
    rig.stores[0].delete(&path("b"), None).await.unwrap();
    assert_eq!(
        text(&ask(&rig.chain, "b").await),
        Ok(("second", &b"two"[..]))
    );
}

#[tokio::test]
async fn an_answer_stands_until_any_member_asked_for_it_changes() {
    let rig = rig(OnError::Stop);
    put(&*rig.stores[1], "a", "two").await.unwrap();
    let answer = ask(&rig.chain, "a").await;
    let standing = answer.standing.unwrap();
    assert!(standing.holds());
    put(&*rig.stores[0], "a", "one").await.unwrap();
    assert!(!standing.holds(), "an earlier member has it now");
    let answer = ask(&rig.chain, "a").await;
    let standing = answer.standing.clone().unwrap();
    assert_eq!(text(&answer), Ok(("first", &b"one"[..])));
    put(&*rig.stores[1], "a", "three").await.unwrap();
    assert!(standing.holds(), "a later member was not asked");
    let missing = ask(&rig.chain, "none").await.standing.unwrap();
    put(&*rig.stores[1], "none", "here").await.unwrap();
    assert!(!missing.holds());
}

#[tokio::test]
async fn an_outage_is_not_taken_for_not_found() {
    for (on_error, kind, told) in [
        (
            OnError::Stop,
            ErrorKind::Unavailable,
            Err(ErrorKind::Unavailable),
        ),
        (
            OnError::Stop,
            ErrorKind::PermissionDenied,
            Err(ErrorKind::PermissionDenied),
        ),
        (
            OnError::Next,
            ErrorKind::Unavailable,
            Ok(("second", &b"two"[..])),
        ),
        (
            OnError::Next,
            ErrorKind::Unauthenticated,
            Ok(("second", &b"two"[..])),
        ),
        (OnError::Next, ErrorKind::Damaged, Err(ErrorKind::Damaged)),
        // What a member cannot name, it does not have.
        (
            OnError::Stop,
            ErrorKind::InvalidArgument,
            Ok(("second", &b"two"[..])),
        ),
    ] {
        let rig = rig(on_error);
        put(&*rig.stores[1], "a", "two").await.unwrap();
        rig.faults[0].arm(Fault::Fail(kind), When::always());
        let answer = ask(&rig.chain, "a").await;
        assert_eq!(text(&answer), told, "{on_error:?} {kind:?}");
        assert!(answer.standing.is_none(), "{on_error:?} {kind:?}");
        let many = rig.chain.answer_many(&[path("a")], Look::Kept).await;
        assert_eq!(text(&many[0]), told, "{on_error:?} {kind:?}");
    }
    let rig = rig(OnError::Next);
    let outage = Fault::Fail(ErrorKind::Unavailable);
    rig.faults[0].arm(outage, When::always());
    let missing = ask(&rig.chain, "a").await.secret.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unavailable);
    assert!(missing.to_string().contains("first"), "{missing}");
    let listed = rig.chain.list("", None, 9).await.unwrap_err();
    assert_eq!(listed.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn many_are_asked_of_each_member_once() {
    let rig = rig(OnError::Stop);
    put(&*rig.stores[0], "a", "one").await.unwrap();
    put(&*rig.stores[1], "b", "two").await.unwrap();
    let names = [path("b"), path("a"), path("c")];
    let answers = rig.chain.answer_many(&names, Look::Kept).await;
    assert_eq!(text(&answers[0]), Ok(("second", &b"two"[..])));
    assert_eq!(text(&answers[1]), Ok(("first", &b"one"[..])));
    assert_eq!(text(&answers[2]), Err(ErrorKind::NotFound));
    for counts in &rig.counts {
        assert_eq!(counts.of(Operation::GetMany), 1);
        assert_eq!(counts.total(), 1);
    }
    rig.counts.iter().for_each(Counts::reset);
    rig.chain.answer_many(&names[1..2], Look::Kept).await;
    assert_eq!(rig.counts[1].total(), 0);
}

#[tokio::test]
async fn lists_are_merged_in_order_with_full_pages() {
    let rig = rig(OnError::Stop);
    for number in 0..20 {
        let name = format!("n/{number:02}");
        if number % 3 != 0 {
            put(&*rig.stores[0], &name, "v").await.unwrap();
        }
        if number % 2 == 0 {
            put(&*rig.stores[1], &name, "v").await.unwrap();
        }
    }
    let all: Vec<_> = (0..20)
        .filter(|number| number % 3 != 0 || number % 2 == 0)
        .map(|number| format!("n/{number:02}"))
        .collect();
    for limit in [1, 2, 3, 7, 100] {
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().cloned();
            let page = rig.chain.list("n/", after.as_deref(), limit).await.unwrap();
            assert!(page.paths.len() == limit || !page.more);
            found.extend(page.paths.iter().map(|path| path.as_str().to_owned()));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, all, "pages of {limit}");
    }
}

#[tokio::test]
async fn calls_about_versions_go_to_the_store_that_answers() {
    let rig = rig(OnError::Stop);
    for value in ["x", "y", "z"] {
        put(&*rig.stores[1], "a", value).await.unwrap();
    }
    assert_eq!(rig.chain.versions(&path("a")).await.unwrap().len(), 3);
    let second = Which::Version(2);
    let secret = rig.chain.get(&path("a"), second).await.unwrap();
    assert_eq!(secret.value.expose(), b"y");
    rig.chain.delete(&path("a"), None).await.unwrap();
    assert!(rig.stores[1].get(&path("a"), Which::Current).await.is_err());
    let versioning = rig.chain.versioning().unwrap();
    versioning.undelete(&path("a"), None).await.unwrap();
    assert_eq!(text(&ask(&rig.chain, "a").await), Ok(("second", &b"z"[..])));
    // A write goes to the first that can write, which answers from then on.
    assert_eq!(put(&rig.chain, "a", "new").await.unwrap().version, 1);
    assert_eq!(
        text(&ask(&rig.chain, "a").await),
        Ok(("first", &b"new"[..]))
    );
    assert_eq!(rig.chain.versions(&path("a")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_only_read_hides_what_is_written() {
    let store = Arc::new(MemoryBackend::new());
    let members = vec![
        member("env", Arc::new(Variables::of(&["a"]))),
        member("prod", Arc::clone(&store) as Arc<dyn Backend>),
    ];
    let chain = Chain::new(members, OnError::Stop);
    let can = chain.capabilities();
    assert_eq!(can.versions, VersionNumbers::Increasing);
    assert_eq!(can.compare_and_set, CompareAndSet::Full);
    assert!(can.write && can.list);
    put(&chain, "a", "stored").await.unwrap();
    assert_eq!(text(&ask(&chain, "a").await), Ok(("env", &b"variable"[..])));
    for expected in [0, 1] {
        let refused = put_if(&chain, "a", "v", Some(expected)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{expected}");
    }
    put_if(&chain, "b", "v", Some(0)).await.unwrap();
    let refused = put_if(&chain, "b", "v", Some(0)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict(1));
    for kind in [
        chain.versions(&path("a")).await.unwrap_err().kind(),
        chain
            .get(&path("a"), Which::Version(1))
            .await
            .unwrap_err()
            .kind(),
        chain.delete(&path("a"), None).await.unwrap_err().kind(),
    ] {
        assert_eq!(kind, ErrorKind::Unsupported);
    }
    assert_eq!(
        chain.check().await.unwrap(),
        ["asks env, then prod", "writes to prod"]
    );
}
