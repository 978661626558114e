use strongroom_backend::{Prefix, Reference, VaultId};

/// A reference is accepted exactly where a second reading of the grammar accepts it, and prints as
/// it was given: no other spelling of a name passes.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let default = VaultId::parse("app").expect("a vault id");
    let parsed = Reference::parse(text, Some(&default));
    assert_eq!(parsed.is_ok(), legal(text));
    if let Ok(parsed) = parsed {
        let printed = parsed.to_string();
        assert!(printed == text || printed == format!("app:{text}"));
        assert_eq!(Reference::parse(&printed, None), Ok(parsed.clone()));
        assert_eq!(
            parsed.path().segments().collect::<Vec<_>>().join("/"),
            parsed.path().as_str()
        );
        for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
            let prefix = &text[..end];
            // A vault id is no beginning before its colon.
            if end > text.find(':').unwrap_or(0) || !text.contains(':') {
                assert!(Prefix::parse(prefix, Some(&default)).is_ok(), "{prefix}");
            }
        }
    }
}

/// The grammar of `wit/types.wit`, character by character.
fn legal(text: &str) -> bool {
    let (vault, path) = text.split_once(':').unwrap_or(("app", text));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let segment = |s: &str| s.starts_with(word) && s.chars().all(|c| word(c) || c == '.');
    (1..=64).contains(&vault.len())
        && vault.chars().all(word)
        && path.len() <= 255
        && path.split('/').count() <= 16
        && path.split('/').all(segment)
}
