//! What one component may use, and that no other pays for it.

use std::time::Duration;

use strongroom::ErrorCode;
use strongroom::audit::Outcome;
use strongroom::backend::{PutOptions, SecretValue, Which};
use strongroom_backend_testkit::{Fault, Operation, When};

use crate::support::{Rig, get, set, until};

fn grants(quotas: &str) -> String {
    let grants = "grants = [ { vault = \"app\", secrets = [\"**\"], actions = [\"data-read\", \"data-write\"] } ]";
    format!("[component.limited]\n{grants}\nquotas = {{ {quotas} }}\n[component.free]\n{grants}\n")
}

fn over<T: std::fmt::Debug>(result: Result<T, strongroom::CallError>) -> u64 {
    match result.unwrap_err().code {
        ErrorCode::QuotaExceeded(wait) => wait,
        code => panic!("{code:?}"),
    }
}

#[tokio::test]
async fn calls_over_quota_are_refused_and_counted_exactly() {
    let rig = Rig::new(&grants("calls-per-second = 5")).await;
    rig.put("a", "v").await;
    let (limited, free) = (rig.session("limited"), rig.session("free"));
    let (mut allowed, mut refused) = (0, 0);
    for round in 0..400 {
        match limited.get("a", Which::Current).await {
            Ok(_) => allowed += 1,
            Err(error) => {
                let ErrorCode::QuotaExceeded(wait) = error.code else {
                    panic!("{error:?}");
                };
                assert!((1..=200).contains(&wait), "{wait}");
                refused += 1;
            }
        }
        assert_eq!(get(&free, "a").await.unwrap(), "v");
        if round % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    }
    assert!(allowed >= 5 && refused > 300, "{allowed} {refused}");
    let over = || {
        let records = rig.records();
        let over = records
            .into_iter()
            .filter(|r| r.outcome == Some(Outcome::Quota));
        over.collect::<Vec<_>>()
    };
    let counted = || {
        let counts = over()
            .into_iter()
            .map(|r| r.word("calls").unwrap().parse::<u64>());
        counts.map(Result::unwrap).sum::<u64>()
    };
    until("all are counted", || counted() >= refused).await;
    assert_eq!(counted(), refused);
    let over = over();
    assert!(over.len() <= 6, "one a second: {}", over.len());
    for record in over {
        assert_eq!(record.principal, "component:limited");
        assert_eq!((record.vault, record.secret), (None, None));
    }
}

