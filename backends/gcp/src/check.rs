//! What `doctor` asks: the endpoint, our credentials, the right to list, the clocks.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use strongroom_backend_remote::limits;

use crate::error::{Fault, Result, SignIn};
use crate::vault::Vault;

/// How far the clocks may be apart. Signed tokens are good for a time that both sides must agree on.
const SKEW: Duration = Duration::from_secs(60);

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
    if let Some(line) = done.date.as_deref().and_then(clock) {
        lines.push(line);
    }
    Ok(lines)
}

fn clock(date: &str) -> Option<String> {
    let theirs = rfc2822::parse(date).ok()?.timestamp();
    let apart = Timestamp::now().duration_since(theirs).unsigned_abs();
    Some(if apart <= SKEW {
        format!("the clocks are {} s apart", apart.as_secs())
    } else {
        format!(
            "the clocks are {} s apart: set this machine's, or its tokens will be refused",
            apart.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_clock_is_read() {
        let far = clock("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert!(far.contains("set this machine's"), "{far}");
        let now = rfc2822::to_string(&jiff::Zoned::now()).unwrap();
        assert!(clock(&now).unwrap().ends_with("s apart"));
        assert_eq!(clock("yesterday"), None);
    }
}
