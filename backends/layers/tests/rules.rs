//! The rules of the layers, in paused time.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside test functions"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_backend::{
    Backend, Capabilities, Change, ChangeTable, Description, Error, ErrorKind, ListPage,
    MemoryBackend, PutOptions, Result, Secret, SecretPath, SecretValue, VersionInfo, Which,
};
use strongroom_backend_layers::{
    Breaker, BreakerSettings, CacheSettings, Cached, Deadline, Jitter, Layers, Look, Origin, Retry,
    RetrySettings, Store,
};
use strongroom_backend_testkit::{Counting, Counts, Fault, Faults, Faulty, Gate, Operation, When};
use tokio::time::{Instant, advance};

/// A store without change counters or versioning, as services are.
struct Plain(MemoryBackend);

#[async_trait]
impl Backend for Plain {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }
    async fn get(&self, path: &SecretPath, which: Which) -> Result<Secret> {
        self.0.get(path, which).await
    }
    async fn put(&self, p: &SecretPath, v: &SecretValue, o: &PutOptions) -> Result<Change> {
        self.0.put(p, v, o).await
    }
    async fn describe(&self, path: &SecretPath) -> Result<Description> {
        self.0.describe(path).await
    }
    async fn delete(&self, path: &SecretPath, version: Option<u64>) -> Result<Change> {
        self.0.delete(path, version).await
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

struct Rig {
    store: Arc<dyn Backend>,
    faults: Faults,
    counts: Counts,
}

async fn rig() -> Rig {
    let plain = Plain(MemoryBackend::new());
    put(&plain, "a", b"one").await;
    let (faulty, faults) = Faulty::new(Arc::new(plain));
    let (counting, counts) = Counting::new(Arc::new(faulty));
    Rig {
        store: Arc::new(counting),
        faults,
        counts,
    }
}

async fn cached(settings: CacheSettings) -> (Arc<Cached>, Rig) {
    let rig = rig().await;
    let table = ChangeTable::in_memory();
    let cache = Cached::new(Arc::clone(&rig.store), settings, table);
    (Arc::new(cache), rig)
}

async fn put(store: &dyn Backend, name: &str, value: &[u8]) {
    let value = SecretValue::copy_of(value);
    store
        .put(&path(name), &value, &PutOptions::default())
        .await
        .unwrap();
}

async fn get(store: &dyn Backend, name: &str) -> std::result::Result<Vec<u8>, ErrorKind> {
    let secret = store.get(&path(name), Which::Current).await;
    secret
        .map(|s| s.value.expose().to_vec())
        .map_err(|error: Error| error.kind())
}

fn path(name: &str) -> SecretPath {
    SecretPath::parse(name).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn full() -> Jitter {
    Jitter::from_fn(|| u32::MAX)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_that_hangs() {
    let rig = rig().await;
    rig.faults.arm(Fault::Hang, When::always());
    let store = Deadline::new(rig.store, secs(3));
    let begun = Instant::now();
    assert_eq!(get(&store, "a").await, Err(ErrorKind::Unavailable));
    assert_eq!(begun.elapsed(), secs(3));
    let many = store.get_many(&[path("a"), path("b")]).await;
    assert_eq!(many.len(), 2);
    assert!(many.iter().all(|a| a.as_ref().unwrap_err().is_temporary()));
}

#[tokio::test(start_paused = true)]
async fn a_change_has_the_whole_deadline_since_it_has_one_try() {
    let rig = rig().await;
    rig.faults.arm(Fault::Hang, When::always());
    let layers = Layers::default();
    let store = layers.around(Arc::clone(&rig.store), ChangeTable::in_memory());
    let (value, options) = (SecretValue::copy_of(b"two"), PutOptions::default());
    let begun = Instant::now();
    let put = store.backend().put(&path("a"), &value, &options).await;
    assert!(put.unwrap_err().is_temporary());
    assert_eq!(begun.elapsed(), layers.deadline);
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_with_growing_waits_and_writes_never() {
    let rig = rig().await;
    let store = Retry::new(Arc::clone(&rig.store), RetrySettings::default(), full());
    let fault = Fault::Fail(ErrorKind::Unavailable);
    rig.faults.arm(fault.clone(), When::next(2));
    let begun = Instant::now();
    assert_eq!(get(&store, "a").await, Ok(b"one".to_vec()));
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
    assert_eq!(rig.counts.of(Operation::Get), 3);

    rig.faults
        .arm(fault.clone(), When::next(1).on(Operation::Put));
    let value = SecretValue::copy_of(b"two");
    let (name, options) = (path("a"), PutOptions::default());
    let put = store.put(&name, &value, &options).await;
    assert!(put.unwrap_err().is_temporary());
    assert_eq!(rig.counts.of(Operation::Put), 1);

    rig.counts.reset();
    let denied = Fault::Fail(ErrorKind::PermissionDenied);
    rig.faults.arm(denied, When::next(1));
    assert_eq!(get(&store, "a").await, Err(ErrorKind::PermissionDenied));
    assert_eq!(rig.counts.of(Operation::Get), 1);
}

/// Any part of the pause, the first tenth and the last alike: 400 pauses miss one of them once in
/// 10^18 runs.
#[tokio::test(start_paused = true)]
async fn clients_that_failed_together_do_not_come_back_together() {
    let rig = rig().await;
    let layers = Layers {
        retry: RetrySettings {
            attempts: 2,
            base: secs(1),
            cap: secs(1),
            burst: 400,
            ..RetrySettings::default()
        },
        cache: None,
        ..Layers::default()
    };
    let store = layers.around(Arc::clone(&rig.store), ChangeTable::in_memory());
    let mut pauses = Vec::new();
    for _ in 0..400 {
        let fault = Fault::Fail(ErrorKind::Unavailable);
        rig.faults.arm(fault, When::next(1));
        let begun = Instant::now();
        assert_eq!(get(store.backend(), "a").await, Ok(b"one".to_vec()));
        pauses.push(begun.elapsed());
    }
    let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    let tenth = Duration::from_millis(100);
    assert!(*least < tenth, "{least:?}");
    // A timer ends at the next millisecond.
    let longest = secs(1) + Duration::from_millis(1);
    assert!(*most > secs(1) - tenth && *most <= longest, "{most:?}");
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_what_retries_add() {
    let rig = rig().await;
    let store = Retry::new(Arc::clone(&rig.store), RetrySettings::default(), full());
    let fault = Fault::Fail(ErrorKind::Unavailable);
    rig.faults.arm(fault, When::always());
    for _ in 0..1000 {
        assert_eq!(get(&store, "a").await, Err(ErrorKind::Unavailable));
    }
    let calls = rig.counts.of(Operation::Get);
    assert!((1100..=1110).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_probes_and_closes() {
    let rig = rig().await;
    let settings = BreakerSettings::default();
    let none = Jitter::from_fn(|| 0);
    let store = Breaker::new(Arc::clone(&rig.store), settings, none);
    for _ in 0..20 {
        assert_eq!(get(&store, "missing").await, Err(ErrorKind::NotFound));
    }
    rig.counts.reset();
    let fault = Fault::Fail(ErrorKind::Unavailable);
    rig.faults.arm(fault, When::always());
    for _ in 0..20 {
        assert_eq!(get(&store, "a").await, Err(ErrorKind::Unavailable));
    }
    assert_eq!(rig.counts.total(), 5);
    advance(secs(10)).await;
    assert_eq!(get(&store, "a").await, Err(ErrorKind::Unavailable));
    assert_eq!(get(&store, "a").await, Err(ErrorKind::Unavailable));
    assert_eq!(rig.counts.total(), 6);

    rig.faults.heal();
    let gate = Gate::new();
    rig.faults.arm(Fault::Pause(gate.clone()), When::next(1));
    advance(secs(10)).await;
    {
        // A probe that is dropped leaves room for the next one.
        let probe = path("a");
        let probe = store.get(&probe, Which::Current);
        tokio::select! {
            _ = probe => unreachable!("it waits at the gate"),
            () = gate.reached() => {}
        }
    }
    assert_eq!(get(&store, "a").await, Ok(b"one".to_vec()));
    assert_eq!(get(&store, "a").await, Ok(b"one".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_misses_make_one_call_and_share_its_failure() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    for fails in [true, false] {
        rig.counts.reset();
        let gate = Gate::new();
        rig.faults.arm(Fault::Pause(gate.clone()), When::next(1));
        let wanted = if fails { "gone" } else { "a" };
        let calls: Vec<_> = (0..1000)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { get(&*cache, wanted).await })
            })
            .collect();
        gate.reached().await;
        gate.release();
        for call in calls {
            let got = call.await.unwrap();
            assert_eq!(got.is_err(), fails);
        }
        assert_eq!(rig.counts.of(Operation::Get), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_hands_over() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    let gate = Gate::new();
    rig.faults.arm(Fault::Pause(gate.clone()), When::next(1));
    let ask = || {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { get(&*cache, "a").await })
    };
    let leader = ask();
    gate.reached().await;
    let next = ask();
    tokio::task::yield_now().await;
    leader.abort();
    assert_eq!(next.await.unwrap(), Ok(b"one".to_vec()));
    assert_eq!(rig.counts.of(Operation::Get), 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_name_is_asked_for_once_in_its_time() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    for _ in 0..1000 {
        assert_eq!(get(&*cache, "missing").await, Err(ErrorKind::NotFound));
    }
    assert_eq!(rig.counts.of(Operation::Get), 1);
    advance(secs(5)).await;
    assert_eq!(get(&*cache, "missing").await, Err(ErrorKind::NotFound));
    assert_eq!(rig.counts.of(Operation::Get), 2);
    put(&*cache, "missing", b"here").await;
    assert_eq!(get(&*cache, "missing").await, Ok(b"here".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_no_longer_than_max_stale() {
    let settings = CacheSettings {
        max_stale: secs(1800),
        ..CacheSettings::default()
    };
    let (cache, rig) = cached(settings).await;
    assert_eq!(get(&*cache, "a").await, Ok(b"one".to_vec()));
    let fault = Fault::Fail(ErrorKind::Unavailable);
    rig.faults.arm(fault, When::always());
    for minute in 0..60u64 {
        let got = cache.answer(&path("a"), Which::Current, Look::Kept).await;
        let origin = got.secret.map(|_| got.origin).map_err(|e| e.kind());
        // The paused clock moves by a timer's granularity when a task waits, and never by more.
        let near = |age_ms: u64| (0..100).contains(&(age_ms - minute * 60_000));
        let right = match (minute, origin) {
            (0..5, Ok(Origin::Cached { age_ms })) | (5..30, Ok(Origin::Stale { age_ms })) => {
                near(age_ms)
            }
            (30.., Err(ErrorKind::Unavailable)) => true,
            _ => false,
        };
        assert!(right, "minute {minute}: {origin:?}");
        advance(secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_drops_what_was_kept() {
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::PermissionDenied,
        ErrorKind::Unauthenticated,
    ] {
        let (cache, rig) = cached(CacheSettings::default()).await;
        assert_eq!(get(&*cache, "a").await, Ok(b"one".to_vec()));
        advance(secs(301)).await;
        rig.faults.arm(Fault::Fail(kind), When::next(1));
        assert_eq!(get(&*cache, "a").await, Err(kind));
        advance(secs(6)).await;
        let outage = Fault::Fail(ErrorKind::Unavailable);
        rig.faults.arm(outage, When::always());
        assert_eq!(
            get(&*cache, "a").await,
            Err(ErrorKind::Unavailable),
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn changes_through_it_and_beside_it_are_seen_at_once() {
    let rig = rig().await;
    let table = ChangeTable::in_memory();
    let cache = |table: &Arc<ChangeTable>| {
        let settings = CacheSettings::default();
        Cached::new(Arc::clone(&rig.store), settings, Arc::clone(table))
    };
    let (one, two) = (cache(&table), cache(&table));
    for value in [b"two", b"six"] {
        assert!(get(&one, "a").await.is_ok());
        put(&two, "a", value).await;
        assert_eq!(get(&one, "a").await, Ok(value.to_vec()));
        assert_eq!(get(&two, "a").await, Ok(value.to_vec()));
    }
    two.delete(&path("a"), None).await.unwrap();
    assert_eq!(get(&one, "a").await, Err(ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_read_from_before_a_change_is_not_kept() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    let gate = Gate::new();
    let slow = Fault::PauseAfter(gate.clone());
    rig.faults.arm(slow, When::next(1).on(Operation::Get));
    let reader = Arc::clone(&cache);
    let reader = tokio::spawn(async move { get(&*reader, "a").await });
    gate.reached().await;
    put(&*cache, "a", b"two").await;
    assert_eq!(get(&*cache, "a").await, Ok(b"two".to_vec()));
    gate.release();
    assert_eq!(reader.await.unwrap(), Ok(b"one".to_vec()));
    assert_eq!(get(&*cache, "a").await, Ok(b"two".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_what_is_read_of_its_own_name_alone_from_being_kept() {
    for (refused, kept) in [("missing", true), ("a", false), ("", false)] {
        for many in [false, true] {
            let (cache, rig) = cached(CacheSettings::default()).await;
            let operation = if many {
                Operation::GetMany
            } else {
                Operation::Get
            };
            let gate = Gate::new();
            let slow = Fault::PauseAfter(gate.clone());
            rig.faults.arm(slow, When::next(1).on(operation));
            let reader = Arc::clone(&cache);
            let reader = tokio::spawn(async move {
                match many {
                    false => get(&*reader, "a").await.is_ok(),
                    true => reader.get_many(&[path("a")]).await[0].is_ok(),
                }
            });
            gate.reached().await;
            match refused {
                "" => cache.clear(),
                name => {
                    let denied = Fault::Fail(ErrorKind::PermissionDenied);
                    let when = When::next(1).on(Operation::Describe);
                    rig.faults.arm(denied, when);
                    assert!(cache.describe(&path(name)).await.is_err());
                }
            }
            gate.release();
            assert!(reader.await.unwrap());
            rig.counts.reset();
            assert!(get(&*cache, "a").await.is_ok());
            assert_eq!(rig.counts.total() == 0, kept, "{refused:?} {many}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_takes_nothing_back_that_a_later_one_found() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    for (name, later) in [("a", Ok(b"two".to_vec())), ("b", Err(ErrorKind::NotFound))] {
        put(&*rig.store, name, b"one").await;
        let gate = Gate::new();
        let slow = Fault::PauseAfter(gate.clone());
        rig.faults.arm(slow, When::next(1).on(Operation::Get));
        let anew = |cache: &Arc<Cached>| {
            let cache = Arc::clone(cache);
            tokio::spawn(async move {
                let answer = cache.answer(&path(name), Which::Current, Look::Anew).await;
                let value = answer.secret.map(|secret| secret.value.expose().to_vec());
                value.map_err(|error| error.kind())
            })
        };
        let first = anew(&cache);
        gate.reached().await;
        match name {
            "a" => put(&*rig.store, name, b"two").await,
            _ => drop(rig.store.delete(&path(name), None).await.unwrap()),
        }
        advance(secs(1)).await;
        assert_eq!(anew(&cache).await.unwrap(), later);
        gate.release();
        assert_eq!(first.await.unwrap(), later);
        rig.counts.reset();
        assert_eq!(get(&*cache, name).await, later);
        assert_eq!(rig.counts.total(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_gone_ends_what_is_remembered_of_it_above() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    let name = path("a");
    let kept = cache.answer(&name, Which::Current, Look::Kept).await;
    let standing = kept.standing.unwrap();
    rig.store.delete(&name, None).await.unwrap();
    assert!(standing.holds());
    let gone = cache.answer(&name, Which::Current, Look::Anew).await;
    assert_eq!(gone.secret.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!standing.holds());
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_and_missing_names_evict_no_value() {
    let settings = CacheSettings {
        max_bytes: 16 << 10,
        ..CacheSettings::default()
    };
    let (cache, rig) = cached(settings).await;
    assert!(get(&*cache, "a").await.is_ok());
    for n in 0..500 {
        assert!(get(&*cache, &format!("missing/{n}")).await.is_err());
    }
    rig.counts.reset();
    assert!(get(&*cache, "a").await.is_ok());
    assert_eq!(rig.counts.total(), 0);
    for n in 0..100 {
        put(&*cache, &format!("v/{n}"), &[7; 500]).await;
        assert!(get(&*cache, &format!("v/{n}")).await.is_ok());
        assert!(cache.bytes() <= 16 << 10);
    }
    rig.counts.reset();
    assert!(get(&*cache, "v/99").await.is_ok());
    assert_eq!(rig.counts.total(), 0);
    assert!(get(&*cache, "v/0").await.is_ok());
    assert_eq!(rig.counts.total(), 1);
    advance(secs(3600)).await;
    cache.sweep();
    assert_eq!(cache.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_value_is_gone_when_its_last_reader_is() {
    let (cache, _rig) = cached(CacheSettings::default()).await;
    let secret = cache.get(&path("a"), Which::Version(1)).await.unwrap();
    let kept = Arc::downgrade(&secret.value);
    let held = kept.strong_count();
    cache.clear();
    assert_eq!(kept.strong_count(), held - 1);
}

#[tokio::test(start_paused = true)]
async fn many_are_answered_from_here_and_the_rest_in_one_call() {
    let (cache, rig) = cached(CacheSettings::default()).await;
    put(&*cache, "b", b"two").await;
    assert!(get(&*cache, "a").await.is_ok());
    rig.counts.reset();
    let paths = [path("b"), path("a"), path("missing")];
    for _ in 0..2 {
        let many = cache.get_many(&paths).await;
        let values: Vec<_> = many
            .iter()
            .map(|a| a.as_ref().map(|s| s.value.expose()).map_err(Error::kind))
            .collect();
        assert_eq!(
            values,
            [Ok(&b"two"[..]), Ok(b"one"), Err(ErrorKind::NotFound)]
        );
    }
    assert_eq!(rig.counts.of(Operation::GetMany), 1);
    assert_eq!(rig.counts.of(Operation::Get), 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_grew_too_old_during_the_call_is_not_served() {
    let rig = rig().await;
    let slow = Arc::new(Deadline::new(Arc::clone(&rig.store), secs(3)));
    let cache = Cached::new(slow, CacheSettings::default(), ChangeTable::in_memory());
    assert!(get(&cache, "a").await.is_ok());
    rig.faults.arm(Fault::Hang, When::always());
    advance(secs(3590)).await;
    assert!(get(&cache, "a").await.is_ok());
    advance(secs(5)).await;
    assert_eq!(get(&cache, "a").await, Err(ErrorKind::Unavailable));
}
