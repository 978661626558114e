//! A rollback writes where it reads.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside test functions"
)]

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, Description, Error, ErrorKind, ListPage, MemoryBackend,
    PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, Which,
};
use strongroom_backend_layers::{Chain, Direct, FieldOf, Fields, Member, OnError, Store};
use strongroom_backend_testkit::{Counting, Operation};

/// A store with versions that is only read.
struct Frozen(Arc<MemoryBackend>, Capabilities);

impl Frozen {
    fn over(store: &Arc<MemoryBackend>) -> Arc<dyn Backend> {
        let capabilities = Capabilities {
            write: false,
            ..store.capabilities().clone()
        };
        Arc::new(Self(Arc::clone(store), capabilities))
    }
}

#[async_trait]
impl Backend for Frozen {
    fn capabilities(&self) -> &Capabilities {
        &self.1
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.0.get(path, which).await
    }
    async fn put(&self, _: &SecretPath, _: &SecretValue, _: &PutOptions) -> Result<Change> {
        Err(Error::unsupported("put"))
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.0.describe(path).await
    }
    async fn delete(&self, _: &SecretPath, _: Option<u64>) -> Result<Change> {
        Err(Error::unsupported("delete"))
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<ListPage> {
        self.0.list(prefix, after, limit).await
    }
    async fn versions(&self, path: &SecretPath) -> Result<Vec<VersionInfo>> {
        self.0.versions(path).await
    }
    async fn check(&self) -> Result<Vec<String>> {
        self.0.check().await
    }
}

fn path(name: &str) -> SecretPath {
    SecretPath::parse(name).unwrap()
}

async fn put(store: &MemoryBackend, name: &str, value: &str) {
    let value = SecretValue::copy_of(value.as_bytes());
    let options = PutOptions::default();
    store.put(&path(name), &value, &options).await.unwrap();
}

async fn read(store: &dyn Backend, name: &str) -> std::result::Result<Vec<u8>, ErrorKind> {
    let secret = store.get(&path(name), Which::Current).await;
    let secret = secret.map_err(|error| error.kind())?;
    Ok(secret.value.expose().to_vec())
}

fn member(id: &str, store: Arc<dyn Store>) -> Member {
    Member {
        id: id.into(),
        store,
        copy_of: None,
    }
}

fn direct(id: &str, store: Arc<dyn Backend>) -> Member {
    member(id, Arc::new(Direct::new(store)))
}

#[tokio::test]
async fn in_a_chain_it_stays_with_the_store_that_answers() {
    let [first, second] = [(); 2].map(|()| Arc::new(MemoryBackend::new()));
    put(&second, "a", "old").await;
    put(&second, "a", "new").await;
    let members = vec![
        direct("first", first.clone()),
        direct("second", second.clone()),
    ];
    let inner = Chain::new(members, OnError::Stop);
    let chain = Chain::new(vec![member("inner", Arc::new(inner))], OnError::Stop);
    let change = chain.rollback(&path("a"), 1, None).await.unwrap();
    assert_eq!(change.version, 3);
    assert_eq!(read(&chain, "a").await, Ok(b"old".to_vec()));
    assert_eq!(read(&*second, "a").await, Ok(b"old".to_vec()));
    assert_eq!(read(&*first, "a").await, Err(ErrorKind::NotFound));
    let missing = chain.rollback(&path("a"), 9, None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn in_a_chain_whose_answering_store_is_only_read_it_is_refused() {
    let [prod, local] = [(); 2].map(|()| Arc::new(MemoryBackend::new()));
    put(&prod, "a", "old").await;
    put(&prod, "a", "new").await;
    let members = vec![
        direct("prod", Frozen::over(&prod)),
        direct("local", local.clone()),
    ];
    let chain = Chain::new(members, OnError::Stop);
    let refused = chain.rollback(&path("a"), 1, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(read(&*local, "a").await, Err(ErrorKind::NotFound));
    assert_eq!(read(&chain, "a").await, Ok(b"new".to_vec()));
}

#[tokio::test]
async fn of_a_bound_name_it_is_refused_unread() {
    let store = Arc::new(MemoryBackend::new());
    put(&store, "db", r#"{"p":"1"}"#).await;
    let (counting, counts) = Counting::new(Arc::clone(&store));
    let of = FieldOf {
        of: path("db"),
        field: "p".into(),
    };
    let inner = Arc::new(Direct::new(Arc::new(counting)));
    let fields = Fields::new(inner, [(path("pass"), of)].into());
    let refused = fields.rollback(&path("pass"), 1, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(counts.of(Operation::Get), 0);
    let change = fields.rollback(&path("db"), 1, None).await.unwrap();
    assert_eq!(change.version, 2);
}
