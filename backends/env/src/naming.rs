//! Paths as the names of variables, and back. The crate's documentation has the table.

use strongroom_backend::SecretPath;

/// Stands before the letter of a mark. Nothing else is written as three underscores.
const MARK: &str = "___";

/// What follows the prefix in the name of the variable of `path`.
pub(crate) fn encode(path: &SecretPath) -> String {
    let text = path.as_str();
    if is_verbatim(text) && !is_plain(text) {
        return format!("_{text}");
    }
    let mut name = String::with_capacity(text.len() + 8);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        // A separator as underscores must have a letter or digit of the variable's name on both
        // sides, so that a run of underscores is always a single sign.
        let inner = !name.is_empty() && bytes.peek().copied().is_some_and(is_simple);
        match byte {
            b'-' if inner => name.push('_'),
            b'/' if inner => name.push_str("__"),
            b'-' => push_mark(&mut name, 'H'),
            b'/' => push_mark(&mut name, 'S'),
            b'.' => push_mark(&mut name, 'D'),
            b'_' => push_mark(&mut name, 'U'),
            capital if capital.is_ascii_uppercase() => {
                push_mark(&mut name, 'C');
                name.push(char::from(capital));
            }
            simple => name.push(char::from(simple.to_ascii_uppercase())),
        }
    }
    name
}

/// The path whose variable has `name` after the prefix, if there is one.
pub(crate) fn decode(name: &str) -> Option<SecretPath> {
    let text = match name.strip_prefix('_') {
        Some(rest) if !rest.starts_with('_') => rest.to_owned(),
        _ => decode_marked(name)?,
    };
    let path = SecretPath::parse(&text).ok()?;
    // Each path has one name: what decodes to it from any other name is not its variable.
    (encode(&path) == name).then_some(path)
}

fn decode_marked(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        if first != '_' {
            text.push(first.to_ascii_lowercase());
            rest = rest.get(1..)?;
            continue;
        }
        let after = rest.trim_start_matches('_');
        let run = rest.len() - after.len();
        rest = after;
        let sign = match run {
            1 => '-',
            2 => '/',
            3 => {
                let letter = rest.chars().next()?;
                rest = rest.get(letter.len_utf8()..)?;
                match letter {
                    'H' => '-',
                    'S' => '/',
                    'D' => '.',
                    'U' => '_',
                    'C' => {
                        let capital = rest.chars().next()?;
                        rest = rest.get(capital.len_utf8()..)?;
                        capital
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        text.push(sign);
    }
    Some(text)
}

fn push_mark(name: &mut String, letter: char) {
    name.push_str(MARK);
    name.push(letter);
}

fn is_simple(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether every letter is lower case and every other sign a `-` or `/` within.
fn is_plain(text: &str) -> bool {
    text.split(['-', '/'])
        .all(|word| !word.is_empty() && word.bytes().all(is_simple))
}

/// Whether `_` and the path itself can be the name.
fn is_verbatim(text: &str) -> bool {
    !text.starts_with('_') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> String {
        encode(&SecretPath::parse(text).unwrap())
    }

    #[test]
    fn the_table_of_the_documentation_holds() {
        for (path, expected) in [
            ("stripe/api-key", "STRIPE__API_KEY"),
            ("db/main", "DB__MAIN"),
            ("a", "A"),
            ("0/1-2", "0__1_2"),
            ("DATABASE_URL", "_DATABASE_URL"),
            ("db_password", "_db_password"),
            ("Api", "_Api"),
            ("a__b_", "_a__b_"),
            ("tls/ca.crt", "TLS__CA___DCRT"),
            ("_a", "___UA"),
            ("-a", "___HA"),
            ("a-", "A___H"),
            ("a--b", "A___H_B"),
            ("a-/b", "A___H__B"),
            ("a/-b", "A___S_B"),
            ("a/Key", "A___S___CKEY"),
            ("a.", "A___D"),
            ("a/b_c", "A__B___UC"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
    }

    #[test]
    fn names_that_no_path_has_are_nobodys() {
        for name in [
            "",
            "_",
            "__",
            "___",
            "____",
            "a",
            "Mixed",
            "A_",
            "A__",
            "A___",
            "A___X",
            "A___C",
            "A___Ca",
            "A___C1",
            "A____B",
            "__A",
            "_stripe",
            "_0",
            "_a-b",
            "A-B",
            "A.B",
            "A___DD/..",
            "___D",
            "___DA",
            "A__B___S",
            "A___HB",
            "A___SB",
            "___SA",
            "A=B",
            "A B",
            "_A/B",
            "_A\0",
            "A___U",
            "___CA",
            "\u{c4}",
            "A\u{e9}",
            "___\u{e9}",
            "___C\u{e9}",
        ] {
            assert_eq!(decode(name), None, "{name:?}");
        }
    }

    /// Every path of up to four of these signs: far more than chance would find.
    #[test]
    fn all_short_paths_have_names_of_their_own() {
        let signs = ['a', 'd', 'h', 'u', 'A', 'C', 'D', '0', '_', '-', '.', '/'];
        let mut texts = vec![String::new()];
        let mut seen: HashMap<String, SecretPath> = HashMap::new();
        for _ in 0..4 {
            texts = texts
                .iter()
                .flat_map(|text| signs.iter().map(move |sign| format!("{text}{sign}")))
                .collect();
            for path in texts.iter().filter_map(|text| SecretPath::parse(text).ok()) {
                let name = encode(&path);
                assert_eq!(decode(&name).as_ref(), Some(&path), "{name}");
                if let Some(other) = seen.insert(name.clone(), path.clone()) {
                    panic!("{path} and {other} are both {name}");
                }
            }
        }
        assert!(seen.len() > 10_000);
    }

    proptest! {
        #[test]
        fn paths_survive_the_way_there_and_back(
            text in "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,12}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,12}){0,15}",
        ) {
            prop_assume!(text.len() <= 255);
            let path = SecretPath::parse(&text).unwrap();
            let name = encode(&path);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            prop_assert_eq!(decode(&name), Some(path));
        }

        #[test]
        fn two_paths_have_two_names(
            one in "[aAbC0_-][aAbC0_./-]{0,8}", two in "[aAbC0_-][aAbC0_./-]{0,8}",
        ) {
            prop_assume!(one != two);
            if let (Ok(one), Ok(two)) = (SecretPath::parse(&one), SecretPath::parse(&two)) {
                prop_assert_ne!(encode(&one), encode(&two));
            }
        }

        #[test]
        fn names_survive_the_way_back_and_there(name in "[ABCDHUSa0_]{0,24}") {
            if let Some(path) = decode(&name) {
                prop_assert_eq!(encode(&path), name);
            }
        }

        #[test]
        fn no_name_breaks_the_decoder(name in any::<String>()) {
            let _ = decode(&name);
        }
    }
}