#[tokio::test]
async fn what_is_over_quota_when_the_broker_closes_is_recorded() {
    let rig = Rig::new(&grants("calls-per-second = 1")).await;
    let limited = rig.session("limited");
    let mut refused = 0_u64;
    for _ in 0..50 {
        refused += u64::from(matches!(
            get(&limited, "a").await,
            Err(ErrorCode::QuotaExceeded(_))
        ));
    }
    rig.broker.close().await.unwrap();
    let records = rig.home.recorded();
    let over = records.iter().filter(|r| r.outcome == Some(Outcome::Quota));
    let counted: u64 = over
        .map(|r| r.word("calls").unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(counted, refused);
}

#[tokio::test]
async fn changes_and_pages_have_quotas_of_their_own() {
    let rig = Rig::new(&grants("changes-per-second = 2, pages-per-second = 3")).await;
    let (limited, free) = (rig.session("limited"), rig.session("free"));
    let mut changed = 0;
    for _ in 0..20 {
        match set(&limited, "a", "v").await {
            Ok(_) => changed += 1,
            Err(error) => assert!(over::<()>(Err(error)) <= 500),
        }
    }
    assert!((2..12).contains(&changed), "{changed}");
    let mut listed = 0;
    for _ in 0..40 {
        match limited.list("", None).await {
            Ok(_) => listed += 1,
            Err(error) => assert!(over::<()>(Err(error)) <= 334),
        }
    }
    assert!((3..20).contains(&listed), "{listed}");
    for _ in 0..40 {
        free.list("", None).await.unwrap();
        get(&limited, "a").await.unwrap();
    }
}

#[tokio::test]
async fn bytes_read_and_written_have_a_quota() {
    let rig = Rig::new(&grants("bytes-per-second = \"64 KiB\"")).await;
    let large = "x".repeat(32 << 10);
    rig.put("a", &large).await;
    let limited = rig.session("limited");
    let mut read = 0;
    for which in [Which::Current, Which::Version(1)]
        .into_iter()
        .cycle()
        .take(20)
    {
        match limited.get("a", which).await {
            Ok(_) => read += 1,
            Err(error) => assert!(over::<()>(Err(error)) <= 1000),
        }
    }
    assert!((2..10).contains(&read), "{read}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut written = 0;
    for _ in 0..20 {
        match set(&limited, "b", &large).await {
            Ok(_) => written += 1,
            Err(error) => assert!(over::<()>(Err(error)) <= 1000),
        }
    }
    assert!((2..15).contains(&written), "{written} of 20 were written");
    let free = rig.session("free");
    for _ in 0..20 {
        get(&free, "a").await.unwrap();
    }
}

#[tokio::test]
async fn a_value_larger_than_a_second_of_the_quota_still_passes() {
    let rig = Rig::new(&grants("bytes-per-second = \"1 KiB\"")).await;
    rig.put("a", &"x".repeat(100 << 10)).await;
    let limited = rig.session("limited");
    assert!(get(&limited, "a").await.is_ok());
    assert!(get(&limited, "a").await.is_err());
}

#[tokio::test]
async fn calls_that_wait_have_a_quota() {
    let rig = Rig::new(&grants("pending-calls = 3")).await;
    rig.put("a", "v").await;
    let mut waiting = Vec::new();
    let limited = rig.session("limited");
    let minute = Duration::from_secs(60);
    for number in 0..3 {
        let session = limited.clone();
        rig.faults
            .arm(Fault::Hang, When::next(1).on(Operation::Get));
        rig.faults
            .arm(Fault::Hang, When::next(1).on(Operation::Put));
        waiting.push(tokio::spawn(async move {
            match number {
                0 => drop(session.get("a", Which::Current).await),
                1 => drop(set(&session, "b", "v").await),
                _ => drop(session.wait_for_change("a", 1, minute).await),
            }
        }));
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.faults.heal();
    }
    over(limited.get("a", Which::Current).await);
    over(limited.describe("a").await);
    over(limited.versions("a").await);
    over(limited.list("", None).await);
    over(limited.wait_for_change("a", 1, minute).await);
    over(
        limited
            .set("a", SecretValue::copy_of(b"x"), PutOptions::default())
            .await,
    );
    let free = rig.session("free");
    assert_eq!(get(&free, "a").await.unwrap(), "v");
    for task in &waiting {
        task.abort();
    }
    until("a place is free", || {
        waiting.iter().all(|t| t.is_finished())
    })
    .await;
    assert_eq!(get(&limited, "a").await.unwrap(), "v");
}

#[tokio::test]
async fn a_change_that_goes_on_without_its_caller_keeps_its_place() {
    let rig = Rig::new(&grants("pending-calls = 1")).await;
    rig.faults
        .arm(Fault::Hang, When::next(1).on(Operation::Put));
    let limited = rig.session("limited");
    let writing = tokio::time::timeout(Duration::from_millis(300), set(&limited, "b", "v"));
    assert!(writing.await.is_err());
    over(limited.get("a", Which::Current).await);
}

#[tokio::test]
async fn a_wrong_timeout_costs_a_call_and_is_on_record() {
    let rig = Rig::new(&grants("calls-per-second = 2")).await;
    let limited = rig.session("limited");
    let long = Duration::from_millis(60_001);
    let code = limited
        .wait_for_change("a", 0, long)
        .await
        .unwrap_err()
        .code;
    assert!(matches!(code, ErrorCode::InvalidArgument(_)), "{code:?}");
    assert_eq!(rig.records().pop().unwrap().outcome, Some(Outcome::Invalid));
    let mut refused = 0;
    for _ in 0..10 {
        let code = limited
            .wait_for_change("a", 0, long)
            .await
            .unwrap_err()
            .code;
        refused += u32::from(matches!(code, ErrorCode::QuotaExceeded(_)));
    }
    assert!(refused >= 5, "{refused}");
}

#[tokio::test]
async fn a_get_of_too_many_is_one_refused_call() {
    let rig = Rig::new(&grants("calls-per-second = 1000")).await;
    let texts: Vec<_> = (0..101).map(|n| format!("n/{n}")).collect();
    let refused = rig.session("limited").get_many(&texts).await.unwrap_err();
    assert!(matches!(refused.code, ErrorCode::InvalidArgument(_)));
    assert_eq!(rig.counts.total(), 0);
    assert_eq!(rig.records().len(), 1);
    let results = rig
        .session("limited")
        .get_many(&texts[..100])
        .await
        .unwrap();
    assert_eq!(results.len(), 100);
    assert_eq!(rig.records().len(), 101, "each of them is on record");
    assert!(
        rig.session("limited")
            .get_many(&[])
            .await
            .unwrap()
            .is_empty()
    );
}
