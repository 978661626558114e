//! Patterns and grants a second time, as plainly as can be: what the real ones are compared with,
//! in tests and by the fuzzer.

#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) vault: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) actions: Vec<&'static str>,
    pub(crate) expires: Option<u64>,
}

/// Own grants and those of roles are one list here: they only add.
pub(crate) fn allowed(grants: &[Grant], action: &str, vault: &str, path: &str, now: u64) -> bool {
    grants.iter().any(|grant| {
        let stands_for = |word: &&str| match *word {
            "data-read" => ["list", "read"].contains(&action),
            "data-write" => ["write", "delete"].contains(&action),
            word => word == action,
        };
        grant.vault == vault
            && grant.expires.is_none_or(|expires| now < expires)
            && grant.actions.iter().any(stands_for)
            && grant.secrets.iter().any(|pattern| {
                let want: Vec<_> = pattern.split('/').collect();
                segments(&want, &path.split('/').collect::<Vec<_>>())
            })
    })
}

fn segments(want: &[&str], have: &[&str]) -> bool {
    match (want, have) {
        (["**"], have) => !have.is_empty(),
        ([w, ws @ ..], [h, hs @ ..]) => glob(w.as_bytes(), h.as_bytes()) && segments(ws, hs),
        (want, have) => want.is_empty() && have.is_empty(),
    }
}

fn glob(want: &[u8], have: &[u8]) -> bool {
    match (want, have) {
        ([b'*', rest @ ..], have) => (0..=have.len()).any(|taken| glob(rest, &have[taken..])),
        ([w, ws @ ..], [h, hs @ ..]) => w == h && glob(ws, hs),
        (want, have) => want.is_empty() && have.is_empty(),
    }
}
