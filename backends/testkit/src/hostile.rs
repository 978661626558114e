//! References that try to become something else on their way to a service.

use std::collections::BTreeSet;

use strongroom_backend::SecretPath;

/// What services and HTTP clients give a meaning to: selectors, ARNs, resource names, URLs, escapes,
/// dot segments, other alphabets.
const FORMS: [&str; 50] = [
    "{}",
    "{}/..",
    "{}/../other",
    "../{}",
    "..%2f{}",
    "%2e%2e/{}",
    "%252e%252e%252f{}",
    "./{}",
    "{}/.",
    "/{}",
    "//{}",
    "{}//x",
    "{}/",
    "\\{}",
    "{}\\..\\x",
    "{}:5",
    "{}:AWSPREVIOUS",
    "{}?version=1",
    "{}?api-version=7.4",
    "{}#field",
    "{}@latest",
    "{}/versions/1",
    "{}/versions/latest:access",
    "{}/0123456789abcdef0123456789abcdef",
    "arn:aws:ssm:eu-west-1:111111111111:parameter/{}",
    "arn:aws:secretsmanager:eu-west-1:111111111111:secret:{}-AbCdEf",
    "{}-AbCdEf",
    "projects/other/secrets/{}",
    "projects/other/secrets/{}/versions/latest",
    "https://other.vault.azure.net/secrets/{}",
    "http://169.254.169.254/{}",
    "//other.example/{}",
    "{}@other.example",
    "{}\0",
    "{}\r\nx-injected: 1",
    "{}\n{}",
    "{} HTTP/1.1",
    "{}%0d%0ax: 1",
    "{}%00",
    "{};a=b",
    "{}*",
    "{}/**",
    "{}+",
    "${{{}}}",
    "$(id){}",
    "{}\u{0301}",
    "\u{ff0e}\u{ff0e}/{}",
    "\u{202e}{}",
    "-{}",
    "_{}.",
];

/// Names that the forms are made with: plain, of the shapes that services reserve or ignore case in.
const NAMES: [&str; 5] = ["stripe/api-key", "KEY", "key", "aws/x", "a--b.c_D"];

/// 250 texts, in no order, each once. Most are no references at all, which is the first thing to show.
pub fn references() -> BTreeSet<String> {
    FORMS
        .iter()
        .flat_map(|form| NAMES.iter().map(|name| form.replace("{}", name)))
        .collect()
}

/// Those of them that are paths of secrets, and so get as far as a store.
pub fn paths() -> Vec<SecretPath> {
    let texts = references();
    let paths = texts.iter().filter_map(|text| SecretPath::parse(text).ok());
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_and_the_grammar_takes_only_what_is_harmless() {
        assert!(references().len() >= 200, "{}", references().len());
        let paths = paths();
        assert!(paths.len() >= 30, "{}", paths.len());
        let special = |b: u8| b":?#%\\*@; \r\n\0".contains(&b);
        assert!(paths.iter().all(|path| !path.as_str().bytes().any(special)));
    }
}
