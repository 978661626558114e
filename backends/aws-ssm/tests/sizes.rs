//! Limits of size: checked before any call, with the growth of base64 and of marks counted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its helper fails"
)]

mod common;

use common::{agreeable, body, operation, path, store_with};
use strongroom_backend::{Backend, ErrorKind, PutOptions, SecretValue, Which};
use strongroom_backend_aws::testing;
use strongroom_backend_aws_ssm::{Config, Tier};
use strongroom_backend_testkit::wire::Wire;

/// Values of a length: plain text, text of two bytes a character, text that takes a mark, and bytes.
const KINDS: [fn(usize) -> Vec<u8>; 4] = [
    |len| vec![b'x'; len],
    |len| "\u{e9}".repeat(len / 2).into_bytes(),
    |len| format!("strongroom:{}", "y".repeat(len - 11)).into_bytes(),
    |len| vec![0xff; len],
];

#[tokio::test]
async fn at_the_limit_one_call_and_above_it_none() {
    for (tier, limits) in [
        (Tier::Standard, [4096, 4096, 4080, 3057]),
        (Tier::Advanced, [8192, 8192, 8176, 6129]),
        (Tier::Auto, [8192, 8192, 8176, 6129]),
    ] {
        let server = Wire::http(agreeable);
        let mut config = Config::new(testing::config(&server.url()), "/app/");
        config.tier = tier;
        let store = store_with(&config).await;
        let most = usize::try_from(store.capabilities().max_value).unwrap();
        for (kind, limit) in KINDS.iter().zip(limits) {
            let put = async |len: usize| {
                let value = SecretValue::new(kind(len));
                store.put(&path("a"), &value, &PutOptions::default()).await
            };
            put(limit).await.unwrap();
            let requests = server.requests();
            server.forget();
            assert_eq!(requests.len(), 1);
            assert_eq!(operation(&requests[0]), "PutParameter");
            let sent = body(&requests[0]);
            let text = sent["Value"].as_str().unwrap();
            assert!(
                text.len() <= most && text.len() + 4 > most,
                "{}",
                text.len()
            );
            let expected = if tier == Tier::Standard {
                "Standard"
            } else {
                "Advanced"
            };
            assert_eq!(sent["Tier"], expected);
            // Two more, so that the text of two bytes a character has one more.
            for over in [limit + 2, most + 2, most * 4] {
                let error = put(over).await.unwrap_err();
                let told = if kind(over).len() > most { most } else { limit };
                assert_eq!(error.kind(), ErrorKind::TooLarge(told as u64), "{over}");
                assert!(error.to_string().contains(&told.to_string()), "{error}");
            }
            let one_over = put(limit + 1).await;
            assert_eq!(one_over.is_ok(), kind(limit + 1).len() <= limit);
            assert_eq!(server.requests().len(), usize::from(one_over.is_ok()));
            server.forget();
        }
    }
}

#[tokio::test]
async fn auto_takes_the_tier_by_size() {
    let server = Wire::http(agreeable);
    let store = store_with(&Config::new(testing::config(&server.url()), "/app/")).await;
    for (value, tier) in [
        (vec![b'x'; 4096], "Intelligent-Tiering"),
        (vec![b'x'; 4097], "Advanced"),
        (vec![0xff; 3057], "Intelligent-Tiering"),
        (vec![0xff; 3058], "Advanced"),
    ] {
        let value = SecretValue::new(value);
        let options = PutOptions::default();
        store.put(&path("a"), &value, &options).await.unwrap();
        let requests = server.requests();
        server.forget();
        assert_eq!(body(&requests[0])["Tier"], tier);
    }
}

#[tokio::test]
async fn the_largest_values_come_back() {
    let prefix = format!("/{}/", testing::fresh("sizes"));
    for (tier, largest) in [
        (Tier::Standard, [4096, 4096, 4080, 3057]),
        (Tier::Auto, [8192, 8192, 8176, 6129]),
    ] {
        let mut config = Config::new(testing::config(&testing::lenient()), prefix.clone());
        config.tier = tier;
        let store = store_with(&config).await;
        for (index, (kind, len)) in KINDS.iter().zip(largest).enumerate() {
            let path = path(&format!("{tier:?}/{index}"));
            let value = SecretValue::new(kind(len));
            store
                .put(&path, &value, &PutOptions::default())
                .await
                .unwrap();
            let got = store.get(&path, Which::Current).await.unwrap();
            assert_eq!(*got.value, value);
        }
    }
}
