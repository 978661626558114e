//! Values are bytes and come back as they were.

use strongroom_backend::{ErrorKind, PutOptions};

use super::writes;
use crate::flaw::{Verdict, refused};
use crate::run::{Traits, cases};
use crate::subject::{Subject, path};

/// A store whose limit is higher is not written full: the trial would try the machine's memory.
const LARGEST_TRIED: u64 = 32 << 20;

cases! {
    writes => [
        every_byte_value, single_bytes, empty_value, text_is_not_touched, lengths_around_blocks,
        overwriting_leaves_nothing_behind,
    ],
    limited => [at_the_limit, one_over_the_limit],
}

fn limited(t: &Traits) -> bool {
    t.can.write && t.can.max_value <= LARGEST_TRIED
}

/// A value with every byte value, upwards and downwards.
async fn every_byte_value(s: Subject) -> Verdict {
    let value: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let name = path("bytes")?;
    s.put(&name, &value).await?;
    s.holds(&name, &value).await
}

/// One byte that a text-minded store would trim, end at or refuse.
async fn single_bytes(s: Subject) -> Verdict {
    for byte in [0, b'\t', b'\n', b'\r', b' ', b'"', 0x7f, 0x80, 0xc3, 0xff] {
        let name = path(&format!("byte-{byte}"))?;
        s.put(&name, &[byte]).await?;
        s.holds(&name, &[byte]).await?;
    }
    Ok(())
}

/// An empty value is a value, not a missing secret.
async fn empty_value(s: Subject) -> Verdict {
    let name = path("empty")?;
    s.put(&name, b"").await?;
    s.holds(&name, b"").await?;
    s.put(&name, b"not empty").await?;
    s.put(&name, b"").await?;
    s.holds(&name, b"").await
}

/// Text that looks like an encoding, a null or a markup is neither decoded nor trimmed.
async fn text_is_not_touched(s: Subject) -> Verdict {
    let texts = [
        " leading and trailing \r\n",
        "\u{feff}bom",
        "aGVsbG8=",
        "0x00ff",
        "null",
        "{\"value\":\"x\",\"SecretString\":null}",
        "${env.HOME} $(id) `id` {{x}} %s %00",
        "-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----\n",
        "e\u{301} \u{e9} \u{1f511} \u{202e}",
    ];
    for (index, text) in texts.iter().enumerate() {
        let name = path(&format!("text/{index}"))?;
        s.put(&name, text.as_bytes()).await?;
        s.holds(&name, text.as_bytes()).await?;
    }
    Ok(())
}

/// Lengths next to cipher blocks, pages and chunk borders.
async fn lengths_around_blocks(s: Subject) -> Verdict {
    for near in [16usize, 64, 256, 4096, 65536] {
        for length in near - 1..=near + 1 {
            if length as u64 > s.can.max_value {
                return Ok(());
            }
            let name = path(&format!("length/{length}"))?;
            let value = filled(length);
            s.put(&name, &value).await?;
            s.holds(&name, &value).await?;
        }
    }
    Ok(())
}

/// A short value over a long one leaves nothing of the long one.
async fn overwriting_leaves_nothing_behind(s: Subject) -> Verdict {
    let name = path("shrinks")?;
    for length in [2000, 3, 0, 700] {
        let value = filled(length);
        s.put(&name, &value).await?;
        s.holds(&name, &value).await?;
    }
    Ok(())
}

/// The largest value that the capabilities announce is held.
async fn at_the_limit(s: Subject) -> Verdict {
    let name = path("largest")?;
    let value = filled(usize::try_from(s.can.max_value).unwrap_or(usize::MAX));
    s.put(&name, &value).await?;
    s.holds(&name, &value).await
}

/// One byte more is refused by the limit, and what was there stays.
async fn one_over_the_limit(s: Subject) -> Verdict {
    let name = path("too-large")?;
    let limit = s.can.max_value;
    let value = filled(
        usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_add(1),
    );
    let options = PutOptions::default();
    let refusal = s.put_with(&name, &value, &options).await;
    refused(refusal, ErrorKind::TooLarge(limit), "put one over")?;
    s.is_gone(&name, "after a refused create").await?;
    s.put(&name, b"fits").await?;
    let refusal = s.put_with(&name, &value, &options).await;
    refused(refusal, ErrorKind::TooLarge(limit), "put one over")?;
    s.holds(&name, b"fits").await
}

/// Bytes that do not repeat with any block length.
fn filled(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}
