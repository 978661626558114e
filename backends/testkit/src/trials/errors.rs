//! Errors say what to do, and never hold a value.

use strongroom_backend::{
    CompareAndSet, Error, ErrorKind, PutOptions, SecretPath, SecretValue, VersionNumbers, Which,
};

use super::writes;
use crate::Canary;
use crate::flaw::{Flaw, Verdict, ensure, refused};
use crate::run::cases;
use crate::subject::{Subject, path};

cases! {
    |_| true => [a_missing_secret_is_not_found, check_says_what_it_checked],
    writes => [no_error_holds_a_value, no_answer_shows_a_value],
}

/// Every call that reads says not-found for a name that was never written.
async fn a_missing_secret_is_not_found(s: Subject) -> Verdict {
    let name = path("never/written")?;
    s.is_gone(&name, "never written").await?;
    let described = s.backend.describe(&name).await;
    refused(
        described,
        ErrorKind::NotFound,
        "describe of a missing secret",
    )?;
    if s.can.versions != VersionNumbers::None {
        let versions = s.backend.versions(&name).await;
        refused(
            versions,
            ErrorKind::NotFound,
            "versions of a missing secret",
        )?;
    }
    Ok(())
}

/// A store that works passes its own check, and says what it looked at.
async fn check_says_what_it_checked(s: Subject) -> Verdict {
    let lines = s.backend.check().await?;
    ensure!(!lines.is_empty(), "nothing was checked");
    let one_line = |line: &String| !line.trim().is_empty() && !line.contains('\n');
    ensure!(lines.iter().all(one_line), "not a line each: {lines:?}");
    Ok(())
}

/// Whatever is refused, neither `Display` nor `Debug` of the error or its causes holds a value,
/// as text, hex, base64 or a list of bytes.
async fn no_error_holds_a_value(s: Subject) -> Verdict {
    for value in [
        &b"canary-9f3b-Vq7-\xff\x00-tail-5e21"[..],
        b"pass: {\"k\": \"canary-77d0\"}",
    ] {
        let canary = Canary::new(value);
        for error in errors_about(&s, &canary).await? {
            if let Some(form) = canary.found_in_error(&error) {
                return Err(Flaw::new(format!(
                    "an error of kind {:?} holds the value as {form}",
                    error.kind()
                )));
            }
        }
    }
    Ok(())
}

/// `Debug` of what a store answers, and the lines of its check, show no value.
async fn no_answer_shows_a_value(s: Subject) -> Verdict {
    let canary = Canary::new("canary-51aa-shown-nowhere");
    let name = path("answers")?;
    let value = SecretValue::copy_of(canary.bytes());
    let change = s.backend.put(&name, &value, &PutOptions::default()).await?;
    let secret = s.backend.get(&name, Which::Current).await?;
    let many = s.backend.get_many(std::slice::from_ref(&name)).await;
    let described = s.backend.describe(&name).await?;
    let checked = s.backend.check().await?;
    let versions = s.backend.versions(&name).await;
    let page = s.backend.list("", None, 10).await;
    let answers: [&dyn std::fmt::Debug; 7] = [
        &change, &secret, &many, &described, &checked, &versions, &page,
    ];
    for answer in answers {
        if let Some(form) = canary.found_in_debug(answer) {
            return Err(Flaw::new(format!("an answer shows the value as {form}")));
        }
    }
    Ok(())
}

/// Every error that a caller can bring about with the value in its hands or in the store.
async fn errors_about(s: &Subject, canary: &Canary) -> Result<Vec<Error>, Flaw> {
    let name = path("canary")?;
    let value = SecretValue::copy_of(canary.bytes());
    let mut errors = Vec::new();
    let mut keep = |error: Option<Error>| errors.extend(error);
    keep(s.backend.get(&name, Which::Current).await.err());
    keep(s.backend.delete(&name, None).await.err());
    s.backend.put(&name, &value, &PutOptions::default()).await?;
    for expected in [0, 7, u64::MAX] {
        keep(refusal(s, &name, &value, Some(expected)).await);
    }
    keep(s.backend.get(&name, Which::Version(77)).await.err());
    keep(s.backend.delete(&name, Some(77)).await.err());
    keep(s.backend.list("", Some("not a path: ::"), 1).await.err());
    if s.can.max_value <= 32 << 20 {
        let over = usize::try_from(s.can.max_value).unwrap_or(0) + 1;
        let large: Vec<u8> = canary.bytes().iter().copied().cycle().take(over).collect();
        keep(refusal(s, &name, &SecretValue::new(large), None).await);
    }
    if let Some(versioning) = s.backend.versioning() {
        keep(versioning.undelete(&name, None).await.err());
        keep(versioning.undelete(&name, Some(77)).await.err());
        keep(versioning.destroy(&name, 77).await.err());
    }
    s.backend.delete(&name, None).await?;
    keep(s.backend.get(&name, Which::Current).await.err());
    keep(s.backend.get(&name, Which::Version(1)).await.err());
    keep(s.backend.delete(&name, None).await.err());
    ensure!(errors.len() > 4, "the trial brought about too few errors");
    Ok(errors)
}

async fn refusal(
    s: &Subject,
    name: &SecretPath,
    value: &SecretValue,
    expected: Option<u64>,
) -> Option<Error> {
    // Where 0 is all that can be expected, other numbers are unsupported: an error as well.
    let expected = expected.filter(|_| s.can.compare_and_set != CompareAndSet::None);
    let options = PutOptions {
        expected,
        ..PutOptions::default()
    };
    s.backend.put(name, value, &options).await.err()
}
