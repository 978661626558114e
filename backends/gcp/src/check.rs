//! What `doctor` asks: the endpoint, our credentials, the right to list, the clocks.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use strongroom_backend_remote::{clock, limits};

use crate::error::{Fault, Result, SignIn};
use crate::vault::Vault;

/// How far the clocks may be apart. Signed tokens are good for a time that both sides must agree on.
const SKEW: u64 = 60;

/// Checks step by step; returns a line for each.
pub(crate) async fn check(vault: &Vault) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let whom = vault.rest.login().whom();
    let signed = tokio::time::timeout(limits::REQUEST, vault.rest.login().headers()).await;
    signed.unwrap_or(Err(Fault::SignIn(SignIn::Temporary(
        strongroom_backend_remote::Transport::Timeout,
    ))))?;
    lines.push(format!("signed in as {whom}"));
    let done = vault.rest.first(vault.space.parent()).await?;
    let endpoint = vault.rest.endpoint();
    lines.push(if endpoint.is_tls() {
        format!("{endpoint} answers, and its certificate is trusted")
    } else {
        format!("{endpoint} answers, without TLS")
    });
    lines.push(format!(
        "{} may be listed; what may be read shows when it is read",
        vault.space.parent()
    ));
    if let Some(ahead) = done.date.as_deref().and_then(ahead) {
        lines.push(clock::compared(ahead, SKEW, "its tokens are refused")?);
    }
    Ok(lines)
}

/// By how many seconds the service's clock is ahead of ours.
fn ahead(date: &str) -> Option<i64> {
    let theirs = rfc2822::parse(date).ok()?.timestamp();
    Some(theirs.duration_since(Timestamp::now()).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_clock_is_read() {
        assert!(ahead("Sun, 06 Nov 1994 08:49:37 GMT").unwrap() < -900_000_000);
        let now = rfc2822::to_string(&jiff::Zoned::now()).unwrap();
        assert!(ahead(&now).unwrap().abs() < 60);
        assert_eq!(ahead("yesterday"), None);
    }
}
